"""Guards: what may come in by an interface, as rules and back."""

import pytest

from ocicat.dataplane.ruleset.guards import CLOSED, Guard, guard_of, seen, statements
from ocicat.model.net import Addr, Cidr
from ocicat.model.wanted import Endpoint
from ocicat.netlink.inet import prefix

A, B, SIX = (Addr.parse(text).pack() for text in ("10.65.0.2", "10.65.0.3", "fd00::2"))
GUARD = Guard((A, SIX), (prefix("10.9.0.0/16"), prefix("fd09::/64"), prefix("10.9.9.9")))


def comments(guard):
    return [each.comment for each in statements(guard)]


def test_an_endpoint_may_send_from_its_addresses_and_what_is_allowed_beside_them():
    addresses = tuple(map(Addr.unpack, (A, SIX, A)))
    nets = tuple(map(Cidr.parse, ("10.9.0.0/16", "fd09::/64", "10.9.9.9/32", "10.9.0.0/16")))
    assert guard_of(Endpoint("/a", "ocia", addresses, (), sources=nets)) == GUARD


def test_ip_is_asked_before_arp_and_all_else_is_dropped():
    assert [each.partition(" ")[2] for each in comments(GUARD)] == [
        "10.65.0.2",
        "fd00::2",
        "10.9.0.0/16",
        "fd09::/64",
        "10.9.9.9/32",
        "10.65.0.2",
        "10.9.0.0/16",
        "10.9.9.9/32",
        "not the workload's own",
    ]
    assert len({each.expressions for each in statements(GUARD)}) == len(comments(GUARD))


@pytest.mark.parametrize("guard", [CLOSED, GUARD, Guard((A,)), Guard((A, B)), Guard(more=(prefix("0.0.0.0/0"),))])
def test_a_guard_is_known_by_its_comments(guard):
    assert seen(comments(guard), proper=True) == guard


@pytest.mark.parametrize(
    "changed",
    [
        comments(GUARD)[:-1],
        comments(GUARD)[1:],
        ["", *comments(GUARD)],
        [*comments(GUARD), "0123456789 10.65.0.2"],
        [comments(GUARD)[1], comments(GUARD)[0], *comments(GUARD)[2:]],
        [],
        ["", "10.65.0.2"],
    ],
)
def test_what_another_hand_changed_is_another_guard_and_its_addresses_are_still_known(changed):
    found = seen(changed, proper=True)
    assert found != GUARD
    assert set(found.own) <= {A, SIX}


def test_a_limited_guard_leads_through_that_interface_and_no_other():
    limited = Guard((A, SIX), limited=True)
    there = [each.comment for each in statements(limited, 17)]
    assert seen(there, proper=True, through=17) == limited
    for through in (0, 18):
        assert seen(there, proper=True, through=through) == Guard((A, SIX), limited=True, intact=False)
    assert comments(limited) == comments(Guard((A, SIX)))
    assert [each.expressions for each in statements(limited, 17)][2:] == [
        each.expressions for each in statements(limited, 18)
    ][2:]


def test_a_chain_that_is_elsewhere_is_not_intact():
    assert seen(comments(GUARD), proper=False) == Guard(GUARD.own, GUARD.more, intact=False)
