"""Rules asked one after the other, as `model.wanted` says what they mean; random ones, and random packets.

Beside it what the compiled blocks say is worked out, block by block, as the kernel would.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import pairwise

from ocicat.dataplane.ruleset.flat.blocks import Back, ByPort, ByProtocol, End, Goto, Jump, Line
from ocicat.dataplane.ruleset.flat.facts import facts, without
from ocicat.dataplane.ruleset.flat.space import Members, literal
from ocicat.dataplane.ruleset.rules import trouble
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

    def __init__(self, world, rules, direction, family, *, returns=False):
        self.returns = returns
        self.world, self.rules, self.direction, self.family = world, rules, direction, family
        self.blocks = []

    def make(self, block):
        self.blocks.append(block)
        return len(self.blocks) - 1

    def spelled(self, place):
        """A block with all that it leads to, in place of their numbers."""

        def step(one):
            match one:
                case ByProtocol(table):
                    return [(number, self.spelled(block)) for number, block in table]
                case ByPort(_, table):
                    return [(first, last, self.spelled(block)) for first, last, block in table]
                case Goto(block) | Jump(block):
                    return type(one), self.spelled(block)
            return one

        return [step(one) for one in self.blocks[place]]

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
        found = self._in_block(place, packet)
        return self._in_block(compiled.otherwise, packet) if found == BACK else found

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
                    assert all(before[1] < after[0] for before, after in pairwise(table))
                    for first, last, block in table:
                        if first <= packet.destination_port <= last:
                            return self._in_block(block, packet)
                case Goto(block):
                    return self._in_block(block, packet)
                case Jump(block):
                    found = self._in_block(block, packet)
                    if found != BACK:
                        return found
                case Back():
                    return BACK
                case End():
                    return None
        raise AssertionError("a block ends in the middle of nowhere")


BACK = -1


# --- random ones -----------------------------------------------------------------------------------------------------------

_FAMILIES = {4: "10.0.0.0", 6: "fd00::"}
ADDRESSES = {
    family: [Addr(family, Addr.parse(base).value + offset) for offset in range(8)] for family, base in _FAMILIES.items()
}
SETS = [f"s:{letter}" for letter in "abcd"]
_NAMES = ["h:http", "h:dns"]


class Random(random.Random):
    """Small worlds, in which rules and packets often meet."""

    def few(self, one, size=2):
        return tuple(one() for _ in range(self.randint(0, size)))

    def rarely(self, something, nothing):
        return something() if self.random() < 0.25 else nothing

    def address(self):
        return self.choice(ADDRESSES[self.choice((4, 6))])

    def net(self):
        address = self.address()
        return Cidr.of(address, WIDTH[address.family] - self.choice((0, 1, 1, 2, 2, 3, 32)))

    def range(self):
        first = self.randint(1, 6)
        return first, min(first + self.choice((0, 0, 0, 1, 4, 65000)), 65535)

    def set_ids(self):
        return self.few(lambda: self.choice(SETS))

    def names(self):
        return self.few(lambda: self.choice(_NAMES), 1)

    def match(self, *, ports):
        if self.random() < 0.5:
            return Match(ports=self.few(self.range) if ports else ())
        return Match(
            nets=self.rarely(lambda: self.few(self.net), ()),
            sets=self.rarely(self.set_ids, (self.choice(SETS),)),
            not_nets=self.rarely(lambda: self.few(self.net), ()),
            not_sets=self.rarely(self.set_ids, ()),
            ports=self.few(self.range) if ports else (),
            not_ports=self.rarely(lambda: self.few(self.range), ()) if ports else (),
            named=self.rarely(self.names, ()),
            not_named=self.rarely(self.names, ()),
        )

    def icmp(self):
        return self.rarely(lambda: Icmp(self.choice((0, 8)), self.choice((None, 0, 1))), None)

    def rule(self):
        protocol = self.choice((None, 6, 6, 6, 17, 1, 58))
        ports = protocol in _WITH_PORTS or self.random() < 0.05  # ports without a protocol that has them: trouble
        icmp = protocol in (None, 1, 58) and self.random() < 0.5
        return WantedRule(
            self.choice(("Allow", "Allow", "Deny", "Pass")),
            families=self.choice(((4, 6), (4, 6), (4,), (6,))),
            protocol=protocol,
            not_protocol=self.rarely(lambda: self.choice((6, 17, 1)), None),
            source=self.match(ports=ports and self.random() < 0.2),
            destination=self.match(ports=ports),
            icmp=self.icmp() if icmp else None,
            not_icmp=self.icmp() if icmp else None,
            problem="because" if self.random() < 0.05 else "",
        )

    def rules(self):
        return [self.rule() for _ in range(self.randint(1, 14))]

    def world(self):
        sets = {each: (self.few(self.address, 5), self.rarely(lambda: self.few(self.net), ())) for each in SETS}
        return World(sets, {each: set(self.few(self._host_port, 6)) for each in _NAMES})

    def _host_port(self):
        return self.address(), self.choice((6, 17)), self.randint(1, 4)

    def packet(self, family):
        return Packet(
            self.choice(ADDRESSES[family]),
            self.choice(ADDRESSES[family]),
            self.choice((6, 6, 6, 17, 1, 58, 47)),
            self.randint(1, 8),
            self.choice((self.randint(1, 8), self.randint(1, 8), self.randint(0, 65535))),
            self.choice((0, 8)),
            self.choice((0, 1)),
        )
