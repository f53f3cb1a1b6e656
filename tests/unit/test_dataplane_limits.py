"""Limits as the dataplane plans them: buckets, chains, stages."""

import pytest

from ocicat.dataplane.api import DataplaneConfig
from ocicat.dataplane.managers.router import Managers
from ocicat.dataplane.reconcile.ledger import Ledger
from ocicat.dataplane.ruleset import limits
from ocicat.dataplane.ruleset.limits import CONNECTIONS, DSCP, PACKETS, STAGES
from ocicat.dataplane.ruleset.shaping import Shaper, bucket
from ocicat.model.base import replace
from ocicat.model.net import Addr
from ocicat.model.wanted import Endpoint, EndpointGone, Limits
from ocicat.netlink.qdisc import TICK_NS, TICKS_MAX, Bucket

RATE = 8_000_000
A = Endpoint("/a", "ocia", (Addr.parse("10.65.0.1"),), ())
LIMITED = replace(A, ingress_limits=Limits(RATE), egress_limits=Limits(RATE, packets_s=10, connections=5), dscp=46)


def size(found: Bucket) -> float:
    """In bytes."""
    return found.ticks * TICK_NS * found.rate / 1e9


def test_no_bandwidth_no_bucket():
    assert bucket(Limits(packets_s=5), 1500) is None


@pytest.mark.parametrize(
    ("bits_s", "burst"), [(1000, 16384), (RATE, 50_000), (10**9, 6_250_000)], ids=["1k", "8M", "1G"]
)
def test_without_a_burst_50_ms_pass_at_once_and_16_kib_at_least(bits_s, burst):
    found = bucket(Limits(bits_s), 1500)
    assert found.rate == bits_s // 8
    assert size(found) == pytest.approx(burst, rel=0.001)


def test_what_waits_is_25_ms_and_one_large_packet():
    assert bucket(Limits(RATE, burst_bits=8 << 30), 1500).limit == 25_000 + (128 << 10)
    assert bucket(Limits(10**15), 1500).limit == 1 << 31


def test_a_burst_is_no_smaller_than_a_packet_and_no_longer_than_the_kernel_can_say():
    assert size(bucket(Limits(RATE, burst_bits=1000), 9000)) == pytest.approx(9014, abs=RATE / 8 * TICK_NS / 1e9)
    assert bucket(Limits(1000, burst_bits=34_359_738_360), 1500).ticks == TICKS_MAX
    assert bucket(Limits(10**15, burst_bits=1000), 1500).ticks == 1


def test_the_peak_has_a_packet_unless_more_is_asked_for():
    assert bucket(Limits(RATE, peak_bit_s=2 * RATE), 1500).peak_ticks == -(-1514 * 1000 // (2 * TICK_NS))
    more = bucket(Limits(RATE, peak_bit_s=2 * RATE, min_burst_bytes=6400), 1500)
    assert (more.peak, more.peak_ticks) == (2 * RATE // 8, 6400 * 1000 // (2 * TICK_NS))


def test_chains_are_one_endpoints_own_and_change_with_their_own_limit_only():
    first = limits.chains(LIMITED)
    assert first.keys() == {PACKETS["egress"], CONNECTIONS["egress"], DSCP}
    other = limits.chains(replace(LIMITED, key="/b"))
    assert other[PACKETS["egress"]].name != first[PACKETS["egress"]].name
    assert other[DSCP] == first[DSCP]
    changed = limits.chains(replace(LIMITED, egress_limits=Limits(2 * RATE, packets_s=20, connections=5)))
    assert changed[CONNECTIONS["egress"]] == first[CONNECTIONS["egress"]]
    assert changed[PACKETS["egress"]].name != first[PACKETS["egress"]].name


def test_an_endpoint_without_limits_has_nothing():
    assert limits.chains(A) == {}


@pytest.fixture
def ledger():
    return Ledger()


@pytest.fixture
def managers(ledger):
    return Managers(DataplaneConfig(), ledger)


def stages(ledger):
    names = {chain.name for chains in STAGES.values() for chain in chains}
    return names & set(ledger.chains.all_wanted())


def test_stages_come_with_the_first_and_go_with_the_last(managers, ledger):
    managers.apply(LIMITED)
    managers.apply(replace(LIMITED, key="/b", interface="ocib"))
    assert stages(ledger) == {
        "limit-packets-to-host",
        "limit-packets-out",
        "limit-connections-to-host",
        "limit-connections-out",
        "mark-dscp",
    }
    managers.apply(A)
    assert stages(ledger)
    managers.apply(EndpointGone("/b"))
    assert not stages(ledger)


def test_buckets_come_with_the_interface_and_go_with_it(managers, ledger):
    managers.apply(LIMITED)
    assert not ledger.shapers.updates()
    managers.endpoints.link_there("ocia", 3, "/a", 1500)
    assert ledger.shapers.updates().keys() == {Shaper(3, "ingress"), Shaper(3, "egress")}
    assert managers.limits.holder(Shaper(3, "egress")) == "/a"
    managers.endpoints.link_there("ocia", 4, "/a", 1500)
    assert ledger.shapers.updates().keys() == {Shaper(4, "ingress"), Shaper(4, "egress")}
    managers.apply(replace(LIMITED, ingress_limits=Limits()))
    assert ledger.shapers.updates().keys() == {Shaper(4, "egress")}
    managers.endpoints.link_gone("ocia")
    assert not ledger.shapers.updates()


def test_the_first_of_two_on_one_interface_has_its_bucket(managers, ledger):
    slow = replace(A, key="/b", ingress_limits=Limits(RATE // 2))
    managers.endpoints.link_there("ocia", 3)
    managers.apply(slow)
    managers.apply(LIMITED)
    assert ledger.shapers.wanted(Shaper(3, "ingress")).rate == RATE // 8
    managers.apply(EndpointGone("/a"))
    assert ledger.shapers.wanted(Shaper(3, "ingress")).rate == RATE // 16


def test_another_mtu_makes_another_bucket(managers, ledger):
    managers.apply(replace(A, ingress_limits=Limits(RATE, burst_bits=1000)))
    managers.endpoints.link_there("ocia", 3, "/a", 1500)
    before = ledger.shapers.wanted(Shaper(3, "ingress"))
    managers.endpoints.link_there("ocia", 3, "/a", 9000)
    assert ledger.shapers.wanted(Shaper(3, "ingress")).ticks > before.ticks


def test_what_another_life_left_on_an_interface_goes_when_it_is_detached(ledger):
    ledger.shapers.found({Shaper(3, "ingress"): Bucket(1, 1, 1), Shaper(3, "egress"): Bucket(1, 1, 1)})
    assert ledger.shapers.deletes(sweep=False) == []
    ledger.release_shapers_on(3)
    assert set(ledger.shapers.deletes(sweep=False)) == {Shaper(3, "ingress"), Shaper(3, "egress")}
