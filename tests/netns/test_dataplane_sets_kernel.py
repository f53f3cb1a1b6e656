"""Sets that change again and again: what the kernel holds is what was said, whichever way it was come to."""

import ipaddress
import json
import random

import pytest
from dataplane_bed import ALLOW, DENY, Bed, batch, endpoint, from_set, profile, reaches

from ocicat.dataplane.api import Applied, Problem
from ocicat.dataplane.drivers.nft import Nft
from ocicat.dataplane.ruleset.rules import ports_name
from ocicat.model.net import WIDTH, Addr, Cidr
from ocicat.model.wanted import AddressSet, PortSet, Revision

pytestmark = pytest.mark.netns

BASE = {4: Addr.parse("10.0.0.0"), 6: Addr.parse("fd00::")}
SPACE = 48  # addresses, so that neighbours meet and overlap


@pytest.fixture(scope="module")
def world():
    bed = Bed()
    plane = bed.plane()
    plane.submit(batch(1, AddressSet("s:x"), profile("p", [from_set("x")]), endpoint("a", "10.65.0.2")))
    bed.attach(plane, "a", "10.65.0.2")
    bed.wait_in_force(1, "a")
    yield bed, plane
    bed.close()


def held(bed, family):
    """Every address in the set that the profile's rule looks in."""
    rule = next(
        line for line in bed.nft("list", "table", "inet", "ocicat").splitlines() if f"{family}-x counter" in line
    )
    name = rule.split("@")[1].split()[0]
    listed = json.loads(bed.nft("-j", "list", "set", "inet", "ocicat", name))["nftables"][1]["set"].get("elem", ())
    found = set()
    for each in listed:
        match each:
            case str():
                found.add(int(ipaddress.ip_address(each)))
            case {"prefix": {"addr": first, "len": length}}:
                net = Cidr.of(Addr.parse(first), length)
                found |= set(range(net.network, net.network + net.size))
            case {"range": [first, last]}:
                found |= set(range(int(ipaddress.ip_address(first)), int(ipaddress.ip_address(last)) + 1))
    return name[0], found


def assert_nothing_differs(bed, plane):
    """Once what nothing uses is tidied away."""
    plane.resync().result(10)
    generation = bed.generation()
    plane.resync().result(10)
    assert bed.generation() == generation


def some(chance, family):
    def address():
        return Addr(family, BASE[family].value + chance.randrange(SPACE))

    hosts = {address() for _ in range(chance.randrange(6))}
    nets = {Cidr.of(address(), WIDTH[family] - chance.randrange(1, 5)) for _ in range(chance.choice([0, 0, 0, 1, 2]))}
    return hosts, nets


@pytest.mark.parametrize("seed", range(3))
def test_a_set_with_and_without_nets(world, seed):
    bed, plane = world
    chance = random.Random(seed)
    hosts, nets = set(), set()
    for step in range(25):
        added = [some(chance, family) for family in (4, 6)]
        new_hosts, new_nets = (set().union(*(each[part] for each in added)) for part in (0, 1))
        old_hosts = {host for host in hosts - new_hosts if chance.random() < 0.3}
        old_nets = {net for net in nets - new_nets if chance.random() < 0.5}
        change = map(frozenset, (new_hosts, old_hosts, new_nets, old_nets))
        hosts, nets = hosts - old_hosts | new_hosts, nets - old_nets | new_nets
        revision = 100 * (seed + 1) + step
        plane.submit((AddressSet("s:x", *change), Revision(revision)))
        bed.wait(lambda report, revision=revision: report == Applied(revision))
        for family in (4, 6):
            expected = {host.value for host in hosts if host.family == family}
            mine = {net for net in nets if net.family == family}
            expected |= {n for net in mine for n in range(net.network, net.network + net.size)}
            assert held(bed, family) == ("r" if mine else "s", expected)
    assert_nothing_differs(bed, plane)
    plane.submit((AddressSet("s:x", removed=frozenset(hosts), nets_removed=frozenset(nets)),))
    assert not [report for report in bed.reports if isinstance(report, Problem)]


def test_named_ports_are_read_back_as_they_were_written(world):
    bed, plane = world
    ports = frozenset(
        (Addr(family, BASE[family].value + n), 6 + 11 * (n % 2), 80 + n) for n in range(9) for family in (4, 6)
    )
    plane.submit((PortSet("s:x:6:http", ports), Revision(900)))
    bed.wait(lambda report: report == Applied(900))
    assert_nothing_differs(bed, plane)
    assert "10.0.0.3 . udp . 83" in bed.nft("list", "set", "inet", "ocicat", ports_name("s:x:6:http", 4))
    plane.submit((PortSet("s:x:6:http", removed=ports), Revision(901)))
    bed.wait(lambda report: report == Applied(901))
    assert "elements" not in bed.nft("list", "set", "inet", "ocicat", ports_name("s:x:6:http", 6))


def test_what_is_in_a_new_set_never_goes_as_text(monkeypatch):
    """Of a hundred thousand members nft would make text for seconds, also where chains change that carry traffic."""
    bed, texts, run = Bed(), [], Nft.run
    try:
        monkeypatch.setattr(Nft, "run", lambda nft, text: texts.append(text) or run(nft, text))
        plane = bed.plane()
        plane.submit(batch(1, AddressSet("s:x"), profile("p", [from_set("x")]), endpoint("a", "10.65.0.2")))
        bed.attach(plane, "a", "10.65.0.2")
        bed.wait_in_force(1, "a")
        many = frozenset(Addr(4, BASE[4].value + number) for number in range(1000))
        plane.submit(batch(2, AddressSet("s:y", many), profile("p", [from_set("y")])))
        bed.wait(lambda report: report == Applied(2))
        assert any("s4-y" in text for text in texts)
        assert not any(str(address) in text for text in texts for address in list(many)[:9])
        assert len(held_by(bed, "y")) == 1000
    finally:
        bed.close()


def held_by(bed, name):
    listed = json.loads(bed.nft("-j", "list", "set", "inet", "ocicat", f"s4-{name}"))
    return listed["nftables"][1]["set"]["elem"]


def test_an_interface_whose_name_is_a_number_is_not_taken_for_the_one_of_that_index():
    """Chains change in the same transaction, which is text then: nft looks for such a name before it takes a number for one."""
    bed = Bed()
    try:
        plane = bed.plane()
        plane.submit(batch(1, profile("p", [DENY]), endpoint("a", "10.65.0.2"), endpoint("b", "10.65.0.3")))
        number = bed.attach(plane, "a", "10.65.0.2", "10.65.0.4").index
        bed.attach(plane, "b", "10.65.0.3")
        bed.wait_in_force(1, "a", "b")
        bed.ip("link", "add", str(number), "type", "veth", "peer", "name", "other")
        plane.submit((profile("p", [ALLOW]), endpoint("a", "10.65.0.2", "10.65.0.4"), Revision(2)))
        bed.wait_in_force(2, "a")
        assert reaches(bed.containers["a"], "10.65.0.3", source="10.65.0.4")
        assert_nothing_differs(bed, plane)
        assert not [report for report in bed.reports if isinstance(report, Problem)]
    finally:
        bed.close()
