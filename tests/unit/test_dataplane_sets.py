"""Members of selectors as sets: which kind they are, and that what is in them is what the messages said."""

import random
from itertools import pairwise

import pytest

from ocicat.dataplane.managers.sets import SetManager
from ocicat.dataplane.reconcile.ledger import Ledger
from ocicat.dataplane.ruleset.objects import SetSpec
from ocicat.dataplane.ruleset.rules import ports_name
from ocicat.model.net import Addr, Cidr
from ocicat.model.wanted import AddressSet, PortSet


@pytest.fixture
def ledger():
    return Ledger()


class Named(SetManager):
    """With a rule that names each set, as it is called."""

    def change(self, message):
        before = self._names(message.set_id)
        renamed = super().change(message)
        now = self._names(message.set_id)
        for name in now - self._used:
            self.use(name)
        for name in before - now:
            self.use_no_more(name)
        return renamed

    def _names(self, set_id):
        return {self.name(set_id, family) for family in (4, 6)}


@pytest.fixture
def sets(ledger):
    return Named(ledger)


def addresses(*texts):
    return frozenset(map(Addr.parse, texts))


def nets(*texts):
    return frozenset(map(Cidr.parse, texts))


def ranges(ledger, name):
    """What an interval set holds, as first and last: in order, and without overlap."""
    elements = sorted(ledger.elements[name].updates().values(), key=lambda each: each.key)
    found = [(int.from_bytes(each.key, "big"), int.from_bytes(each.key_end, "big")) for each in elements]
    assert all(first <= last for first, last in found)
    assert all(last < first for (_, last), (first, _) in pairwise(found))
    return found


def test_one_net_makes_it_an_interval_set_in_that_family_only(sets, ledger):
    assert not sets.change(AddressSet("s:x", addresses("10.0.0.1", "fd00::1")))
    assert sets.change(AddressSet("s:x", nets_added=nets("10.1.0.0/16")))
    assert (sets.name("s:x", 4), sets.name("s:x", 6)) == ("r4-x", "s6-x")
    assert set(ledger.sets.updates()) == {"r4-x", "s6-x"}
    assert ledger.sets.wanted("r4-x") == SetSpec("r4-x", "ipv4_addr", interval=True)
    assert len(ranges(ledger, "r4-x")) == 2
    assert sets.change(AddressSet("s:x", nets_removed=nets("10.1.0.0/16")))
    assert sets.name("s:x", 4) == "s4-x"
    assert list(ledger.elements["s4-x"].updates()) == [Addr.parse("10.0.0.1").pack()]


def test_a_net_of_everything_holds_everything(sets, ledger):
    sets.change(AddressSet("s:x", addresses("255.255.255.255"), nets_added=nets("0.0.0.0/0", "10.0.0.0/8")))
    assert ranges(ledger, "r4-x") == [(0, (1 << 32) - 1)]


def test_members_within_nets_come_out_when_the_net_goes(sets, ledger):
    sets.change(AddressSet("s:x", addresses("10.0.0.1"), nets_added=nets("10.0.0.0/8", "10.0.0.0/30", "12.0.0.0/8")))
    assert len(ranges(ledger, "r4-x")) == 2
    sets.change(AddressSet("s:x", addresses("10.0.0.9", "11.0.0.0"), addresses("10.0.0.1")))
    sets.change(AddressSet("s:x", nets_removed=nets("10.0.0.0/8")))
    base = 10 << 24
    assert ranges(ledger, "r4-x") == [
        (base, base + 3),
        (base + 9, base + 9),
        (11 << 24, 11 << 24),
        (12 << 24, (13 << 24) - 1),
    ]


def test_it_is_gone_under_whichever_name(sets, ledger):
    sets.change(AddressSet("s:x", nets_added=nets("10.0.0.0/8")))
    sets.gone("s:x")
    assert not ledger.sets.updates()
    assert sets.name("s:x", 4) == "s4-x"


