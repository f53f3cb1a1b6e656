"""`ocicat store status`: where the datastore is, how it does, what it holds, who uses it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

import click

from ocicat.agent.presence import AGENTS, Presence
from ocicat.cli.opening import read_all, store_option, with_store
from ocicat.cli.output import Format, format_option, table
from ocicat.cli.printing import print_raw
from ocicat.errors import UserError
from ocicat.model import keys
from ocicat.model.base import Struct
from ocicat.model.codec import decode_json, encode_json
from ocicat.store.base import Datastore, MemberStatus
from ocicat.store.schema import mark
from ocicat.store.schema.steps import CURRENT
from ocicat.store.transfer.lock import is_locked
from ocicat.store.transfer.record import RECORD, read_record

_PARTS = (
    (keys.BLOCKS, "ipam blocks"),
    (keys.AFFINITIES, "ipam affinities"),
    (keys.HANDLES, "ipam handles"),
    (keys.IPAM_CONFIG, "ipam configuration"),
)
_OURS = "/ocicat/v1/"
_ROOT = "/"
_NAMED = 10  # hosts in a sentence

T = TypeVar("T")


class Kept(Struct, frozen=True):
    """How many keys of one kind there are."""

    kind: str
    keys: int


class Shown(Struct, frozen=True, kw_only=True):
    """What `store status` prints. `filled_from`: the source of a transfer that is not finished, empty for none.

    `schema`: which form the content has, in words.
    """

    url: str
    revision: int
    compacted: int
    keys: int
    size_bytes: int
    locked: bool
    filled_from: str
    schema: str
    members: tuple[MemberStatus, ...]
    kinds: tuple[Kept, ...]
    agents: tuple[Presence, ...]


@click.command()
@store_option
@format_option
def status(store: str, style: Format) -> None:
    """Where the datastore is, how far, how large, whether it is locked; its members, what it holds, who is connected.

    A member that does not answer is told, and hides nothing of the others.

    \b
    Example:
      ocicat store status
    """
    found = with_store(store, _read, any_schema=True)
    if style in ("json", "yaml"):
        print_raw(style, decode_json(dict[str, object], encode_json(found)))
    else:
        click.echo(found.url if style == "name" else "\n\n".join(_tables(found)))


async def connected(store: Datastore) -> list[Presence]:
    """The agents that are connected, by host."""
    return await read_all(store, AGENTS, Presence)


def hosts_of(agents: Sequence[Presence]) -> str:
    """Their hosts in a sentence."""
    named = ", ".join(one.host for one in agents[:_NAMED])
    return f"{named} and {len(agents) - _NAMED} more" if len(agents) > _NAMED else named


async def _read(store: Datastore) -> Shown:
    found = await store.status()
    held = (await store.range(_ROOT)).items
    values = {item.key: item.value for item in held if item.key in (keys.CLUSTER_INFORMATION, RECORD, mark.KEY)}
    return Shown(
        url=found.url,
        revision=found.revision,
        compacted=found.compacted,
        keys=found.keys,
        size_bytes=found.size_bytes,
        locked=_told(lambda: is_locked(values.get(keys.CLUSTER_INFORMATION)), otherwise=False),
        filled_from=_told(lambda: read_record(values[RECORD]).source if RECORD in values else "", otherwise="?"),
        schema=_told(lambda: _schema(values.get(mark.KEY)), otherwise="?"),
        members=found.members,
        kinds=tuple(Kept(*kind) for kind in sorted(Counter(kind_of(item.key) for item in held).items())),
        agents=tuple(await connected(store)),
    )


def _schema(value: bytes | None) -> str:
    found = mark.read(value)
    if found.towards:
        return f"{found.version}, on its way to {found.towards}: `ocicat store migrate --to {found.towards}` goes on"
    if found.version.major > CURRENT.major:
        return f"{found.version}, newer than this ocicat, which knows {CURRENT}"
    if found.version < CURRENT:
        return f"{found.version}, `ocicat store migrate` makes it {CURRENT}"
    return str(found.version)


def _told(read: Callable[[], T], *, otherwise: T) -> T:
    """What cannot be read is told, and hides nothing else."""
    try:
        return read()
    except UserError as error:
        click.echo(f"ocicat: left out: {error}", err=True)
        return otherwise


def kind_of(key: str) -> str:
    """What lies there: the plural of a resource's kind, `ipam blocks`, `agents` (of ours), or `other`."""
    if key.startswith(keys.RESOURCES):
        return key.removeprefix(keys.RESOURCES).partition("/")[0]
    if key.startswith(_OURS):
        return key.removeprefix(_OURS).partition("/")[0]
    return next((name for prefix, name in _PARTS if key.startswith(prefix)), "other")


def _tables(found: Shown) -> list[str]:
    shown = [
        "\n".join(f"{name:<9}  {value}" for name, value in _summary(found)),
        table(
            ("member", "name", "version", "leader", "latency", "size", "problem"),
            [_member(one) for one in found.members],
        ),
    ]
    if found.kinds:
        shown.append(table(("kind", "keys"), [(one.kind, str(one.keys)) for one in found.kinds]))
    if found.agents:
        agents = [(one.host, one.version, str(one.pid), one.started) for one in found.agents]
        shown.append(table(("agent", "version", "pid", "since"), agents))
    return shown


def _summary(found: Shown) -> tuple[tuple[str, str], ...]:
    """Line by line: an address may be long."""
    return (
        ("URL", found.url),
        ("REVISION", f"{found.revision}, history from {found.compacted + 1}"),
        ("KEYS", str(found.keys)),
        ("SIZE", _size(found.size_bytes)),
        ("SCHEMA", found.schema),
        ("LOCKED", f"until it is filled from {found.filled_from}" if found.filled_from else _yes(found.locked)),
    )


def _member(one: MemberStatus) -> tuple[str, ...]:
    if one.problem and not one.version:  # it did not answer: there are no figures
        return (one.endpoint, one.name or "-", "-", "-", "-", "-", one.problem)
    figures = (f"{one.latency_ms:.1f} ms", _size(one.size_bytes))
    return (one.endpoint, one.name or "-", one.version, _yes(one.is_leader), *figures, one.problem or "-")


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1024:.0f} KiB" if size_bytes < 10 << 20 else f"{size_bytes / (1 << 20):.0f} MiB"
