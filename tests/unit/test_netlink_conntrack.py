"""Conntrack requests: what they name, and that they always name something."""

import pytest
from pyroute2.netlink.nfnetlink.nfctsocket import nfct_msg

from ocicat.errors import Bug
from ocicat.netlink import conntrack, wire
from ocicat.netlink.conntrack import Direction, Flow, Side
from ocicat.netlink.inet import packed, prefix

A, B = packed("10.0.0.1"), packed("10.0.0.2")
ORIG, REPLY, FILTER = 1, 2, 25


@pytest.mark.parametrize("side", Side)
def test_a_flush_always_has_an_address_and_a_filter(side):
    found = wire.attributes(conntrack.flush(A, side).body, 4)
    address = wire.attributes(wire.attributes(found[REPLY if side is Side.REPLY_SRC else ORIG])[1])
    flags = wire.attributes(found[FILTER])
    assert list(address.values()) == [A]
    assert sorted(wire.u32(flags, kind) for kind in (1, 2)) == [0, 2 if side is Side.ORIG_DST else 1]


def test_the_kernel_is_never_asked_to_filter_by_an_ipv6_address():
    with pytest.raises(Bug, match="fd00::1"):
        conntrack.flush(packed("fd00::1"), Side.ORIG_SRC)


def test_pyroute2_reads_our_tuple():
    seen = nfct_msg(wire.encode(conntrack.flush(A, Side.ORIG_SRC), 1))
    seen.decode()
    assert seen.get_nested("CTA_TUPLE_ORIG", "CTA_TUPLE_IP", "CTA_IP_V4_SRC") == "10.0.0.1"


ANSWER = Direction(B, A, 6, 80, 1000)


def flow(reply=ANSWER, zone=0):
    return Flow(Direction(A, B, 6, 1000, 80), reply, 0, 0, zone, 7, b"key!")


def test_a_deletion_names_the_kernels_own_key_and_identity():
    found = wire.attributes(conntrack.delete(flow()).body, 4)
    assert (found[ORIG], found[12]) == (b"key!", b"\0\0\0\7")
    assert 18 not in found
    assert wire.attributes(conntrack.delete(flow(zone=3)).body, 4)[18] == b"\0\3"


def test_after_dnat_the_real_destination_is_touched_too():
    dnat = flow(reply=Direction(packed("10.65.0.2"), A, 6, 8080, 1000))
    assert all(conntrack.touches(dnat, one) for one in (A, B, packed("10.65.0.2")))
    assert not conntrack.touches(dnat, packed("10.65.0.3"))


def entry(src, dst, real, *, first=b"", icmp=b""):
    """The body of an entry as a kernel sends it; `first`: what it would never put before the addresses."""
    one, other = (1, 2) if len(src) == 4 else (3, 4)
    protocol = wire.nest(2, wire.attr(1, b"\x06"), wire.attr(2, b"\x03\xe8"), wire.attr(3, b"\x00\x50"), icmp)

    def direction(kind, source, destination):
        return wire.nest(kind, first, wire.nest(1, wire.attr(one, source), wire.attr(other, destination)), protocol)

    family = 2 if len(src) == 4 else 10
    return (
        bytes([family, 0, 0, 0]) + direction(ORIG, src, dst) + direction(REPLY, real, src) + wire.attr(12, b"\0\0\0\7")
    )


REAL = packed("10.65.0.2")
A6, B6, REAL6 = packed("fd00::1"), packed("fd00::2"), packed("fd65::2")


@pytest.mark.parametrize("first", [b"", wire.attr(3, b"\0\1")], ids=["as always", "as never"])
@pytest.mark.parametrize("ends", [(A, B, REAL), (A6, B6, REAL6)], ids=["IPv4", "IPv6"])
def test_of_a_dump_only_what_touches_is_decoded(ends, first):
    body = entry(*ends, first=first)
    family = body[0]
    for address in ends:
        assert conntrack.dump_touching(family, {address}).decode(body) == conntrack.decode(body)
    assert conntrack.dump_touching(family, {packed("10.0.0.3"), packed("fd00::3")}).decode(body) is None


@pytest.mark.parametrize(
    ("net", "expected"),
    [("10.65.0.0/16", True), ("10.0.0.0/30", True), ("0.0.0.0/0", True), ("10.66.0.0/16", False), ("::/0", False)],
)
def test_flows_that_touch_a_net(net, expected):
    found = conntrack.dump_touching(2, set(), [prefix(net)]).decode(entry(A, B, REAL))
    assert (found is not None) is expected


def test_icmp_has_type_and_code():
    echo = conntrack.decode(entry(A, B, B, icmp=wire.attr(5, b"\x08") + wire.attr(6, b"\x01"))).original
    assert (echo.icmp_type, echo.icmp_code) == (8, 1)
    echo = conntrack.decode(entry(A6, B6, B6, icmp=wire.attr(8, b"\x80") + wire.attr(9, b"\x01"))).original
    assert (echo.icmp_type, echo.icmp_code) == (128, 1)
