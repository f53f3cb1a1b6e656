"""Copies of packets become flows: who, what decided, how often; bounded; and the records that tell of them."""

from __future__ import annotations

import struct

import pytest

from ocicat.agent.flowlog import flows
from ocicat.agent.flowlog.flows import Flows, Recent
from ocicat.agent.flowlog.parties import Parties
from ocicat.agent.flowlog.record import FlowRecord, Hit, LostRecord, Trace, line, read, timestamp
from ocicat.agent.flowlog.telling import Interval, enforced, lost, pending, records
from ocicat.dataplane.ruleset.identity import Decider, parse_prefix, prefix
from ocicat.errors import UserError
from ocicat.model import keys
from ocicat.model.net import Addr
from ocicat.netlink.nflog import Logged

A, B = "10.65.0.2", "10.65.0.3"
TIERS = {"np/shop/web": "default", "gnp/sec.base": "sec", "snp/shop/next": "default", "sgnp/sec.try": "sec"}
INTERVAL = Interval(1000.0, 1010.0, "h1")


def policy(action, index=0, name="np/shop/web", direction="ingress"):
    return Decider("policy", name, direction, action, index)


ALLOW, DENY, PASS = policy("Allow"), policy("Deny", 1), policy("Pass", 2, "gnp/sec.base")
STAGED_DENY, STAGED_ALLOW = policy("Deny", 0, "snp/shop/next"), policy("Allow", 3, "sgnp/sec.try")
STAGED_PASS = policy("Pass", 0, "snp/shop/next")
LOG = policy("Log", 0)
NO_PROFILE = Decider("profiles", "", "ingress", "Deny")
END = Decider("tier", "default", "ingress", "Deny")


def packet(source=A, destination=B, port=80, source_port=40000, protocol=6, size=60):
    ends = Addr.parse(source).pack() + Addr.parse(destination).pack()
    return struct.pack(">BBHHHBBH", 0x45, 0, size, 7, 0, 64, protocol, 0) + ends + struct.pack(">HH", source_port, port)


def copy(decider, data=None, group=1):
    return Logged(group, 0, 2, prefix(decider), 1, 2, 0, 0.0, data or packet())


@pytest.fixture
def summed():
    return Flows(Parties(), parse_prefix)


def told(summed, tier_of=lambda name: TIERS.get(name, "")):
    return list(records(INTERVAL, summed.take().rows.items(), tier_of))


def names(trace):
    return [(hit.name or hit.kind, hit.action) for hit in trace]


# --- what is told -----------------------------------------------------------------------------------------------------


def test_one_connection():
    parties = Parties()
    parties.set(keys.workload("shop", "h1-mesos-a-eth0"), {"app": "a"}, (Addr.parse(A),))
    summed = Flows(parties, parse_prefix)
    summed.add(copy(ALLOW), 1002.5)
    (one,) = told(summed)
    hit = Hit("NetworkPolicy", "shop", "web", "default", "allow", 0, 0)
    assert one == FlowRecord(
        start_time="1970-01-01T00:16:40.000Z",
        end_time="1970-01-01T00:16:50.000Z",
        host="h1",
        source_type="wep",
        source_namespace="shop",
        source_name="h1-mesos-a-eth0",
        source_labels=("app=a",),
        source_ips=(A,),
        dest_type="net",
        dest_namespace="-",
        dest_name="pvt",
        dest_labels=(),
        dest_ips=(B,),
        dest_port=80,
        proto="tcp",
        action="allow",
        reporter="dst",
        policies=Trace((hit,), (hit,)),
        num_flows_started=1,
        packets=1,
        bytes=60,
        first_seen="1970-01-01T00:16:42.500Z",
        last_seen="1970-01-01T00:16:42.500Z",
    )
    assert read(line(one)) == one


