"""Packed addresses."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocicat.errors import UserError
from ocicat.netlink import inet


@settings(deadline=None)
@given(st.ip_addresses())
def test_addresses_survive(address):
    raw = inet.packed(str(address))
    assert raw == address.packed
    assert inet.text(raw) == str(address)
    assert inet.host(raw) == inet.prefix(str(address))


@settings(deadline=None)
@given(st.binary(min_size=6, max_size=6))
def test_macs_survive(raw):
    assert inet.mac_packed(inet.mac_text(raw)) == raw


@pytest.mark.parametrize("bad", ["", "10.0.0", "10.0.0.0/8", "fe80::1%eth0", "::g"])
def test_what_is_no_address_is_refused(bad):
    with pytest.raises(UserError, match="not an IP address"):
        inet.packed(bad)


@pytest.mark.parametrize("bad", ["10.0.0.1/24", "10.0.0.0/33", "x"])
def test_what_is_no_prefix_is_refused(bad):
    with pytest.raises(UserError, match="not a prefix"):
        inet.prefix(bad)


@pytest.mark.parametrize("bad", ["", "ee:ee", "ee-ee-ee-ee-ee-ee", "gg:ee:ee:ee:ee:ee", "eee:e:ee:ee:ee:ee"])
def test_what_is_no_mac_is_refused(bad):
    with pytest.raises(UserError, match="not a MAC"):
        inet.mac_packed(bad)


def test_a_packed_address_of_odd_length_is_refused():
    with pytest.raises(UserError, match="4 or 16 bytes"):
        inet.family_of(b"12345")


def test_prefixes_print_and_know_their_family():
    assert str(inet.prefix("10.1.0.0/26")) == "10.1.0.0/26"
    assert inet.prefix("fd00::/64").family == inet.INET6
    assert str(inet.DEFAULT_V6) == "::/0"
