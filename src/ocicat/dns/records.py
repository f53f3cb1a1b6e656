"""Which names a Mesos cluster has: the records of its tasks, agents, frameworks and masters, as Mesos-DNS names them. PURE.

With Z for the zone, F for the framework's name, T for the task's (that of its DiscoveryInfo, if that has one):

    T.F.Z, T-hash-agent.F.Z          where the task is: its own address, or its host's
    T.F.slave.Z, and the long one    its host's address
    _T._tcp.F.Z, _T._udp.F.Z         its ports: those of DiscoveryInfo (also as _port._T._tcp.F.Z), or else its host's that it has
    _T._tcp.F.slave.Z                its host's ports, always
    F.Z, _framework._tcp.F.Z         the scheduler
    leader.Z, master.Z, masterN.Z, slave.Z, _leader._tcp.Z (and _udp), _master._tcp.Z, _slave._tcp.Z

and beyond Mesos-DNS:

    V.K.label.Z, _tcp.V.K.label.Z, _port._tcp.V.K.label.Z    tasks by a label K=V of theirs, or of their network
    the reverse names of tasks' own addresses

1. Only tasks that run and that no health check calls unhealthy (or has not called healthy yet) have names.
2. Every name is one the wire can carry; what would be none, or too long, is left out.
3. A task's own address is the first source that says any: its network, the labels of its status, its host.
4. A task has the names of 100 ports at most: some are given all ports of their host.
5. What is in the zone for itself is nobody else's: a framework that is called so has no names, and none of its tasks has.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice

from ocicat.dns import names
from ocicat.dns.wire import Type
from ocicat.dns.zone import CLUSTER, EVERYBODY, Entry, Goal
from ocicat.errors import UserError
from ocicat.mesos.masters import Endpoint, parse_endpoint
from ocicat.mesos.tasks import AgentSummary, FrameworkSummary, Task
from ocicat.model.base import Struct, replace
from ocicat.model.net import Addr
from ocicat.model.v3.numbers import protocol_number

LABEL = "label"  # the names of tasks by labels lie below it
_PROTOCOLS = ("tcp", "udp")
_STATUS_LABELS = ("MesosContainerizer.NetworkSettings.IPAddress", "Docker.NetworkSettings.IPAddress")
_MOST_PORTS = 100
_RESERVED = re.compile(rf"leader|master\d*|slave|ns1|{LABEL}")


class Naming(Struct, frozen=True):
    """The zone, without dots at its ends; and whether labels are those of RFC 952 (24 characters, none of the first a digit)."""

    zone: str = "mesos"
    rfc952: bool = False

    def label(self, text: str) -> str:
        return names.label(text, rfc952=self.rfc952)

    def framework(self, text: str) -> str:
        """Below which its tasks are; "" where it can have no names: promise 5."""
        return "" if self.is_reserved(text) else names.labels(text, rfc952=self.rfc952)

    def is_reserved(self, framework: str) -> bool:
        """The label next to the zone is what counts: of "x.slave" all names would be among those of hosts."""
        last = names.labels(framework, rfc952=self.rfc952).rpartition(".")[2]
        return _RESERVED.fullmatch(last) is not None

    def entry(self, name: str, type_: Type, data: bytes, goal: Goal | None = None) -> Entry:
        """UserError for a name that cannot be."""
        return Entry(names.wire(f"{name}.{self.zone}").lower(), type_, data, goal)

    def addresses(self, name: str, addresses: Iterable[Addr], *, everybodys: bool = False) -> Iterator[Entry]:
        for one in addresses:
            yield self.entry(name, _ADDRESS[one.family], one.pack(), None if everybodys else Goal((one,)))

    def services(self, titles: Iterable[str], host: str, goal: Goal | None, port: int) -> Iterator[Entry]:
        return (self.service(title, host, goal, port) for title in titles)

    def service(self, name: str, host: str, goal: Goal | None, port: int) -> Entry:
        """`host` below the zone. UserError for a port that cannot be, too."""
        if not 0 < port < 65536:
            raise UserError(f"port {port} is not between 1 and 65535")
        target = names.wire(f"{host}.{self.zone}").lower()
        return self.entry(name, Type.SRV, struct.pack("!3H", 0, 0, port) + target, goal)


_ADDRESS = {4: Type.A, 6: Type.AAAA}


# --- tasks -------------------------------------------------------------------------------------------------------


def is_named(task: Task) -> bool:
    """Promise 1."""
    return task.running and (task.healthy is True if task.health_checked else task.healthy is not False)


def of_task(task: Task, naming: Naming) -> tuple[Entry, ...]:
    discovery = task.discovery
    name, framework = naming.label((discovery.name if discovery else "") or task.name), naming.framework(task.framework)
    if not is_named(task) or not name or not framework:
        return ()
    task_names = _TaskNames(task, naming, f"{name}.{framework}", _canonical(name, task, framework))
    found = tuple(_possible(task_names.entries(name, framework)))
    audience = _audience(task)
    return tuple(replace(one, audience=audience) for one in found) if audience else found


def _audience(task: Task) -> str:
    """Whom its framework means to see it; one that says nothing means everybody."""
    visibility = task.discovery.visibility if task.discovery else ""
    return {"FRAMEWORK": task.framework_id, "CLUSTER": CLUSTER}.get(visibility, EVERYBODY)


def own_addresses(task: Task) -> tuple[Addr, ...]:
    """Promise 3."""
    labels = (task.status_labels.get(key, "") for key in _STATUS_LABELS)
    sources = (task.ip_addresses, *((text,) for text in labels), (task.host_address,))
    return next((found for source in sources if (found := tuple(_addresses(source)))), ())


def _canonical(name: str, task: Task, framework: str) -> str:
    return f"{names.canonical(name, task.id, task.agent_id)}.{framework}"


class _Port(Struct, frozen=True):
    """`host`: below the zone, where it is."""

    name: str
    protocol: str
    number: int
    host: str
    addresses: tuple[Addr, ...]

    @property
    def goal(self) -> Goal:
        return Goal(self.addresses, protocol_number(self.protocol) or 0, self.number)


class _TaskNames:
    def __init__(self, task: Task, naming: Naming, short: str, canonical: str) -> None:
        self._task, self._naming = task, naming
        self._short, self._canonical = short, canonical
        self._own = own_addresses(task)
        self._host = tuple(_addresses((task.host_address,)))

    def entries(self, name: str, framework: str) -> Iterator[Iterator[Entry]]:
        """In parts, each of which may fail for itself."""
        naming = self._naming
        for title in (self._short, self._canonical):
            yield naming.addresses(title, self._own)
            host = title.removesuffix(framework) + f"{framework}.slave"
            yield naming.addresses(host, self._host)
        on_host, told = list(self._host_ports()), list(self._told_ports())
        for port in on_host:
            yield self._services((f"_{name}._{port.protocol}.{framework}.slave",), port)
        for port in told:
            plain = f"_{name}._{port.protocol}.{framework}"
            yield self._services((plain, *_with_port_name(port, plain)), port)
        yield from self._by_labels(told)
        yield self._reverse()

    def _services(self, titles: Iterable[str], port: _Port) -> Iterator[Entry]:
        yield from self._naming.services(titles, port.host, port.goal, port.number)

    def _host_ports(self) -> Iterator[_Port]:
        host = f"{self._canonical}.slave"
        numbers = chain.from_iterable(ports.numbers() for ports in self._task.ports)
        for number in islice(numbers, _MOST_PORTS):
            for protocol in _PROTOCOLS:
                yield _Port("", protocol, number, host, self._host)

    def _told_ports(self) -> Iterator[_Port]:
        """As its framework tells them; if it tells no name, those of its host."""
        discovery = self._task.discovery
        if discovery is None or not discovery.name:
            yield from self._host_ports()
            return
        for port in discovery.ports[:_MOST_PORTS]:
            for protocol in (port.protocol.lower(),) if port.protocol else _PROTOCOLS:
                if made := self._naming.label(protocol):
                    yield _Port(self._naming.label(port.name), made, port.number, self._canonical, self._own)

    def _by_labels(self, ports: Sequence[_Port]) -> Iterator[Iterator[Entry]]:
        naming = self._naming
        for key, value in sorted(set(_labels(self._task))):
            title = ".".join((naming.label(value), naming.label(key), LABEL))
            yield naming.addresses(title, self._own)
            for port in ports:
                plain = f"_{port.protocol}.{title}"
                yield self._services((plain, *_with_port_name(port, plain)), port)

    def _reverse(self) -> Iterator[Entry]:
        """An address that the task shares with its host is not its own."""
        target = names.wire(f"{self._short}.{self._naming.zone}").lower()
        for address in self._own:
            if address not in self._host:
                yield Entry(names.wire(names.reverse(address)), Type.PTR, target, Goal((address,)))


def _with_port_name(port: _Port, plain: str) -> tuple[str, ...]:
    return (f"_{port.name}.{plain}",) if port.name else ()


def _labels(task: Task) -> Iterator[tuple[str, str]]:
    yield from task.labels.items()
    for network in task.networks:
        yield from network.labels.items()


def _possible(parts: Iterable[Iterator[Entry]]) -> Iterator[Entry]:
    """Promise 2."""
    for part in parts:
        while True:
            try:
                yield next(part)
            except UserError:
                continue
            except StopIteration:
                break


def _addresses(texts: Iterable[str]) -> Iterator[Addr]:
    """Mesos gives IPv6 addresses of containers with their prefix length, and the agent's host may be a name."""
    for text in texts:
        try:
            yield Addr.parse(text.partition("/")[0])
        except UserError:
            continue


