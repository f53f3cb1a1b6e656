"""`ocicat store export`, `import` and `copy`: a datastore into a file, back, or into another datastore."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import click

from ocicat.agent.presence import Presence
from ocicat.cli.commands.store_progress import Ticker
from ocicat.cli.commands.store_status import connected, hosts_of
from ocicat.cli.opening import store_option, with_store
from ocicat.errors import NotFound, OcicatError, UserError
from ocicat.store.base import Datastore
from ocicat.store.open import open_store
from ocicat.store.transfer.content import ROOTS, Content, read_content
from ocicat.store.transfer.engine import Plan, plan, transfer
from ocicat.store.transfer.export import export_lines
from ocicat.store.transfer.files import read_file, read_stream, write_file
from ocicat.store.transfer.record import RECORD, Mode, read_record, unfinished
from ocicat.store.transfer.sources import ExportSource, Source, StoreSource

_STREAM = "-"
_SQLITE = "sqlite://"
_ENDINGS = (signal.SIGTERM, signal.SIGHUP)

T = TypeVar("T")


@click.command()
@click.argument("file", default=_STREAM)
@click.option("--prefix", "prefixes", multiple=True, help="Only keys that begin so; may be given again.")
@store_option
def export(file: str, prefixes: tuple[str, ...], store: str) -> None:
    """Write everything in the datastore, as of one moment, into FILE; without one to standard output.

    A name that ends in .gz is compressed. FILE is replaced when the export is complete, and not before.

    \b
    Example:
      ocicat store export /var/backups/ocicat.jsonl.gz
    """
    if "" in prefixes:
        raise UserError("--prefix: must not be empty", hint="leave it out to export all that is ocicat's and Calico's")
    scope = prefixes or ROOTS

    async def read(opened: Datastore) -> tuple[Content, str]:
        note = await opened.get(RECORD)
        if note is not None:
            raise unfinished(note.value)
        return await read_content(opened, scope), (await opened.status()).url

    content, url = with_store(store, read, any_schema=True)
    lines = export_lines(content, source=url, taken=_now(), prefixes=scope)
    if file == _STREAM:
        sys.stdout.buffer.writelines(lines)
        sys.stdout.buffer.flush()  # what goes wrong with it must go wrong here
    else:
        write_file(Path(file), lines)
    _tell_left_out(content.left_out)
    click.echo(f"{content.count()} keys exported from {url}, as of revision {content.revision}", err=True)


@click.command("import")
@click.argument("file")
@click.option("--replace", is_flag=True, help="The datastore may hold something; the rest is deleted.")
@click.option("--merge", is_flag=True, help="The datastore may hold something; the rest stays.")
@click.option("--dry-run", is_flag=True, help="Check the file, and tell what would be written.")
@store_option
def import_(file: str, replace: bool, merge: bool, dry_run: bool, store: str) -> None:
    """Put what `ocicat store export` wrote into FILE (- is standard input) into an empty datastore.

    The whole file is checked before anything is written. The datastore is locked meanwhile; at the end its lock is that of the
    export. Of an export with --prefix, only keys under that prefix are written or deleted. An import that is cut off leaves
    the datastore locked, and the same command goes on.

    \b
    Example:
      ocicat store import /var/backups/ocicat.jsonl.gz --store etcd://etcd.example.com:2379
    """
    if replace and merge:
        raise UserError("--replace and --merge: give one of them")
    how: Mode = "replace" if replace else "merge" if merge else "import"
    found = read_stream(sys.stdin.buffer, what="standard input") if file == _STREAM else read_file(Path(file))
    source = ExportSource(found)

    async def run() -> Plan:
        async with _destination(store, dry_run=dry_run) as opened:
            if dry_run or opened is None:
                return await plan(source, opened, how)
            try:
                return await transfer(source, opened, how, started=_now(), progress=Ticker())
            except BaseException:
                await _tell_unfinished(source, opened)
                raise

    done = _stoppable(run)
    _tell(done, f"{file}, which was exported from {found.header.source}", store, dry_run=dry_run)


@click.command()
@click.argument("source")
@click.argument("destination")
@click.option("--keep-source-locked", is_flag=True, help="So that nothing changes there until the agents have moved.")
@click.option("--dry-run", is_flag=True, help="Check both, and tell what would be written.")
def copy(source: str, destination: str, keep_source_locked: bool, dry_run: bool) -> None:
    """Copy the whole datastore SOURCE into the empty datastore DESTINATION. Both are given by their URLs.

    Both are locked meanwhile: what runs goes on, and no new container gets an address. At the end every key was read back and
    compared, and the locks are what they were. A copy that is cut off goes on where it was when the same command is given
    again. Running agents keep to the source until their setting is changed.

    \b
    Example:
      ocicat store copy sqlite:///var/lib/ocicat/store.db etcd://etcd.example.com:2379
    """
    _refuse_same(source, destination)

    async def run() -> tuple[Plan, list[Presence]]:
        async with _opened(source, create=False) as opened, _destination(destination, dry_run=dry_run) as to:
            origin = StoreSource(opened, source)
            if dry_run or to is None:
                return await plan(origin, to, "copy"), []
            try:
                done = await transfer(
                    origin, to, "copy", started=_now(), progress=Ticker(), keep_locked=keep_source_locked
                )
            except BaseException:
                await _tell_unfinished(origin, to)
                if origin.is_held:
                    click.echo(f"{source} is still locked", err=True)
                raise
            return done, await connected(opened)

    done, agents = _stoppable(run)
    _tell(done, source, destination, dry_run=dry_run)
    if not dry_run and not done.nothing:
        _tell_next(agents, source, destination, locked=keep_source_locked)


def _stoppable(work: Callable[[], Awaitable[T]]) -> T:
    """Who ends the process, or closes its terminal, interrupts it as ^C does: a source must not stay locked for that."""

    async def run() -> T:
        task = asyncio.current_task()
        for number in _ENDINGS:
            if task and signal.getsignal(number) is signal.SIG_DFL:  # `nohup` ignores one of them, and means it
                asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        return await work()

    try:
        return asyncio.run(run())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


@asynccontextmanager
async def _opened(url: str, *, create: bool) -> AsyncIterator[Datastore]:
    store = await open_store(url, create=create)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def _destination(url: str, *, dry_run: bool) -> AsyncIterator[Datastore | None]:
    """None: there is none, and a dry run makes none."""
    try:
        async with _opened(url, create=not dry_run) as store:
            yield store
    except NotFound:
        if not dry_run:
            raise
        yield None


def _refuse_same(source: str, destination: str) -> None:
    paths = [Path(url.removeprefix(_SQLITE)) for url in (source, destination) if url.startswith(_SQLITE + "/")]
    if source == destination or (len(paths) == 2 and paths[0].resolve() == paths[1].resolve()):
        raise UserError(f"{source} and {destination} are the same datastore", hint="give another destination")


def _tell(done: Plan, source: str, destination: str, *, dry_run: bool) -> None:
    """What was done, or would be."""
    _tell_left_out(done.left_out)
    if done.nothing:
        click.echo(f"nothing to do: {destination} holds the same {done.keys} keys as {source}", err=True)
        return
    resumed = ", which goes on with what was begun" if done.resumed else ""
    if dry_run:
        counts = f"{done.written} keys would be written and {done.deleted} deleted{resumed}; nothing was done"
    else:
        counts = f"{done.written} keys written, {done.deleted} deleted{resumed}; every key was read back and compared"
    click.echo(f"{source} (revision {done.revision}, {done.keys} keys) to {destination}: {counts}", err=True)
    if done.locked and not dry_run:
        click.echo(
            "the destination is locked, as its source was: `ocicat store unlock` when it shall be used", err=True
        )


async def _tell_unfinished(source: Source, destination: Datastore) -> None:
    """After an error: did it begin at all?"""
    with suppress(OcicatError):
        note = await destination.get(RECORD)
        if note is not None and read_record(note.value).source == source.name:
            click.echo("not finished: the destination stays locked, and the same command goes on", err=True)


def _tell_next(agents: list[Presence], source: str, destination: str, *, locked: bool) -> None:
    who = f"the agents on {hosts_of(agents)}" if agents else "agents"
    click.echo(f"{who} keep to {source} until they are started again with --store {destination}", err=True)
    if locked:
        click.echo(f"{source} stays locked: no new container gets an address from agents that use it", err=True)
    else:
        click.echo(f"{source} is what it was: what changes there from now on is not in {destination}", err=True)


def _tell_left_out(names: tuple[str, ...]) -> None:
    for name in names:
        click.echo(f"ocicat: left out: key {name!r}: is not valid UTF-8", err=True)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
