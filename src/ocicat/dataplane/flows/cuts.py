"""When policy tightens, the established flows that it now forbids are ended, and no other.

    messages ─> tightening ─pass─> Search ─(reaper walks the connection table)─> flows ─> judge, some at a time ─> Cut ─(reaper)─┐
                                     ^                                                                                           │
                                     └──────────────────── once more, if any was ended ──────────────────────────────────────────┘
A flow is judged as if its first packet came now, by the way that its addresses say: the real destination is who answers, the source
is who began. It is judged after the walk that found it, and after a pass: what forbids it is in the kernel then, and has been all
the time that its successor could have needed to be allowed. A packet that met the old rules may enter its flow into the table
behind the walk's back; therefore once more.

Left alone, because a new packet could not be judged: flows that another flow announced (a helper's), to broadcast and multicast
addresses, and of the host with itself. Where only the interface of the far end is not known, host endpoints are not asked.

A TCP flow could come back from its other end: connection tracking takes up a flow in its middle, as a new one in the direction of
the first packet it sees, and that way may be allowed. `guards` are what keeps it from that (`skeleton`). Other protocols need none:
what the other end sends is new there, and for the policy of that direction.

Invariants: 1. One search at a time; what tightens meanwhile waits for the next. 2. The table is walked for a tenth of the time at
most. 3. Where an allowed flow was ended all the same, TCP takes it up again. Pure.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable

from ocicat.dataplane.api import DataplaneConfig, FlowsCut
from ocicat.dataplane.flows.judge import UNKNOWN, FlowJudge, Passage
from ocicat.dataplane.flows.tightening import Tightened, Tightening
from ocicat.dataplane.managers.hosts import EVERY, lists
from ocicat.dataplane.managers.router import Managers
from ocicat.dataplane.reconcile.ledger import Ledger
from ocicat.dataplane.ruleset.objects import SetChange
from ocicat.dataplane.ruleset.skeleton import CUT_FLOWS
from ocicat.model.base import Struct, replace
from ocicat.model.net import Addr
from ocicat.model.packet import Packet
from ocicat.model.wanted import Endpoint, HostEndpoint, Message
from ocicat.netlink import inet
from ocicat.netlink.conntrack import EXPECTED, Flow
from ocicat.netlink.inet import Prefix
from ocicat.netlink.nftset import Element, concat, key_port

_TCP = 6
_IDLE_PER_WALK = 9.0
_LONGEST_IDLE_S = 2.0
_RETRY_S = 1.0


class Search(Struct, frozen=True):
    """The flows that may be forbidden now, of these endpoints or whose addresses changed. `again`: after some were ended."""

    tightened: Tightened
    endpoints: tuple[Endpoint, ...]
    hosts: tuple[HostEndpoint, ...]
    again: bool = False

    def __str__(self) -> str:
        return "flows"


class Cut(Struct, frozen=True):
    """Flows to end."""

    flows: tuple[Flow, ...]

    def __str__(self) -> str:
        return "flows"


class Scope(Struct, frozen=True):
    """Flows from, to, and by DNAT to these (packed)."""

    addresses: frozenset[bytes] = frozenset()
    nets: tuple[Prefix, ...] = ()
    everything: bool = False


def scope(search: Search) -> Scope:
    """Where no host endpoint is, flows without a workload meet no policy."""
    tightened = search.tightened
    if search.hosts and (tightened.everything or any(_is_concerned(host, tightened) for host in search.hosts)):
        return Scope(everything=True)
    concerned = (
        address
        for endpoint in search.endpoints
        if tightened.everything or tightened.concerns((*endpoint.ingress, *endpoint.egress), endpoint.profiles)
        for address in endpoint.addresses
    )
    nets = (Prefix(net.address.pack(), net.length) for net in tightened.nets)
    return Scope(frozenset(each.pack() for each in (*tightened.addresses, *concerned)), tuple(nets))


def _is_concerned(host: HostEndpoint, tightened: Tightened) -> bool:
    return any(tightened.concerns(each.tiers, each.profiles) for each in lists(host).values())


class Places:
    """Which interface of this host leads to an address: a workload's, "" for the host itself, UNKNOWN, or EVERY if it is all one.

    `is_local`, None: neither the host's nor another's. `way_to`: the interface by the routes; it is asked only if it matters.
    """

    def __init__(
        self,
        managers: Managers,
        ledger: Ledger,
        is_local: Callable[[bytes], bool | None],
        way_to: Callable[[bytes], str],
    ) -> None:
        self._managers = managers
        self._ledger = ledger
        self._is_local = is_local
        self._way_to = way_to
        self._told: dict[bytes, str | None] = {}

    def __call__(self, address: bytes) -> str | None:
        """None: it cannot be said what becomes of packets from there or to there."""
        if address not in self._told:
            self._told[address] = self._find(address)
        return self._told[address]

    def _find(self, address: bytes) -> str | None:
        holder = self._managers.endpoints.endpoints.get(self._ledger.route_holder(inet.host(address)))
        if holder is not None:
            return holder.interface
        local = self._is_local(address)
        if local is None:
            return None
        return "" if local else self._elsewhere(address)

    def _elsewhere(self, address: bytes) -> str:
        if self._may_be_a_workloads(Addr.unpack(address)):
            return UNKNOWN
        named = self._managers.hosts.endpoints.keys() - {EVERY}
        return self._way_to(address) if named else EVERY

    def _may_be_a_workloads(self, address: Addr) -> bool:
        endpoints = self._managers.endpoints.endpoints.values()
        return any(address in net for endpoint in endpoints for net in endpoint.sources)


def passage(flow: Flow, places: Callable[[bytes], str | None]) -> Passage | None:
    """Of its first packet, through this host. None: nobody can say."""
    original, reply = flow.original, flow.reply
    enters, leaves = places(original.src), places(reply.src)
    if flow.status & EXPECTED or enters is None or leaves is None or not (enters or leaves):
        return None
    packet = Packet(
        original.protocol,
        Addr.unpack(original.src),
        Addr.unpack(original.dst),
        original.src_port,
        original.dst_port,
        original.icmp_type,
        original.icmp_code,
    )
    same = (original.dst, original.dst_port) == (reply.src, reply.src_port)
    return Passage(packet, enters, leaves, None if same else (Addr.unpack(reply.src), reply.src_port))


def guards(flows: Iterable[Flow]) -> list[SetChange]:
    """Elements that stand for these flows, if they are TCP, as their other ends would take them up again. Where addresses or ports
    were translated nobody would know that packet."""
    found: dict[int, list[Element]] = {}
    for flow in flows:
        original, reply = flow.original, flow.reply
        there, back = (original.src, original.src_port), (original.dst, original.dst_port)
        if original.protocol == _TCP and (reply.src, reply.src_port, reply.dst, reply.dst_port) == (*back, *there):
            key = concat(reply.src, key_port(reply.src_port), reply.dst, key_port(reply.dst_port))
            found.setdefault(4 if len(reply.src) == 4 else 6, []).append(Element(key))
    return [SetChange(CUT_FLOWS[family], (), tuple(elements)) for family, elements in found.items()]


class Cuts:
    """What to look for, what was found, what of it is forbidden. Times are the monotonic clock's.

    `trouble`: why it could not be done, and is tried again; "" if it could. `reports`: until the caller takes them.
    """

    def __init__(self, config: DataplaneConfig, managers: Managers) -> None:
        self._config = config
        self._managers = managers
        self._tightening = Tightening()
        self._pending = Tightened()
        self._running: Search | None = None  # from the walk until the last of its flows is ended
        self._repeat: Search | None = None
        self._walking = False
        self._began = self._not_before = 0.0
        self._found: deque[Flow] = deque()
        self._judge: FlowJudge | None = None
        self._ending: dict[Flow, str] = {}
        self._ended: Counter[str] = Counter()
        self.forbidden: dict[Flow, str] = {}  # and why; for the caller to guard and hand over
        self.trouble = ""
        self.reports: list[FlowsCut] = []

    def note(self, message: Message) -> None:
        self._tightening.note(message)
        self._judge = None

    def note_everything(self) -> None:
        """Another hand was in our rules: anything may have come in."""
        self._tightening.note_everything()

    def search(self, now: float) -> Search | None:
        """What to look for now, after a pass that has put all that was noted into the kernel."""
        self._pending = self._pending.joined(self._tightening.take())
        if self._running or now < self._not_before or self.wait_s(now) is None:
            return None
        self._running, self._repeat = self._repeat or self._new_search(), None
        self._walking, self._began = True, now
        return self._running

    def _new_search(self) -> Search:
        tightened, self._pending = self._pending, Tightened()
        endpoints, hosts = self._managers.endpoints.endpoints, self._managers.hosts.endpoints
        return Search(tightened, tuple(endpoints.values()), tuple(hosts.values()))

    def wait_s(self, now: float) -> float | None:
        """How long until there is something to do, without news from anybody; None: there is nothing."""
        if self._found or self.forbidden:
            return 0.0
        if self._running or (self._repeat is None and self._pending == Tightened()):
            return None
        return max(0.0, self._not_before - now)

    def found(self, flows: Iterable[Flow], now: float) -> None:
        self._not_before = now + min(_IDLE_PER_WALK * (now - self._began), _LONGEST_IDLE_S)
        self._found.extend(flows)
        self._walking, self.trouble = False, ""
        self._perhaps_done()

    def judge(self, places: Callable[[bytes], str | None], has_time: Callable[[], bool]) -> None:
        """Of the flows that were found, as many as there is time for."""
        judge = self._judge = self._judge or FlowJudge(self._config, self._managers)
        while self._found and has_time():
            flow = self._found.popleft()
            way = passage(flow, places)
            if way is not None and (reason := judge.rule(way).reason):
                self.forbidden[flow] = reason
        self._perhaps_done()

    def handed_over(self) -> Cut:
        """The forbidden ones, which their guards already stand for."""
        cut = Cut(tuple(self.forbidden))
        self._ending |= self.forbidden
        self.forbidden.clear()
        return cut

    def ended(self, cut: Cut, there: Iterable[Flow]) -> None:
        """`there`: those that had not ended by themselves."""
        reasons = {flow: self._ending.pop(flow) for flow in cut.flows}
        self._ended.update(reasons[flow] for flow in there)
        self._perhaps_done()

    def failed(self, item: Search | Cut, text: str, now: float) -> None:
        """It is looked for anew."""
        self.trouble = text
        self._not_before = now + _RETRY_S
        if self._running:
            self._pending = self._pending.joined(self._running.tightened)
        if isinstance(item, Search):
            self._walking = False
        else:
            for flow in item.flows:
                del self._ending[flow]
        self._perhaps_done()

    def _perhaps_done(self) -> None:
        if self._running is None or self._walking or self._found or self.forbidden or self._ending:
            return
        search, self._running = self._running, None
        if self._ended:
            self.reports.append(FlowsCut(self._ended.total(), tuple(self._ended.most_common())))
            self._ended.clear()
            self._repeat = None if search.again else replace(search, again=True)
