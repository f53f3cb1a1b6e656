"""Members of selectors and of named ports, as sets: one for each family.

A set of addresses is a hash set, where one member more costs the same however many there are. One that holds nets too is an
interval set under another name, in which no range overlaps another: nets within nets, and addresses within nets, are left out.

A set is in the kernel as long as a rule names it: peers that are looked up (`flat.chains`) need none.

Invariants: 1. Which kind a set is depends on whether there are nets in it now, not on what was there before. 2. The cost of a
change of addresses does not grow with the set; that of a change of nets does. Pure.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from ocicat.dataplane.reconcile.ledger import Ledger, element_key
from ocicat.dataplane.ruleset.flat.space import Members
from ocicat.dataplane.ruleset.objects import SetSpec
from ocicat.dataplane.ruleset.rules import hosts_name, ports_name, range_element, ranges_name
from ocicat.model.net import WIDTH, Addr, Cidr
from ocicat.model.wanted import AddressSet, HostPort, PortSet
from ocicat.netlink.nftset import Element, concat, key_port, key_protocol

FAMILIES = (4, 6)


@dataclass(slots=True)
class _Members:
    """Of one family. `outer`: the nets that lie in no other one, in order; `starts`: where they begin."""

    hosts: set[Addr] = field(default_factory=set)
    nets: set[Cidr] = field(default_factory=set)
    outer: list[Cidr] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)

    def find_outer(self) -> None:
        self.outer = []
        for net in sorted(self.nets, key=lambda net: (net.network, net.length)):
            if not self.outer or not self.outer[-1].covers(net):
                self.outer.append(net)
        self.starts = [net.network for net in self.outer]

    def covers(self, address: Addr) -> bool:
        place = bisect_right(self.starts, address.value)
        return place > 0 and address in self.outer[place - 1]


class SetManager:
    """`name` is how rules call a set now: those that do say so by `use`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._sets: dict[tuple[str, int], _Members] = {}
        self._called: dict[str, tuple[str, int]] = {}  # sets by the names they were given
        self._used: set[str] = set()

    def name(self, set_id: str, family: int) -> str:
        members = self._sets.get((set_id, family))
        name = ranges_name(set_id, family) if members and members.nets else hosts_name(set_id, family)
        self._called[name] = set_id, family
        return name

    def use(self, name: str) -> None:
        """There is a rule with that name in it."""
        self._used.add(name)
        set_id, family = self._called[name]
        members = self._sets.get((set_id, family))
        if members is not None:
            self._fill(name, members, family)

    def use_no_more(self, name: str) -> None:
        self._used.discard(name)
        self._ledger.unwant_set(name)

    def size(self, set_id: str) -> int:
        """How many members it has, of both families, rounded up to the next power of two."""
        found = [self._sets.get((set_id, family)) for family in FAMILIES]
        members = sum(len(each.hosts) + len(each.nets) for each in found if each)
        return 1 << members.bit_length() if members else 0

    def has(self, set_id: str, address: Addr) -> bool:
        members = self._sets.get((set_id, address.family))
        return members is not None and (address in members.hosts or members.covers(address))

    def finder(self, set_ids: Collection[str], family: int) -> Callable[[Addr], frozenset[str]]:
        """Which of these sets hold an address, for who asks often. Good until the next change."""
        there = [(each, found) for each in set_ids if (found := self._sets.get((each, family)))]
        return lambda address: frozenset(
            [each for each, found in there if address in found.hosts or (found.nets and found.covers(address))]
        )

    def has_port(self, set_id: str, address: Addr, protocol: int, port: int) -> bool:
        members = self._ledger.elements.get(ports_name(set_id, address.family))
        return members is not None and members.wanted(_host_port((address, protocol, port)).key) is not None

    def members(self, set_id: str, family: int) -> Members:
        found = self._sets.get((set_id, family), _Members())
        return Members([host.value for host in found.hosts], found.nets)

    def change(self, message: AddressSet) -> bool:
        """Is a set called differently from now on?"""
        four, six = (self._change(message, family) for family in FAMILIES)
        return four or six

    def gone(self, set_id: str) -> None:
        for family in FAMILIES:
            self._ledger.unwant_set(self.name(set_id, family))
            self._sets.pop((set_id, family), None)
            for name in (hosts_name(set_id, family), ranges_name(set_id, family)):
                self._called.pop(name, None)

    def change_ports(self, message: PortSet) -> None:
        for family in FAMILIES:
            self._ledger.want_set(_ports_spec(message.set_id, family))
        for host in message.removed - message.added:
            name = ports_name(message.set_id, host[0].family)
            self._ledger.unwant_element(name, element_key(_host_port(host)))
        for host in message.added:
            self._ledger.want_element(ports_name(message.set_id, host[0].family), _host_port(host))

    def ports_gone(self, set_id: str) -> None:
        for family in FAMILIES:
            self._ledger.unwant_set(ports_name(set_id, family))

    def _change(self, message: AddressSet, family: int) -> bool:
        members = self._sets.setdefault((message.set_id, family), _Members())
        before = self.name(message.set_id, family)
        added = {each for each in message.added if each.family == family}
        removed = {each for each in message.removed if each.family == family} - added
        members.hosts |= added
        members.hosts -= removed
        nets = _of(members.nets, family, message.nets_added, message.nets_removed)
        same_nets = nets == members.nets
        members.nets = nets
        name = self.name(message.set_id, family)
        if not same_nets:
            members.find_outer()
        if name in self._used and same_nets and self._ledger.sets.wanted(name):
            self._change_hosts(name, members, added, removed)
        elif name in self._used:
            self._fill(name, members, family)
        return name != before

    def _change_hosts(self, name: str, members: _Members, added: set[Addr], removed: set[Addr]) -> None:
        for address in removed:
            if not members.covers(address):
                self._ledger.unwant_element(name, address.pack())
        for address in added:
            if not members.covers(address):
                self._ledger.want_element(name, _host(address, members))

    def _fill(self, name: str, members: _Members, family: int) -> None:
        self._ledger.want_set(SetSpec(name, f"ipv{family}_addr", interval=bool(members.nets)))
        size_bytes = WIDTH[family] // 8
        elements = [range_element(net.network, net.network + net.size - 1, size_bytes) for net in members.outer]
        elements += [_host(host, members) for host in members.hosts if not members.covers(host)]
        wanted = {element_key(element): element for element in elements}
        for key in [key for key in self._ledger.elements[name].all_wanted() if key not in wanted]:
            self._ledger.unwant_element(name, key)
        for element in elements:
            self._ledger.want_element(name, element)


def _of(nets: set[Cidr], family: int, added: Iterable[Cidr], removed: Iterable[Cidr]) -> set[Cidr]:
    new = {net for net in added if net.family == family}
    return (nets - {net for net in removed if net.family == family}) | new


def _host(address: Addr, members: _Members) -> Element:
    if not members.nets:
        return Element(address.pack())
    return range_element(address.value, address.value, WIDTH[address.family] // 8)


def _ports_spec(set_id: str, family: int) -> SetSpec:
    return SetSpec(ports_name(set_id, family), f"ipv{family}_addr . inet_proto . inet_service")


def _host_port(host: HostPort) -> Element:
    address, protocol, port = host
    return Element(concat(address.pack(), key_protocol(protocol), key_port(port)))
