"""Neighbours of workloads and settings that change in silence: from what they are told again, and how soon that is noticed."""

import itertools
import re

import pytest
from dataplane_bed import (
    ALLOW,
    WAIT_S,
    Bed,
    addr,
    batch,
    endpoint,
    profile,
    reaches,
    wait_until,
)

from ocicat.dataplane.api import DataplaneConfig, Drift, EndpointsInForce
from ocicat.dataplane.drift import interfaces
from ocicat.dataplane.drift.doubts import Judge
from ocicat.dataplane.drift.interfaces import Interfaces
from ocicat.dataplane.drift.watchman import Hints
from ocicat.dataplane.drivers import neighbours
from ocicat.dataplane.drivers.kernel import Kernel
from ocicat.dataplane.drivers.sysctl import Trust
from ocicat.dataplane.managers.router import Managers
from ocicat.dataplane.reconcile.ledger import Ledger
from ocicat.errors import Unavailable
from ocicat.model.wanted import Endpoint, Revision
from ocicat.netlink import link, namespace
from ocicat.netlink.link import End

pytestmark = pytest.mark.netns

A, B, B6 = "10.65.0.2", "10.65.0.3", "fd65::3"
MACS = {"a": b"\x02" + bytes(4) + b"\x0a", "b": b"\x02" + bytes(4) + b"\x0b"}
STRANGER = "02:00:00:00:00:99"
MANY = 200
LOOKS_IN_A_TURN = interfaces._TURN_S / interfaces._LOOK_EVERY_S


@pytest.fixture
def bed():
    made = Bed()
    yield made
    made.close()


def tell(plane, revision=1):
    ends = (endpoint("a", A, mac=MACS["a"]), endpoint("b", B, B6, mac=MACS["b"]))
    plane.submit(batch(revision, profile("p", ingress=(ALLOW,)), *ends))


@pytest.fixture
def plane(bed):
    plane = bed.plane()
    tell(plane)
    bed.attach(plane, "a", A, mac=MACS["a"])
    bed.attach(plane, "b", B, B6, mac=MACS["b"])
    bed.wait_in_force(1, "a", "b")
    bed.reports.clear()
    return plane


def entries(bed, name):
    """By address, the MAC."""
    lines = bed.ip("neighbour", "show", "dev", f"oci{name}", "nud", "permanent").splitlines()
    return dict(re.fullmatch(r"(\S+) lladdr (\S+) PERMANENT *", line).groups() for line in lines)


def right(name, *addresses):
    return dict.fromkeys(addresses, MACS[name].hex(":"))


def test_an_entry_that_another_put_there_is_never_made_ours(bed, plane):
    bed.ip("neighbour", "replace", "10.65.0.77", "lladdr", STRANGER, "dev", "ocia", "nud", "permanent")
    plane.resync().result(WAIT_S)
    assert entries(bed, "a") == {**right("a", A), "10.65.0.77": STRANGER}
    bed.ip("neighbour", "del", "10.65.0.77", "dev", "ocia")
    bed.ip("neighbour", "del", B, "dev", "ocib")  # a sign: when it is mended, so would be the other
    wait_until(lambda: entries(bed, "b") == right("b", B, B6))
    plane.resync().result(WAIT_S)
    assert entries(bed, "a") == right("a", A)
    assert not [text for each in bed.reports if isinstance(each, Drift) for text in each.what if "0.77" in text]


@pytest.mark.parametrize(
    "damage",
    [
        f"ip neighbour replace {B} lladdr {STRANGER} dev ocib nud permanent",
        "ip link set ocib down ; ip link set ocib up",
        "ip neighbour flush dev ocib nud permanent",
    ],
)
def test_what_was_changed_while_no_agent_ran_is_told_again_before_the_endpoint_is_in_force(bed, plane, damage):
    plane.stop()
    bed.run(bed.host, "bash", "-c", damage)
    assert entries(bed, "b") != right("b", B, B6)
    bed.reports.clear()
    again = bed.plane()
    tell(again, 2)
    bed.wait_in_force(2, "a", "b")
    assert entries(bed, "b") == right("b", B, B6)
    assert again.verify("/b").result(WAIT_S) == []
    assert reaches(bed.containers["a"], B, within_s=WAIT_S)


def test_a_new_address_of_an_endpoint_is_told_and_is_nobodys_doing(bed, plane):
    plane.submit((endpoint("a", A, "10.65.0.9", mac=MACS["a"]), Revision(2)))
    bed.wait_in_force(2, "a")
    assert entries(bed, "a") == right("a", A, "10.65.0.9")
    assert not [each for each in bed.reports if isinstance(each, Drift)]


def test_a_check_tells_which_neighbour_is_wrong(bed, plane, monkeypatch):
    monkeypatch.setattr(Interfaces, "look", lambda self: [])
    assert plane.verify("/a").result(WAIT_S) == []
    bed.ip("neighbour", "replace", A, "lladdr", STRANGER, "dev", "ocia", "nud", "permanent")
    assert plane.verify("/a").result(WAIT_S) == [f"ocia has no neighbour {A} at {MACS['a'].hex(':')}"]