def test_what_is_alike_is_summed_up_and_what_is_not_is_told_apart(summed):
    for source_port in (1, 2, 2):
        summed.add(copy(ALLOW, packet(source_port=source_port)), 1001.0)
    for data in (packet(port=81), packet(protocol=17), packet(destination="8.8.8.8")):
        summed.add(copy(ALLOW, data), 1002.0)
    summed.add(copy(DENY), 1003.0)
    summed.add(copy(policy("Allow", direction="egress"), group=2), 1004.0)
    found = told(summed)
    assert [(one.num_flows_started, one.packets, one.bytes) for one in found] == [(2, 3, 180), *[(1, 1, 60)] * 5]
    assert [one.reporter for one in found] == [*["dst"] * 5, "src"]
    assert [one.action for one in found].count("deny") == 1
    assert told(summed) == []


def test_a_few_addresses_of_many(summed):
    for last in range(1, 20):
        summed.add(copy(ALLOW, packet(source=f"10.9.0.{last}")), 1000.0)
    (one,) = told(summed)
    assert (one.source_ips, one.num_flows_started) == (tuple(f"10.9.0.{last}" for last in range(1, 6)), 19)


@pytest.mark.parametrize(
    ("decider", "hit"),
    [
        (END, Hit("EndOfTier", "-", "", "default", "deny", 0, -1)),
        (NO_PROFILE, Hit("Profile", "-", "__NO_MATCH__", "__PROFILE__", "deny", 0, -1)),
        (Decider("profile", "web", "egress", "Allow", 2), Hit("Profile", "-", "web", "__PROFILE__", "allow", 0, 2)),
        (policy("Deny", 4, "gnp/sec.base"), Hit("GlobalNetworkPolicy", "-", "sec.base", "sec", "deny", 0, 4)),
        (policy("Deny", 4, "gnp/gone"), Hit("GlobalNetworkPolicy", "-", "gone", "", "deny", 0, 4)),
    ],
)
def test_everything_that_decides_has_its_words(summed, decider, hit):
    summed.add(copy(decider), 1000.0)
    (one,) = told(summed)
    assert one.policies.enforced == (hit,)


# --- traces -----------------------------------------------------------------------------------------------------------


def test_what_one_packet_met_is_one_trace_although_others_come_between(summed):
    other = packet(source_port=50000)
    for step, data in ((PASS, None), (PASS, other), (LOG, other), (STAGED_DENY, None), (DENY, other), (ALLOW, None)):
        summed.add(copy(step, data), 1000.0)
    first, second = told(summed)
    assert names(first.policies.enforced) == [("sec.base", "pass"), ("web", "log"), ("web", "deny")]
    assert first.action == "deny"
    assert names(second.policies.enforced) == [("sec.base", "pass"), ("web", "allow")]
    assert names(second.policies.pending) == [("sec.base", "pass"), ("next", "deny")]
    assert (second.action, second.num_flows_started, second.packets) == ("allow", 1, 1)


def test_both_directions_of_a_connection_are_traces_of_their_own(summed):
    summed.add(copy(PASS), 1000.0)
    summed.add(copy(policy("Allow", direction="egress"), group=2), 1000.0)
    summed.add(copy(ALLOW), 1000.0)
    assert [len(one.policies.enforced) for one in told(summed)] == [1, 2]


def test_a_trace_that_was_told_is_over(summed):
    for step in (PASS, ALLOW, ALLOW):
        summed.add(copy(step), 1000.0)
    summed.close_old(2000.0)
    assert [(one.action, len(one.policies.enforced)) for one in told(summed)] == [("allow", 2), ("allow", 1)]


def test_what_two_stages_decide_about_a_connection_is_one_connection_for_each(summed):
    summed.add(copy(ALLOW), 1000.0)
    summed.add(copy(NO_PROFILE), 1000.0)
    assert [one.num_flows_started for one in told(summed)] == [1, 1]


def test_a_trace_that_nothing_ends_is_told_after_a_while(summed):
    summed.add(copy(STAGED_DENY), 1000.0)
    summed.close_old(1001.9)
    assert told(summed) == []
    summed.close_old(1002.0)
    (one,) = told(summed)
    assert (one.action, one.policies.enforced, names(one.policies.pending)) == ("pass", (), [("next", "deny")])


def test_a_trace_that_nothing_ends_is_told_when_its_connection_comes_again(summed):
    for _ in range(3):
        for step in (STAGED_DENY, PASS):
            summed.add(copy(step), 1000.0)
    summed.close_old(1010.0)
    (one,) = told(summed)
    assert (one.packets, one.num_flows_started, len(one.policies.pending)) == (3, 1, 1)
    assert names(one.policies.enforced) == [("sec.base", "pass")]


