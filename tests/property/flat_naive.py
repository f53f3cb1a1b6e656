"""Rules asked one after the other, as `model.wanted` says what they mean; random ones, and random packets.

Beside it what the compiled blocks say is worked out, block by block, as the kernel would.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from ocicat.dataplane.flat.blocks import ByPort, ByProtocol, End, Goto, Line
from ocicat.dataplane.flat.facts import facts, without
from ocicat.dataplane.flat.space import Members, literal
from ocicat.dataplane.rules import trouble
from ocicat.model.net import WIDTH, Addr, Cidr
from ocicat.model.wanted import Icmp, Match, WantedRule

_ICMP = {4: 1, 6: 58}
_WITH_PORTS = (6, 17, 132)


@dataclass(frozen=True)
class Packet:
    source: Addr
    destination: Addr
    protocol: int
    source_port: int = 0
    destination_port: int = 0
    icmp_type: int = 0
    icmp_code: int = 0

    @property
    def family(self):
        return self.source.family


class World:
    """`sets`: addresses and nets by set id; `names`: port sets."""

    def __init__(self, sets, names):
        self.sets = {set_id: (set(hosts), set(nets)) for set_id, (hosts, nets) in sets.items()}
        self.names = names

    def members(self, atom, family):
        if isinstance(atom, tuple):
            return literal(atom)
        hosts, nets = self.sets[atom]
        return Members(
            [host.value for host in hosts if host.family == family], [net for net in nets if net.family == family]
        )

    def holds(self, set_id, address):
        hosts, nets = self.sets[set_id]
        return address in hosts or any(address in net for net in nets)

    def matches(self, rule, packet):
        if trouble(rule):
            return True
        icmp = packet.protocol == _ICMP[packet.family]
        return (
            packet.family in rule.families
            and rule.protocol in (None, packet.protocol)
            and rule.not_protocol != packet.protocol
            and (rule.icmp is None or (icmp and _icmp(rule.icmp, packet)))
            and (rule.not_icmp is None or (icmp and not _icmp(rule.not_icmp, packet)))
            and self._side(rule.source, packet.source, packet.source_port, packet)
            and self._side(rule.destination, packet.destination, packet.destination_port, packet)
        )

    def _side(self, side, address, port, packet):
        def listed(ranges):
            return packet.protocol in _WITH_PORTS and any(first <= port <= last for first, last in ranges)

        def named(set_id):
            return (address, packet.protocol, port) in self.names[set_id]

        return (
            (not side.nets or any(address in net for net in side.nets))
            and not any(address in net for net in side.not_nets)
            and all(self.holds(each, address) for each in side.sets)
            and not any(self.holds(each, address) for each in side.not_sets)
            and ((not side.ports and not side.named) or listed(side.ports) or any(map(named, side.named)))
            and not listed(side.not_ports)
            and not any(map(named, side.not_named))
        )

    def first(self, rules, packet):
        """The index of the first rule that matches; None: none does."""
        return next((index for index, rule in enumerate(rules) if self.matches(rule, packet)), None)


def _icmp(wanted, packet):
    return wanted.type == packet.icmp_type and wanted.code in (None, packet.icmp_code)


class Asked:
    """Blocks made by `make`, and what a packet finds in them."""

    def __init__(self, world, rules, direction, family):
        self.world, self.rules, self.direction, self.family = world, rules, direction, family
        self.blocks = []

    def make(self, block):
        self.blocks.append(block)
        return len(self.blocks) - 1

    def listed(self):
        found = ((index, facts(rule, self.direction, self.family)) for index, rule in enumerate(self.rules))
        return [(index, each) for index, each in found if each is not None]

    def members(self, atom):
        return self.world.members(atom, self.family)

    def found(self, compiled, packet):
        peer = packet.source if self.direction == "ingress" else packet.destination
        place = compiled.hosts.get(peer.value)
        if place is None:
            within = [block for first, last, block in compiled.stretches if first <= peer.value <= last]
            assert len(within) <= 1
            place = within[0] if within else compiled.otherwise
        return self._in_block(place, packet)

    def _in_block(self, place, packet):
        for step in self.blocks[place]:
            match step:
                case Line(index, asks):
                    if self.world.matches(without(self.rules[index], self.direction, self.family, asks), packet):
                        return index
                case ByProtocol(table):
                    assert [number for number, _ in table] == sorted({number for number, _ in table})
                    for number, block in table:
                        if number == packet.protocol:
                            return self._in_block(block, packet)
                case ByPort(protocol, table):
                    assert packet.protocol == protocol
                    assert all(before[1] < after[0] for before, after in zip(table, table[1:], strict=False))
                    for first, last, block in table:
                        if first <= packet.destination_port <= last:
                            return self._in_block(block, packet)
                case Goto(block):
                    return self._in_block(block, packet)
                case End():
                    return None
        raise AssertionError("a block ends in the middle of nowhere")


# --- random ones -----------------------------------------------------------------------------------------------------------

_FAMILIES = {4: "10.0.0.0", 6: "fd00::"}
ADDRESSES = {
    family: [Addr(family, Addr.parse(base).value + offset) for offset in range(8)] for family, base in _FAMILIES.items()
}
ALL_ADDRESSES = [*ADDRESSES[4], *ADDRESSES[6]]
SETS = [f"s:{letter}" for letter in "abcd"]
NAMES = ["h:http", "h:dns"]

addresses = st.sampled_from(ALL_ADDRESSES)
nets = st.builds(
    lambda address, less: Cidr.of(address, WIDTH[address.family] - less),
    addresses,
    st.sampled_from([0, 1, 1, 2, 2, 3, 32]),
)
ranges = st.tuples(st.integers(1, 12), st.sampled_from([0, 0, 0, 1, 4, 65000])).map(lambda r: (r[0], min(sum(r), 65535)))


def few(strategy, size=2):
    return st.lists(strategy, max_size=size).map(tuple)


def rarely(strategy, nothing):
    return st.one_of(st.just(nothing), st.just(nothing), st.just(nothing), strategy)


def matches(ports):
    return st.builds(
        Match,
        nets=rarely(few(nets), ()),
        sets=st.one_of(st.just(()), few(st.sampled_from(SETS))),
        not_nets=rarely(few(nets), ()),
        not_sets=rarely(few(st.sampled_from(SETS)), ()),
        ports=st.one_of(st.just(()), few(ranges)) if ports else st.just(()),
        not_ports=rarely(few(ranges), ()) if ports else st.just(()),
        named=rarely(few(st.sampled_from(NAMES), 1), ()),
        not_named=rarely(few(st.sampled_from(NAMES), 1), ()),
    )


_ICMPS = rarely(st.builds(Icmp, st.sampled_from([0, 8]), st.sampled_from([None, 0, 1])), None)


@st.composite
def rules(draw):
    protocol = draw(st.sampled_from([None, 6, 6, 6, 17, 1, 58]))
    ports = protocol in _WITH_PORTS or draw(st.integers(0, 9)) == 0  # ports without a protocol that has them: trouble
    icmps = draw(st.booleans()) and protocol in (None, 1, 58)
    return WantedRule(
        draw(st.sampled_from(["Allow", "Allow", "Deny", "Pass"])),
        families=draw(st.sampled_from([(4, 6), (4, 6), (4,), (6,)])),
        protocol=protocol,
        not_protocol=draw(rarely(st.sampled_from([6, 17, 1]), None)),
        source=draw(st.one_of(st.just(Match()), matches(ports))),
        destination=draw(st.one_of(st.just(Match()), matches(ports))),
        icmp=draw(_ICMPS) if icmps else None,
        not_icmp=draw(_ICMPS) if icmps else None,
        problem=draw(st.sampled_from(["", "", "", "", "", "", "", "because"])),
    )


worlds = st.builds(
    World,
    st.fixed_dictionaries({each: st.tuples(few(addresses, 5), rarely(few(nets), ())) for each in SETS}),
    st.fixed_dictionaries(
        {each: st.frozensets(st.tuples(addresses, st.sampled_from([6, 17]), st.integers(1, 4))) for each in NAMES}
    ),
)


@st.composite
def packets(draw, family):
    return Packet(
        draw(st.sampled_from(ADDRESSES[family])),
        draw(st.sampled_from(ADDRESSES[family])),
        draw(st.sampled_from([6, 6, 6, 17, 1, 58, 47])),
        draw(st.integers(1, 14)),
        draw(st.one_of(st.integers(1, 18), st.integers(0, 65535))),
        draw(st.sampled_from([0, 8])),
        draw(st.sampled_from([0, 1])),
    )
