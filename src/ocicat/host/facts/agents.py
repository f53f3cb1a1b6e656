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
from ocicat.settings.layers import Layer, Said
from ocicat.settings.resolve import Resolved, resolve

PATIENCE_S = 2.0
_MESOS = ("mesos-agent", "mesos-slave", "lt-mesos-agent", "lt-mesos-slave")


class Own(Struct, frozen=True):
    """What the ocicat agent of this host was told. `mtu` in bytes; 0: nothing."""

    name: str
    mtu: int


class Known(Struct, frozen=True):
    """A host, as a master or the datastore knows it. `by`: who says so, for people."""

    hostname: str
    address: str
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
    told = _told(found) if found else resolve([])
    return Own(told.text("host.name"), told.whole("agent.mtu"))


def _told(process: arguments.Process) -> Resolved:
    """Options go before variables, and those before the file, as for the agent itself."""
    started = arguments.started(process)
    options = Layer(tuple(Said(key, value, "option", "") for key, value in started.options))
    try:
        file = reading.file_layer(started.file)
    except OcicatError:
        file = Layer()
    return resolve([options, layers.of_variables(process.variables), file])


class _Slave(Struct, frozen=True):
    hostname: str = ""
    pid: str = ""  # slave(1)@10.0.0.1:5051
    active: bool = True


class _Slaves(Struct, frozen=True):
    slaves: tuple[_Slave, ...] = field(default=())


async def _known(masters: Iterable[Endpoint]) -> tuple[Known, ...] | None:
    """Of the first that tells: they send on to the one that leads."""
    for master in masters:
        try:
            body = await fetch(Request(master, "/slaves"), PATIENCE_S)
            return tuple(
                _known_one(one, f"the Mesos master {master}") for one in decode_json(_Slaves, body).slaves if one.active
            )
        except OcicatError:
            continue
    return None


def _known_one(one: _Slave, by: str) -> Known:
    address = one.pid.partition("@")[2].rpartition(":")[0].strip("[]")
    return Known(one.hostname, address, by)