# --- the rest of the cluster -------------------------------------------------------------------------------------


def of_framework(framework: FrameworkSummary, hosts: Mapping[str, str], naming: Naming) -> tuple[Entry, ...]:
    """`hosts`: the addresses of the Mesos agents by their names; a scheduler on another host than these has no address here."""
    name = naming.framework(framework.name)
    addresses = tuple(_addresses((hosts.get(framework.hostname, framework.hostname),)))
    if not name or not addresses:
        return ()
    port = _port_of(framework.webui_url)
    parts = [naming.addresses(name, addresses, everybodys=True)]
    if port:
        parts.append(naming.services((f"_framework._tcp.{name}",), name, None, port))
    return tuple(_possible(parts))


def _port_of(url: str) -> int:
    try:
        return parse_endpoint(url.partition("://")[2].partition("/")[0], 0).port if "://" in url else 0
    except UserError:
        return 0


def of_agent(agent: AgentSummary, naming: Naming) -> tuple[Entry, ...]:
    addresses = tuple(_addresses((agent.address,)))
    if not addresses or not agent.active:
        return ()
    services = naming.services(("_slave._tcp",), "slave", None, agent.port)
    return tuple(_possible((naming.addresses("slave", addresses, everybodys=True), services)))


def of_masters(leader: Endpoint | None, listed: Sequence[Endpoint], naming: Naming) -> tuple[Entry, ...]:
    """`listed`: those that are known, in the operator's order; masters that are named by names have no address here."""
    known = dict.fromkeys((*listed, *((leader,) if leader else ())))
    placed = [(one, address) for one in known for address in _addresses((one.host,))]
    found: list[Entry] = []
    for number, (master, address) in enumerate(placed):
        for name in ("master", f"master{number}", *(("leader",) if master == leader else ())):
            found += naming.addresses(name, (address,), everybodys=True)
        found.append(naming.service("_master._tcp", f"master{number}", None, master.port))
        if master == leader:
            found += (naming.service(f"_leader._{protocol}", "leader", None, master.port) for protocol in _PROTOCOLS)
    return tuple(found)


def of_server(own: Sequence[Addr], naming: Naming) -> tuple[Entry, ...]:
    """The zone's own: who serves it, as seen from here."""
    server = names.wire(f"ns1.{naming.zone}").lower()
    zone = names.wire(naming.zone).lower()
    return (Entry(zone, Type.NS, server), *naming.addresses("ns1", own, everybodys=True))


def start_of_authority(naming: Naming, serial: int, ttl: int) -> bytes:
    """SOA data; the last number is how long an answer "there is no such name" may be kept."""
    servers = names.wire(f"ns1.{naming.zone}") + names.wire(f"root.ns1.{naming.zone}")
    return servers.lower() + struct.pack("!5I", serial & 0xFFFFFFFF, 60, 600, 86400, ttl)
