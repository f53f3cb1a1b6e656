"""Text to address: `Addr.parse` takes what the standard library takes, and nothing else."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ocicat.errors import UserError
from ocicat.model.net import Addr

octets = st.one_of(st.integers(0, 300).map(str), st.text("0123456789", max_size=4), st.text(max_size=2))


@settings(deadline=None)
@given(st.lists(octets, min_size=3, max_size=5).map(".".join))
@example("1.2.3.4")
@example("01.2.3.4")
@example("1.2.3.4 ")
@example("1.2.3.٤")
def test_ipv4_is_parsed_as_the_standard_library_does(text):
    try:
        expected = int(IPv4Address(text))
    except ValueError:
        with pytest.raises(UserError, match="is not an IP address"):
            Addr.parse(text)
    else:
        assert Addr.parse(text) == Addr(4, expected)
