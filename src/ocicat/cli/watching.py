"""`ocicat get --watch`: a row, a line of JSON or a YAML document for each change, for as long as anybody reads them.

An outage of the datastore, or changes that it no longer remembers, end nothing: the objects are listed again, and what changed
meanwhile is told as it is found. Nothing is told twice.
"""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import AsyncGenerator, Collection, Coroutine, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from io import UnsupportedOperation

import click

from ocicat.cli.columns import columns_of, row
from ocicat.cli.naming import Asked
from ocicat.cli.opening import with_store
from ocicat.cli.output import Format, aligned
from ocicat.cli.printing import name_of
from ocicat.cli.talk import say
from ocicat.errors import Unavailable, UserError
from ocicat.model.base import Struct
from ocicat.model.manifest import json_text, ordered, yaml_text
from ocicat.model.v3.kinds import Kind
from ocicat.resources import Listing, Seen, Stored, listing, watch
from ocicat.store.base import Datastore

RETRY_S = 1.0
Objects = dict[tuple[str, str], Stored]
"""By namespace and name."""


class Told(Struct, frozen=True):
    """ADDED, MODIFIED or DELETED, as Kubernetes' watches say it; and the object as it is, or was."""

    event: str
    item: Stored


def show_changes(store: str, wanted: tuple[Asked, ...], selector: str, style: Format, *, namespaces: bool) -> None:
    """Prints what there is and then every change. Ends with KeyboardInterrupt, or BrokenPipeError when nobody reads any more.

    Errors: UserError: objects of more than one kind or namespace are asked for.
    """
    kind, namespace = wanted[0].kind, wanted[0].namespace
    if any((one.kind, one.namespace) != (kind, namespace) for one in wanted):
        raise UserError("a watch shows objects of one kind", hint="watch each kind with a command of its own")
    names = {one.name for one in wanted if one.name}
    printer = _Printer(kind, style, namespaces=namespaces)

    async def run(opened: Datastore) -> None:
        await while_somebody_reads(_print(_Follower(opened, kind, namespace, names, selector), printer))

    with_store(store, run)


async def _print(follower: _Follower, printer: _Printer) -> None:
    first = await follower.list_anew()
    printer.begin(first)
    async with aclosing(follower.changes()) as changes:
        async for change in changes:
            printer.show(change)


@dataclass(slots=True)
class _Follower:
    store: Datastore
    kind: Kind
    namespace: str
    names: Collection[str]
    selector: str
    shown: Objects = field(default_factory=dict)
    revision: int = 0

    async def list_anew(self) -> list[Told]:
        """What differs from what was told before, in the order of the listing; what is gone comes last."""
        listed = await listing(self.store, self.kind, self.namespace, selector=self.selector)
        for problem in listed.problems:
            say(f"left out: {problem}")
        present = self._named(listed)
        told = [
            Told("MODIFIED" if key in self.shown else "ADDED", item)
            for key, item in present.items()
            if key not in self.shown or self.shown[key].revision != item.revision
        ]
        told += [Told("DELETED", item) for key, item in self.shown.items() if key not in present]
        self.shown, self.revision = present, listed.revision
        return told

    async def changes(self) -> AsyncGenerator[Told, None]:
        """After `list_anew`, for ever."""
        while True:
            try:
                known = tuple(self.shown.values())
                async with aclosing(self._watch(known)) as batches:
                    async for seen in batches:
                        for told in self._see(seen):
                            yield told
            except Unavailable as error:
                say(f"{error}; trying again")
            for told in await self._list_again():
                yield told

    def _watch(self, known: Collection[Stored]) -> AsyncGenerator[Seen, None]:
        return watch(
            self.store, self.kind, self.namespace, revision=self.revision + 1, selector=self.selector, known=known
        )

    async def _list_again(self) -> list[Told]:
        while True:
            try:
                return await self.list_anew()
            except Unavailable:
                await asyncio.sleep(RETRY_S)

    def _named(self, listed: Listing) -> Objects:
        return {(one.namespace, one.name): one for one in listed.items if not self.names or one.name in self.names}

    def _see(self, seen: Seen) -> Iterator[Told]:
        if self.names and seen.name not in self.names:
            return
        key = (seen.namespace, seen.name)
        before = self.shown.pop(key, None)
        if seen.problem:
            say(f"left out: {seen.problem}")
        if seen.item is not None:
            self.shown[key] = seen.item
            yield Told("ADDED" if before is None else "MODIFIED", seen.item)
        elif before is not None:
            yield Told("DELETED", before)


class _Printer:
    """Prints each change at once. A table's columns are as wide as its first rows need."""

    def __init__(self, kind: Kind, style: Format, *, namespaces: bool) -> None:
        columns = columns_of(kind, wide=style == "wide")
        space = (("NAMESPACE", "metadata.namespace"),) if namespaces and kind.namespaced else ()
        self._columns = (*space, *columns)
        self._style = style
        self._widths: list[int] = []

    def begin(self, first: list[Told]) -> None:
        if self._style in ("table", "wide"):
            lines = [["EVENT", *(head for head, _ in self._columns)], *map(self._cells, first)]
            self._widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
            self._widths[0] = len("MODIFIED")
            click.echo(aligned(lines[0], self._widths))
        for told in first:
            self.show(told)

    def show(self, told: Told) -> None:
        match self._style:
            case "json":
                click.echo(json_text(_event(told), indent=None), nl=False)
            case "yaml":
                click.echo("---\n" + yaml_text(_event(told)), nl=False)
            case "name":
                click.echo(name_of(told.item.document))
            case _:
                click.echo(aligned(self._cells(told), self._widths))

    def _cells(self, told: Told) -> list[str]:
        return [told.event, *row(self._columns, told.item.resource)]


def _event(told: Told) -> dict[str, object]:
    return {"type": told.event, "object": ordered(told.item.document.raw)}


async def while_somebody_reads(work: Coroutine[None, None, None]) -> None:
    """Runs `work`. Ends with BrokenPipeError when the reader of a pipe goes away: at once, not only at the next change."""
    task = asyncio.ensure_future(work)
    pipe = _pipe()
    if pipe is None:
        await task
        return
    loop = asyncio.get_running_loop()
    loop.add_reader(pipe, task.cancel)  # the writing end of a pipe is never readable before its reader is gone
    try:
        await task
    except asyncio.CancelledError:
        if task.cancelled() and not _cancelled_from_outside():
            raise BrokenPipeError from None
        raise
    finally:
        loop.remove_reader(pipe)


def _cancelled_from_outside() -> bool:
    """By an interrupt, that is."""
    current = asyncio.current_task()
    return current is not None and current.cancelling() > 0


def _pipe() -> int | None:
    """The file descriptor of standard output if it is a pipe."""
    with suppress(UnsupportedOperation, OSError):
        number = sys.stdout.fileno()
        if stat.S_ISFIFO(os.fstat(number).st_mode):
            return number
    return None
