"""What the agents of this host, and the masters among its peers, call each other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from ocicat.changes.files import Tree
from ocicat.errors import OcicatError
from ocicat.host.facts.processes import Process
from ocicat.mesos.http import Request, fetch
from ocicat.mesos.masters import Endpoint
from ocicat.mesos.setup import facts, places
from ocicat.model.base import Struct, field
from ocicat.model.codec import decode_json
from ocicat.settings import arguments, layers, reading
from ocicat.settings.layers import Layer
from ocicat.settings.resolve import resolve

PATIENCE_S = 2.0
_MESOS = ("mesos-agent", "mesos-slave", "lt-mesos-agent", "lt-mesos-slave")


class Own(Struct, frozen=True):
    """What the ocicat agent of this host was told. `mtu` in bytes; 0: nothing. `unread`: why its file is not known."""

    name: str
    mtu: int
    unread: str = ""


class Known(Struct, frozen=True):
    """A host, as a master or the datastore knows it. `by`: who says so, for people."""

    hostname: str
    addresses: tuple[str, ...]
    by: str


class Agents(Struct, frozen=True):
    """`mesos`: the name that this host's Mesos agent goes by, or is configured to; "": neither is known. `own` None: no ocicat
    agent runs here. `known` None: no master told."""

    mesos: str = ""
    own: Own | None = None
    known: tuple[Known, ...] | None = None
    isolation: str = ""
    mesos_pid: int = 0


async def look(tree: Tree, running: Iterable[Process], masters: Iterable[Endpoint]) -> Agents:
    processes = tuple(running)
    settings = places.settings(tree, places.unit(tree))
    mesos, known = await asyncio.gather(_mesos(facts.endpoint(settings)), _known(masters))
    return Agents(
        mesos=mesos or facts.value(settings, "hostname"),
        own=next((_own(one.pid) for one in processes if arguments.is_agent(one.words)), None),
        known=known,
        isolation=facts.value(settings, "isolation"),
        mesos_pid=next((one.pid for one in processes if one.is_called(*_MESOS)), 0),
    )


async def _mesos(agent: Endpoint) -> str:
    try:
        async with asyncio.timeout(PATIENCE_S):
            return (await facts.ask(agent)).hostname
    except (OcicatError, TimeoutError):
        return ""


def _own(pid: int) -> Own:
    found = reading.process(pid)
    if found is None:
        return Own("", 0, "it has just ended")
    started = arguments.started(found)
    options, variables = layers.of_options(started.options), layers.of_variables(found.variables)
    file, unread = _file(started.file, pid)
    told = resolve([options, variables, file])
    return Own(told.text("host.name"), told.whole("agent.mtu"), unread)


def _file(path: str, pid: int) -> tuple[Layer, str]:
    """As the agent sees it, which may run in another directory, or in a container; and why it cannot be read."""
    try:
        return reading.file_layer(path, reading.Place(pid)), ""
    except OcicatError as error:
        return Layer(), error.message


class _Slave(Struct, frozen=True):
    hostname: str = ""
    pid: str = ""  # slave(1)@10.0.0.1:5051
    active: bool = True


class _Slaves(Struct, frozen=True):
    slaves: tuple[_Slave, ...] = field(default=())


async def _known(masters: Iterable[Endpoint]) -> tuple[Known, ...] | None:
    """Of the first that tells: they send on to the one that leads. All are asked at once, so that silent ones cost no time."""
    told = await asyncio.gather(*map(_known_by, masters))
    return next((one for one in told if one is not None), None)


async def _known_by(master: Endpoint) -> tuple[Known, ...] | None:
    try:
        body = await fetch(Request(master, "/slaves"), PATIENCE_S)
        slaves = decode_json(_Slaves, body).slaves
    except OcicatError:
        return None
    return tuple(_known_one(one, f"the Mesos master {master}") for one in slaves if one.active)


def _known_one(one: _Slave, by: str) -> Known:
    address = one.pid.partition("@")[2].rpartition(":")[0].strip("[]")
    return Known(one.hostname, (address,) if address else (), by)
