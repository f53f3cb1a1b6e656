"""Settings as they are in force on this host: by the agent that runs, or by one that would be started now; and in the datastore."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from ocicat.cli.configured import Read, read
from ocicat.cli.opening import with_store
from ocicat.cli.talk import say
from ocicat.errors import OcicatError, UserError
from ocicat.model.base import Struct
from ocicat.model.codec import decode_json
from ocicat.model.v3.bgp import BGPConfiguration
from ocicat.model.v3.felix import FelixConfiguration
from ocicat.model.v3.kinds import KINDS
from ocicat.model.v3.shape import record
from ocicat.resources.unsupported import UNREAD_KINDS
from ocicat.settings import layers
from ocicat.settings.arguments import is_agent, started
from ocicat.settings.layers import Ignored, Layer
from ocicat.settings.reading import Place, process, process_behind
from ocicat.settings.resolve import resolve
from ocicat.store.base import Datastore

R = TypeVar("R", FelixConfiguration, BGPConfiguration)


class InForce(Struct, frozen=True):
    """`agent`: the process whose options and variables these are; 0: none. `alone`: no agent serves their socket."""

    read: Read
    agent: int = 0
    alone: bool = False


class Stored(Struct, frozen=True):
    """`felix`: this host's object first. `ignored`: what nothing acts on."""

    felix: tuple[Layer, ...] = ()
    ignored: tuple[Ignored, ...] = ()


def of_file(path: str) -> Read:
    """What that file says, and nobody else."""
    return read(path, variables=Layer())


def in_force(config: str, *, agent: bool = True) -> InForce:
    """`config`: another file than the usual one. `agent`: with the options and variables of the one that runs, if one does, and
    with its file as it is seen from there."""
    own = read(config)
    if config or not agent:
        return InForce(own)
    pid = process_behind(own.resolved.text("agent.socket"))
    if pid is None:
        return InForce(own, alone=True)
    found = process(pid)
    if found is None:
        say(f"the agent runs (process {pid}), but its options and variables are not for us to see")
        return InForce(own)
    if not is_agent(found.words):
        return InForce(own)
    begun = started(found)
    options, variables = layers.of_options(begun.options), layers.of_variables(found.variables)
    return InForce(read(begun.file, variables=variables, options=options, place=Place(pid)), pid)


def in_datastore(url: str, host: str) -> Stored:
    """What FelixConfiguration and BGPConfiguration say for that host. One that does not answer is told, and stops nobody."""

    async def look(store: Datastore) -> Stored:
        names = (*((f"node.{host}",) if host else ()), "default")
        felix = [(name, await _get(store, FelixConfiguration, name)) for name in names]
        bgp = [(name, await _get(store, BGPConfiguration, name)) for name in names]
        found = tuple(layers.of_felix(one.spec, name) for name, one in felix if one)
        ignored = [each for layer in found for each in layer.ignored]
        ignored += [each for name, one in bgp if one for each in _bgp(one, name)]
        return Stored(found, tuple(ignored))

    try:
        return with_store(url, look)
    except OcicatError as error:
        say(f"without what the datastore says: {error}")
        return Stored()


def of_datastore_alone(stored: Stored) -> Read:
    """For another host, whose file and environment are not known here."""
    return Read("", resolve(stored.felix))


async def _get(store: Datastore, kind: type[R], name: str) -> R | None:
    key = KINDS[kind.__name__].prefix() + name
    found = await store.get(key)
    try:
        return decode_json(kind, found.value, what=key) if found else None
    except UserError as error:
        say(f"left out: {error}")
        return None


def _bgp(found: BGPConfiguration, name: str) -> Iterator[Ignored]:
    for member in record(type(found.spec)).members:
        value = getattr(found.spec, member.attribute)
        if value != member.unset:
            shown = value if isinstance(value, bool | int | str) else str(value)
            where = f"BGPConfiguration {name}"
            yield Ignored(f"bgp.{member.name}", shown, where, UNREAD_KINDS["BGPConfiguration"])
