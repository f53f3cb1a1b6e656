"""Set elements: encoding, splitting, keys."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroute2.netlink.nfnetlink.nftsocket import nft_set_elem_list_msg

from ocicat.errors import UserError
from ocicat.netlink import nftset, wire
from ocicat.netlink.nftset import Element, SetName, Verdict, goto, interval, jump

SET = SetName("ocicat", "s-web")

VERDICTS = st.one_of(
    st.sampled_from([Verdict(nftset.ACCEPT), Verdict(nftset.DROP), Verdict(nftset.RETURN)]),
    st.text("abc-_0", min_size=1, max_size=30).map(goto),
    st.text("abc-_0", min_size=1, max_size=30).map(jump),
)
KEYS = st.binary(min_size=1, max_size=24)
ELEMENTS = st.builds(Element, KEYS, st.one_of(st.none(), VERDICTS, KEYS), st.one_of(st.just(b""), KEYS), st.booleans())


def decoded(requests):
    return [element for request in requests for element in nftset.decode(request.body)]


@settings(deadline=None)
@given(st.lists(ELEMENTS, max_size=20))
def test_elements_survive(elements):
    assert decoded(nftset.add(SET, elements)) == elements
    assert decoded(nftset.delete(SET, elements)) == elements


def test_pyroute2_reads_our_elements():
    request = nftset.add(SET, [Element(nftset.key_ipv4("10.0.0.1"), goto("tw-1"))])[0]
    seen = nft_set_elem_list_msg(wire.encode(request, 1))
    seen.decode()
    (element,) = seen.get_attr("NFTA_SET_ELEM_LIST_ELEMENTS")
    assert (seen.get_attr("NFTA_SET_ELEM_LIST_TABLE"), seen.get_attr("NFTA_SET_ELEM_LIST_SET")) == ("ocicat", "s-web")
    assert bytes(element.get_nested("NFTA_SET_ELEM_KEY", "NFTA_DATA_VALUE")) == b"\x0a\0\0\1"
    verdict = element.get_nested("NFTA_SET_ELEM_DATA", "NFTA_DATA_VERDICT")
    assert verdict.get_attr("NFTA_VERDICT_CHAIN") == "tw-1"


def test_no_elements_are_no_message_for_an_empty_deletion_would_be_a_flush():
    assert nftset.add(SET, []) == nftset.delete(SET, []) == []


def test_many_elements_are_split_so_that_each_list_fits_its_length():
    elements = [Element(i.to_bytes(4, "big")) for i in range(10_000)]
    requests = nftset.add(SET, elements)
    assert len(requests) == 3
    assert all(len(request.body) < 65_536 for request in requests)
    assert decoded(requests) == elements


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (nftset.key_ipv4("10.0.0.1"), "0a000001"),
        (nftset.key_ipv4(b"\x0a\0\0\1"), "0a000001"),
        (nftset.key_ipv6("fd00::1"), "fd" + "00" * 14 + "01"),
        (nftset.key_ifname("eth0"), "65746830" + "00" * 12),
        (nftset.key_ifindex(0x01020304), (0x01020304).to_bytes(4, sys.byteorder).hex()),
        (
            nftset.concat(nftset.key_ipv4("10.0.0.1"), nftset.key_protocol(6), nftset.key_port(443)),
            "0a0000010600000001bb0000",
        ),
        (nftset.concat(nftset.key_ifname("eth0"), nftset.key_port(80)), "65746830" + "00" * 12 + "00500000"),
    ],
)
def test_keys_are_registers(key, expected):
    assert key.hex() == expected


@pytest.mark.parametrize(
    "make", [lambda: nftset.key_ipv4("fd00::1"), lambda: nftset.key_ipv6(b"1234"), lambda: nftset.key_ifname("a" * 16)]
)
def test_a_key_of_another_kind_is_refused(make):
    with pytest.raises(UserError):
        make()


def test_an_interval_ends_just_past_its_last_key():
    first, end = interval(nftset.key_ipv4("10.0.0.0"), nftset.key_ipv4("10.0.0.255"))
    assert (first.key.hex(), first.interval_end) == ("0a000000", False)
    assert (end.key.hex(), end.interval_end) == ("0a000100", True)


def test_an_interval_to_the_end_of_the_space_stays_open():
    assert interval(nftset.key_ipv4("255.0.0.0"), b"\xff" * 4) == [Element(nftset.key_ipv4("255.0.0.0"))]
