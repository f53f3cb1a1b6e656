"""A container's interface that an engine moves into the container and sets up there: played with `ip`, as libnetwork does it."""

import os

import pytest
from dataplane_bed import (
    ALLOW,
    HOST,
    HOST6,
    OUTSIDE,
    OUTSIDE6,
    WAIT_S,
    Bed,
    addr,
    batch,
    endpoint,
    pings,
    profile,
    reaches,
    wait_until,
)

from ocicat.dataplane.api import Attach, Detach
from ocicat.errors import Refused
from ocicat.netlink.inet import mac_text

pytestmark = pytest.mark.netns

MAC = bytes.fromhex("02aabbccddee")
A, A6 = "10.65.0.2", "fd00:65::2"
GATEWAY, GATEWAY6 = "169.254.1.1", "fe80::ecee:eeff:feee:eeee"
TAKEN, LENT = "eth0", "ocpa"
STATE = (profile("p", [ALLOW]), endpoint("a", A, A6))


@pytest.fixture
def bed():
    bed = Bed()
    yield bed
    bed.close()


def request(*addresses, key="/a", mac=MAC):
    return Attach(key, "ocia", "", LENT, tuple(map(addr, addresses)), mac=mac)


def attached(bed):
    plane = bed.plane(host_addresses=(addr(HOST), addr(HOST6)))
    plane.submit(batch(1, *STATE))
    plane.attach(request(A, A6)).result(WAIT_S)
    bed.wait_in_force(1, "a")
    return plane


def take(bed):
    """As libnetwork does it: moved, renamed, given its MAC and addresses, set up, and then the routes."""
    container = bed.namespace()
    bed.ip("link", "set", LENT, "netns", f"/proc/{os.getpid()}/fd/{container}")

    def ip(*arguments):
        bed.run(container, "ip", *arguments)

    ip("link", "set", LENT, "name", TAKEN)
    ip("link", "set", TAKEN, "address", mac_text(MAC))
    ip("address", "add", f"{A}/32", "dev", TAKEN)
    ip("address", "add", f"{A6}/128", "dev", TAKEN, "nodad")
    ip("link", "set", TAKEN, "up")
    ip("route", "add", GATEWAY, "dev", TAKEN, "scope", "link")
    ip("route", "add", "default", "via", GATEWAY)
    ip("-6", "route", "add", "default", "via", GATEWAY6, "dev", TAKEN)
    return container


def test_the_far_end_waits_in_the_host_and_works_at_once_where_it_is_taken(bed):
    """The host has no default route: nothing but the interface itself answers for the gateway."""
    attached(bed)
    assert "state DOWN" in bed.ip("link", "show", LENT) or "state LOWERLAYERDOWN" in bed.ip("link", "show", LENT)
    wait_until(lambda: pings(bed.host, OUTSIDE6))  # the uplink itself begins with a check for duplicates
    container = take(bed)
    for target in (OUTSIDE, OUTSIDE6):
        assert pings(container, target), target
    for target in (A, A6):
        assert reaches(bed.outside, target), target


def test_it_is_plugged_again_without_a_change_wherever_its_far_end_is(bed):
    plane = attached(bed)
    plane.attach(request(A, A6)).result(WAIT_S)
    container = take(bed)
    plane.attach(request(A, A6)).result(WAIT_S)
    assert pings(container, OUTSIDE)
    assert plane.verify("/a").result(WAIT_S) == []


def test_it_goes_with_both_ends_wherever_they_are(bed):
    plane = attached(bed)
    plane.detach(Detach("/a", "ocia")).result(WAIT_S)
    wait_until(lambda: bed.interfaces() == {"lo", "up0"})


def test_names_of_others_are_refused_and_left_alone(bed):
    plane = attached(bed)
    with pytest.raises(Refused, match="interface ocia belongs to endpoint /a"):
        plane.attach(request("10.65.0.9", key="/b")).result(WAIT_S)
    bed.ip("link", "add", "ocpb", "type", "bridge")
    other = Attach("/b", "ocib", "", "ocpb", (addr("10.65.0.9"),), mac=MAC)
    with pytest.raises(Refused, match="the host has an interface ocpb already"):
        plane.attach(other).result(WAIT_S)
    assert "ocpb" in bed.ip("link")


def test_the_host_never_sends_from_the_gateway_s_address(bed):
    attached(bed)
    take(bed)
    assert f"src {HOST}" in bed.ip("route", "get", A)
    assert f"src {HOST6}" in bed.ip("route", "get", A6)