@pytest.mark.parametrize("seed", range(50))
def test_what_it_holds_is_what_was_said(sets, ledger, seed):
    chance = random.Random(seed)
    hosts, given = set(), set()
    for _ in range(20):
        added = {Addr(4, chance.randrange(32)) for _ in range(chance.randrange(4))}
        removed = {host for host in hosts - added if chance.random() < 0.3}
        nets_added = {net() for net in [lambda: net_of(chance)] * chance.choice([0, 0, 1, 2])}
        nets_removed = {each for each in given - nets_added if chance.random() < 0.4}
        message = AddressSet("s:x", *map(frozenset, (added, removed, nets_added, nets_removed)))
        sets.change(message)
        hosts, given = hosts - removed | added, given - nets_removed | nets_added
        expected = {host.value for host in hosts} | {
            n for each in given for n in range(each.network, each.network + each.size)
        }
        name = sets.name("s:x", 4)
        assert (name == "r4-x") == bool(given)
        if given:
            assert {n for first, last in ranges(ledger, name) for n in range(first, last + 1)} == expected
        else:
            assert {int.from_bytes(key, "big") for key in ledger.elements[name].updates()} == expected


def net_of(chance):
    length = chance.choice([27, 28, 29, 30, 31])
    return Cidr.of(Addr(4, chance.randrange(32)), length)


def test_named_ports_are_addresses_with_protocol_and_port(sets, ledger):
    web = (Addr.parse("10.0.0.1"), 6, 80)
    dns = (Addr.parse("fd00::1"), 17, 53)
    sets.change_ports(PortSet("s:x:6:http", frozenset([web, dns])))
    names = [ports_name("s:x:6:http", family) for family in (4, 6)]
    assert {name: ledger.sets.wanted(name).key for name in names} == {
        names[0]: "ipv4_addr . inet_proto . inet_service",
        names[1]: "ipv6_addr . inet_proto . inet_service",
    }
    assert list(ledger.elements[names[0]].updates()) == [bytes([10, 0, 0, 1, 6, 0, 0, 0, 0, 80, 0, 0])]
    sets.change_ports(PortSet("s:x:6:http", removed=frozenset([web])))
    assert not ledger.elements[names[0]].updates()
    assert len(ledger.elements[names[1]].updates()) == 1
    sets.ports_gone("s:x:6:http")
    assert not ledger.sets.updates()


def test_a_set_is_there_as_long_as_a_rule_names_it(ledger):
    sets = SetManager(ledger)
    name = sets.name("s:x", 4)
    sets.change(AddressSet("s:x", addresses("10.0.0.1")))
    assert not ledger.sets.updates()
    sets.use(name)
    sets.change(AddressSet("s:x", addresses("10.0.0.2"), addresses("10.0.0.1")))
    assert list(ledger.sets.updates()) == [name]
    assert [*ledger.elements[name].updates()] == [Addr.parse("10.0.0.2").pack()]
    sets.use_no_more(name)
    sets.change(AddressSet("s:x", addresses("10.0.0.3")))
    assert not ledger.sets.updates()
    sets.use(name)
    assert {*ledger.elements[name].updates()} == {Addr.parse(f"10.0.0.{number}").pack() for number in (2, 3)}


def test_who_asks_is_told_who_is_in_a_set(sets):
    sets.change(AddressSet("s:x", addresses("10.0.0.1", "fd00::1"), nets_added=nets("10.1.0.0/16")))
    sets.change(AddressSet("s:y", addresses("10.0.0.1", "10.1.0.1")))
    for text, holders in [
        ("10.0.0.1", {"s:x", "s:y"}),
        ("10.1.0.1", {"s:x", "s:y"}),
        ("10.1.0.2", {"s:x"}),
        ("10.0.0.2", set()),
        ("fd00::1", {"s:x"}),
    ]:
        address = Addr.parse(text)
        assert {each for each in ("s:x", "s:y", "s:z") if sets.has(each, address)} == holders
        assert sets.finder(["s:x", "s:y", "s:z"], address.family)(address) == holders


def test_who_asks_is_told_who_has_a_port(sets):
    http = (Addr.parse("10.0.0.1"), 6, 80)
    sets.change_ports(PortSet("s:http", frozenset([http])))
    assert sets.has_port("s:http", *http)
    for other in [(http[0], 17, 80), (http[0], 6, 81), (Addr.parse("10.0.0.2"), 6, 80)]:
        assert not sets.has_port("s:http", *other)
    assert not sets.has_port("s:other", *http)
    sets.change_ports(PortSet("s:http", removed=frozenset([http])))
    assert not sets.has_port("s:http", *http)