def tier_of(name):
    return TIERS[name]


@pytest.mark.parametrize(
    ("trace", "would"),
    [
        ((ALLOW,), (ALLOW,)),
        ((PASS, STAGED_DENY, ALLOW), (PASS, STAGED_DENY)),
        ((STAGED_ALLOW, PASS, DENY), (STAGED_ALLOW,)),
        ((STAGED_PASS, ALLOW), (STAGED_PASS,)),
        ((STAGED_PASS, END), (STAGED_PASS,)),
        ((STAGED_PASS, ALLOW, NO_PROFILE), (STAGED_PASS, NO_PROFILE)),
        ((STAGED_PASS, policy("Deny", 0, "gnp/sec.base")), (STAGED_PASS, policy("Deny", 0, "gnp/sec.base"))),
    ],
)
def test_what_staged_policies_would_make_of_it(trace, would):
    assert pending(trace, tier_of) == would
    assert not any(decider.staged for decider in enforced(trace))


# --- what is not ours, and bounds -----------------------------------------------------------------------------------


def test_copies_of_others_are_passed_over(summed):
    summed.add(Logged(1, 0, 2, "my firewall: ", 1, 2, 0, 0.0, packet()), 1000.0)
    summed.add(copy(ALLOW, b"\x00"), 1000.0)
    assert (told(summed), summed.take().uncounted) == ([], 0)


def test_names_of_rules_are_asked_for_anew_in_each_interval():
    known = {}
    summed = Flows(Parties(), known.get)
    summed.add(copy(ALLOW), 1000.0)
    assert told(summed) == []
    known[prefix(ALLOW)] = ALLOW
    summed.add(copy(ALLOW), 1000.0)
    assert len(told(summed)) == 1


def test_rows_are_bounded_and_what_finds_no_room_is_counted(summed, monkeypatch):
    monkeypatch.setattr(flows, "MOST_ROWS", 3)
    for port in (1, 2, 3, 4, 5, 3):
        summed.add(copy(ALLOW, packet(port=port)), 1000.0)
    sums = summed.take()
    assert ([row.packets for row in sums.rows.values()], sums.uncounted) == ([1, 1, 2], 2)
    summed.add(copy(ALLOW, packet(port=4)), 1000.0)
    assert len(summed.take().rows) == 1


def test_unfinished_traces_are_bounded(summed, monkeypatch):
    monkeypatch.setattr(flows, "MOST_TRACES", 2)
    for port in (1, 2, 3):
        summed.add(copy(PASS, packet(port=port)), 1000.0)
    summed.close_old(1010.0)
    sums = summed.take()
    assert (len(sums.rows), sums.uncounted) == (2, 1)


def test_connections_are_remembered_for_a_minute_or_two():
    recent = Recent()
    assert [recent.note(7, now) for now in (1000.0, 1030.0, 1060.0)] == [True, False, False]
    assert not recent.note(7, 1090.0)
    assert [recent.note(8, now) for now in (1090.0, 1160.0, 1300.0, 1400.0)] == [True, False, False, False]
    recent.note(9, 1500.0)
    recent.note(9, 1600.0)
    assert recent.note(8, 1600.0)


def test_connections_remembered_are_bounded(monkeypatch):
    monkeypatch.setattr(flows, "MOST_REMEMBERED", 10)
    recent = Recent()
    for number in range(35):
        recent.note(number, 1.0)
    assert not recent.note(34, 1.0)
    assert recent.note(0, 1.0)


# --- records ------------------------------------------------------------------------------------------------------------


def test_a_loss_is_a_line_of_its_own_kind():
    one = lost(INTERVAL, 3, 4)
    assert line(one).startswith(b'{"type":"lost"')
    assert isinstance(read(line(one)), LostRecord)
    assert read(line(one)) == one


def test_a_line_that_is_none():
    with pytest.raises(UserError, match="flow log"):
        read(b'{"type":"fl')


def test_times():
    assert timestamp(1795404363.891903) == "2026-11-23T03:26:03.891Z"
