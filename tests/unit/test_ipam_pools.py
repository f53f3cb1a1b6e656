"""Which pools serve a request, and what is said when none does."""

from __future__ import annotations

import pytest

from ocicat.errors import Refused, UserError
from ocicat.ipam import pools
from ocicat.model.net import Addr, Cidr
from ocicat.model.resources import IPPool, IPPoolSpec, Metadata


def pool(name: str, cidr: str, **spec) -> pools.Pool:
    return pools.read(IPPool(metadata=Metadata(name=name), spec=IPPoolSpec(cidr=cidr, **spec)), 1)


def names(chosen) -> list[str]:
    return [one.name for one in chosen]


FOUR = pool("four", "10.0.0.0/16")
SIX = pool("six", "fd00::/48")
RACK = pool("rack", "10.1.0.0/16", node_selector="rack == 'r1'")
MANUAL = pool("manual", "10.2.0.0/16", assignment_mode="Manual")
OFF = pool("off", "10.3.0.0/16", disabled=True)
TUNNELS = pool("tunnels", "10.4.0.0/16", allowed_uses=("Tunnel",))
ALL = (FOUR, SIX, RACK, MANUAL, OFF, TUNNELS)


def select(among, family=4, wanted=(), labels=None):
    return names(pools.select(among, family, wanted, "h", labels or {}))


def test_block_sizes_default_by_family():
    assert (FOUR.block_length, SIX.block_length, pool("p", "10.0.0.0/24", block_size=28).block_length) == (26, 122, 28)


@pytest.mark.parametrize(
    "spec",
    [
        {"cidr": "10.0.0.0/27"},
        {"cidr": "10.0.0.0/24", "block_size": 33},
        {"cidr": "10.0.0.1/24"},
        {"cidr": "10.0.0.0/8", "block_size": 8},  # 16 million addresses in one value
        {"cidr": "fd00::/48", "block_size": 64},
    ],
)
def test_a_pool_that_makes_no_sense_is_an_error(spec):
    with pytest.raises(UserError):
        pool("p", **spec)


def test_without_a_wish_the_enabled_automatic_selecting_workload_pools_serve():
    assert select(ALL) == ["four"]
    assert select(ALL, labels={"rack": "r1"}) == ["four", "rack"]
    assert select(ALL, family=6) == ["six"]


def test_wishes_are_names_or_cidrs_kept_in_order_and_bypass_selector_and_mode():
    assert select(ALL, wanted=("10.2.0.0/16", "rack", "six")) == ["manual", "rack"]
    assert select(ALL, family=6, wanted=("rack", "six")) == ["six"]


def test_an_unknown_pool_names_those_that_exist():
    with pytest.raises(UserError, match=r"no pool 'x' \(there are: four \(10.0.0.0/16\), six"):
        select(ALL, wanted=("x",))


def test_a_wish_of_the_other_family_only_is_an_error():
    with pytest.raises(UserError, match="none of the pools six is of IPv4"):
        select(ALL, wanted=("six",))


@pytest.mark.parametrize(("wish", "said"), [("off", "is disabled"), ("tunnels", "not for workloads")])
def test_a_wish_for_an_unusable_pool_is_refused(wish, said):
    with pytest.raises(Refused, match=said):
        select(ALL, wanted=(wish,))


@pytest.mark.parametrize(
    ("among", "said"),
    [
        ((), "there is no IPv4 pool"),
        ((SIX,), "there is no IPv4 pool"),
        ((OFF,), r"every IPv4 pool is disabled: off \(10.3.0.0/16\)"),
        ((OFF, MANUAL, TUNNELS), "no IPv4 pool assigns to workloads by itself"),
        ((RACK, OFF), "no IPv4 pool selects host h: rack"),
    ],
)
def test_each_reason_why_none_serves_is_said_apart(among, said):
    with pytest.raises(Refused, match=said):
        select(among)


def test_a_given_address_is_looked_for_in_all_usable_pools():
    assert pools.holding(ALL, Addr.parse("10.2.0.9"), ()).name == "manual"
    assert pools.holding(ALL, Addr.parse("fd00::9"), ()).cidr == Cidr.parse("fd00::/48")


@pytest.mark.parametrize(
    ("address", "wanted", "said"),
    [
        ("192.0.2.1", (), "lies in no pool"),
        ("10.2.0.9", ("four",), "lies in no pool of four"),
        ("10.3.0.1", (), "is disabled"),
    ],
)
def test_a_given_address_outside_usable_pools_is_refused(address, wanted, said):
    with pytest.raises(Refused, match=said):
        pools.holding(ALL, Addr.parse(address), wanted)