def test_where_nobody_says_a_mac_none_is_adopted(bed):
    first = bed.plane()
    first.submit(batch(1, profile("p", ingress=(ALLOW,)), endpoint("a", A)))
    bed.attach(first, "a", A, mac=MACS["a"])
    bed.wait_in_force(1, "a")
    first.stop()
    bed.ip("neighbour", "replace", A, "lladdr", STRANGER, "dev", "ocia", "nud", "permanent")
    second = bed.plane()
    second.submit(batch(2, profile("p", ingress=(ALLOW,)), endpoint("a", A)))
    bed.wait_in_force(2, "a")
    bed.ip("neighbour", "del", A, "dev", "ocia")
    second.resync().result(WAIT_S)
    assert entries(bed, "a") == {}


def test_an_interface_whose_coming_was_not_heard_is_heard_when_it_is_set_down(bed, monkeypatch):
    """Of routes of IPv4 that go with it the kernel says nothing; and by the time anybody looks it is up."""
    doubts, losing = Judge.doubts, [True]
    monkeypatch.setattr(Judge, "doubts", lambda self, hints: doubts(self, Hints(lost=True) if losing else hints))
    plane = bed.plane()
    tell(plane)
    for name, address in (("a", A), ("b", B)):
        bed.attach(plane, name, address, mac=MACS[name])
    bed.wait_in_force(1, "a")
    plane.resync().result(WAIT_S)
    losing.clear()
    bed.reports.clear()
    bed.run(bed.host, "bash", "-c", "ip link set ocib down ; ip link set ocib up")
    told = bed.wait(lambda report: isinstance(report, Drift))
    assert "interface ocib was set down" in told.by
    assert reaches(bed.containers["a"], B, within_s=WAIT_S)


def test_what_cannot_be_looked_at_hinders_nobody(bed, plane, monkeypatch):
    looked = []

    def look(self):
        looked.append(self)
        raise Unavailable("no")

    monkeypatch.setattr(Interfaces, "look", look)
    for revision in itertools.count(2):
        plane.submit((endpoint("a", A, f"10.65.0.{revision + 8}", mac=MACS["a"]), Revision(revision)))
        plane.answers().result(WAIT_S)
        bed.wait(lambda each, at=revision: isinstance(each, EndpointsInForce) and each.revision >= at)
        if len(looked) > 3:
            break


# many


@pytest.fixture
def many(monkeypatch):
    """Interfaces of many workloads, looked at as often as asked, each time as if there was no time left."""
    monkeypatch.setattr(interfaces, "_LOOK_EVERY_S", 1e-9)
    monkeypatch.setattr(interfaces, "_TURN_S", 1e-9 * LOOKS_IN_A_TURN)
    monkeypatch.setattr(interfaces, "_LOOK_S", 0.0)
    fd = namespace.unnamed()
    with namespace.inside(fd):
        kernel, ledger = Kernel("nft"), Ledger()
        kernel.reopen()
        managers = Managers(DataplaneConfig(), ledger)
        made = Interfaces(kernel, managers, ledger)
        for number in range(MANY):
            add(kernel, managers, made, number)
        yield kernel, managers, made
        kernel.close()


def add(kernel, managers, made, number):
    name, key, address = f"oci{number}", f"/{number}", addr(f"10.65.{number >> 8}.{number & 255}")
    kernel.route.request(link.create_ifb(End(name, up=True)))
    index = kernel.route.get(link.get(name)).index
    managers.apply(Endpoint(key, name, (address,), ("p",), mac=MACS["a"]))
    managers.endpoints.link_there(name, index, key)
    interfaces.sysctl.mend_workload_interface(name, ipv6=False, guard=Trust.NONE)
    made.homes.tell([key])


def looks_until(made, wanted):
    """How often one has to look until all of these are told."""
    found, count = [*made.look()], 1
    while not set(wanted) <= set(found):
        assert count < MANY
        found += made.look()
        count += 1
    return count


def test_many_are_all_looked_at_within_a_turn_whatever_the_time(many):
    _kernel, managers, made = many
    assert looks_until(made, ()) == 1
    for name in managers.endpoints.links:
        interfaces.sysctl.ensure(f"ipv4/neigh/{name}/proxy_delay", "80")
    wanted = [f"net.ipv4.neigh.{name}.proxy_delay is not 0" for name in managers.endpoints.links]
    assert looks_until(made, wanted) <= LOOKS_IN_A_TURN + 1


def test_neighbours_of_many_are_read_once_a_turn(many, monkeypatch):
    kernel, managers, made = many
    read, reads = neighbours.read, []
    monkeypatch.setattr(neighbours, "read", lambda sock, index=0: reads.append(index) or read(sock, index))
    bearer = managers.endpoints.links["oci7"]
    kernel.route.request(link.change(bearer.index, up=False))
    looks = looks_until(made, ["neighbour 10.65.0.7 was changed"])
    assert looks <= LOOKS_IN_A_TURN + 1
    assert len(reads) == 1
    kernel.route.request(link.change(bearer.index, up=True))
    assert made.homes.mend() == ["neighbour 10.65.0.7"]
