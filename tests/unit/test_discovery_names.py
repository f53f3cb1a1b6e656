"""The zone kept as the cluster is, and who is told what of it."""

from __future__ import annotations

import pytest
from dns_bed import HOST, HOST2, agent, discovery, shown, task
from policy_bed import DENY, OPEN, policy, resource, workload

from ocicat.agent.discovery import askers as discovery_askers
from ocicat.agent.discovery.askers import Askers
from ocicat.agent.discovery.config import REACHABLE, VISIBLE
from ocicat.agent.discovery.names import Names
from ocicat.dns import records
from ocicat.dns.answer import Book
from ocicat.dns.names import wire
from ocicat.dns.reach import view
from ocicat.dns.records import Naming
from ocicat.dns.wire import Type
from ocicat.dns.zone import TooLong, everything
from ocicat.mesos.masters import Endpoint
from ocicat.mesos.tasks import Change, Cluster, FrameworkSummary
from ocicat.mesos.types import TaskState
from ocicat.model.base import replace
from ocicat.model.net import Addr, Cidr

LEADER, OTHER_MASTER = Endpoint("10.0.0.1", 5050), Endpoint("10.0.0.2", 5050)
A, B, C, OUTSIDE = "10.77.0.1", "10.77.0.2", "10.77.0.3", "203.0.113.9"
ALL = Change(complete=True, agents=True, frameworks=True)


def cluster(*tasks, leader=LEADER):
    made = Cluster(leader=leader)
    made.tasks = {one.key: one for one in tasks}
    made.agents = {one.id: one for one in (agent(), agent("0123-S2", HOST2, "h2"))}
    made.frameworks = {"F-0000": FrameworkSummary("F-0000", "marathon", True, True, ("*",), "h2", "http://h2:8080")}
    return made


def names():
    return Names(Book(Naming(), 5), (LEADER, OTHER_MASTER))


def at(kept, name, type_=Type.A, visible=everything):
    return [line.rpartition(" ")[2] for line in shown(kept.book.zone.find(wire(name), type_, visible))]


WEB = task("web", A)


def test_a_snapshot_is_all_there_is():
    kept = names()
    assert not kept.book.complete
    kept.hear(cluster(WEB), ALL, 1000.0)
    assert kept.book.complete
    assert kept.book.serial == 1000
    assert at(kept, "web.marathon.mesos") == [A]
    assert at(kept, "slave.mesos") == [HOST, HOST2]
    assert at(kept, "marathon.mesos") == [HOST2]
    assert at(kept, "leader.mesos") == ["10.0.0.1"]
    assert at(kept, "master.mesos") == ["10.0.0.1", "10.0.0.2"]
    kept.hear(cluster(task("db", B)), ALL, 1000.0)
    assert at(kept, "web.marathon.mesos") == []
    assert at(kept, "db.marathon.mesos") == [B]
    assert kept.book.serial == 1001


def test_a_change_is_that_of_the_tasks_it_names():
    kept, known = names(), cluster(WEB)
    kept.hear(known, ALL, 1.0)
    known.tasks[WEB.key] = replace(WEB, state=TaskState.KILLING)
    kept.hear(known, Change(tasks=frozenset({WEB.key})), 2.0)
    assert at(kept, "web.marathon.mesos") == []
    del known.tasks[WEB.key]
    new = task("web", B, id="web.2")
    known.tasks[new.key] = new
    kept.hear(known, Change(tasks=frozenset({WEB.key, new.key})), 3.0)
    assert at(kept, "web.marathon.mesos") == [B]
    assert kept.holders.keys() == {Addr.parse(B)}


def test_the_serial_grows_with_changes_only():
    kept, known = names(), cluster(WEB)
    kept.hear(known, ALL, 5.0)
    kept.hear(known, ALL, 9.0)
    kept.hear(known, Change(tasks=frozenset({WEB.key})), 9.0)
    assert kept.book.serial == 5


def test_while_no_master_tells_all_stays_as_it_was_and_another_leader_is_known():
    kept, known = names(), cluster(WEB)
    kept.hear(known, ALL, 1.0)
    known.leader = None
    kept.hear(known, Change(), 2.0)
    kept.hear(known, Change(agents=True), 2.0)
    assert at(kept, "leader.mesos") == ["10.0.0.1"]
    assert at(kept, "web.marathon.mesos") == [A]
    known.leader = OTHER_MASTER
    kept.hear(known, Change(tasks=frozenset({WEB.key})), 3.0)
    assert at(kept, "leader.mesos") == ["10.0.0.2"]


def test_agents_come_and_go():
    kept, known = names(), cluster()
    kept.hear(known, ALL, 1.0)
    del known.agents["0123-S1"]
    kept.hear(known, Change(agents=True), 2.0)
    assert at(kept, "slave.mesos") == [HOST2]
    assert kept.hosts == {Addr.parse(text) for text in (HOST2, "10.0.0.1", "10.0.0.2")}


def test_a_task_that_cannot_be_named_takes_nobody_elses_name(monkeypatch, caplog):
    plain = records.of_task

    def failing(one, naming):
        return plain(one, naming) if one.name != "odd" else 1 // 0

    monkeypatch.setattr(records, "of_task", failing)
    kept = names()
    kept.hear(cluster(task("odd", B), WEB), ALL, 1.0)
    assert at(kept, "web.marathon.mesos") == [A]
    assert [record.message for record in caplog.records] == ["task odd.1 of framework marathon gets no name"]


def test_one_framework_or_agent_takes_no_other_ones_name(monkeypatch, caplog):
    known = cluster(WEB)
    for id_, name, url in (("F1", "long", f"http://h:{'9' * 5000}"), ("F2", "odd", ""), ("F3", "leader", "")):
        known.frameworks[id_] = FrameworkSummary(id_, name, True, True, ("*",), "10.9.9.9", url)
    known.agents["odd"] = agent("odd", "10.9.9.8")
    framework_, agent_ = records.of_framework, records.of_agent
    monkeypatch.setattr(
        records, "of_framework", lambda one, *rest: framework_(one, *rest) if one.name != "odd" else 1 // 0
    )
    monkeypatch.setattr(records, "of_agent", lambda one, *rest: agent_(one, *rest) if one.id != "odd" else 1 // 0)
    kept = names()
    for _ in range(2):
        kept.hear(known, ALL, 1.0)
    assert [at(kept, f"{name}.mesos") for name in ("marathon", "long", "odd")] == [[HOST2], ["10.9.9.9"], []]
    assert at(kept, "leader.mesos") == ["10.0.0.1"]
    assert at(kept, "slave.mesos") == [HOST, HOST2]
    assert sorted(record.message for record in caplog.records) == [
        "agent odd gets no name",
        "framework F2 ('odd') gets no name",
        "framework F3 ('leader') and its tasks get no names: names of that end are the zone's own",
    ]


# --- askers -------------------------------------------------------------------------------------------------------

MEANT = [
    task("own", A, framework_id="F1", framework="f1", discovery=discovery("own", "80/tcp", visibility="FRAMEWORK")),
    task("all", B, framework_id="F2", framework="f2", discovery=discovery("all", visibility="CLUSTER")),
    task("world", C, framework_id="F2", framework="f2", discovery=discovery("world", visibility="EXTERNAL")),
    task("plain", C, id="p", framework_id="F2", framework="f2"),
    task("shared", framework_id="F2", framework="f2"),  # on its host's network
]
TITLES = {"own": "own.f1.mesos", "all": "all.f2.mesos", "world": "world.f2.mesos", "plain": "plain.f2.mesos"}


def told(askers, asker):
    visible = askers.visible(Addr.parse(asker))
    return [title for title, name in TITLES.items() if at(askers.names, name, visible=visible)]


def askers(*only, seen=None, tasks=MEANT):
    kept = names()
    kept.hear(cluster(*tasks), ALL, 1.0)
    return Askers(only, kept, lambda: seen, lambda: [Cidr.parse("192.168.0.0/24"), Cidr.parse("10.77.0.0/16")])


def test_unless_asked_to_everybody_is_told_everything():
    for asker in (A, B, OUTSIDE, HOST, "127.0.0.1"):
        assert told(askers(), asker) == list(TITLES)


@pytest.mark.parametrize(
    ("asker", "seen"),
    [
        (A, list(TITLES)),
        (B, ["all", "world", "plain"]),
        (OUTSIDE, ["world", "plain"]),
        (HOST, list(TITLES)),
        ("10.0.0.1", list(TITLES)),
        ("127.0.0.1", list(TITLES)),
    ],
)
def test_only_what_is_meant_for_the_asker(asker, seen):
    assert told(askers(VISIBLE), asker) == seen


POLICY = (
    resource("Node", "h1", {"bgp": {"ipv4Address": f"{HOST}/24"}}),
    resource("IPPool", "p", {"cidr": "10.77.0.0/16"}),
    OPEN,
    *(workload(name, f"{address}/32", labels={"app": name}) for name, address in (("a", A), ("b", B), ("c", C))),
    policy("db", selector="app == 'b'", types=["Ingress"], ingress=[DENY]),
)


def test_only_whom_policy_lets_the_asker_reach():
    made = askers(REACHABLE, seen=view(POLICY))
    assert told(made, A) == ["own", "world", "plain"]
    assert told(made, B) == list(TITLES)  # itself, too
    assert told(made, OUTSIDE) == ["own", "world", "plain"]
    assert told(made, "127.0.0.1") == list(TITLES)
    assert at(made.names, "leader.mesos", visible=made.visible(Addr.parse(A))) == ["10.0.0.1"]
    assert at(made.names, "_own._tcp.f1.mesos", Type.SRV, visible=made.visible(Addr.parse(C)))


def test_what_policy_cannot_say_in_time_is_not_said(monkeypatch):
    monkeypatch.setattr(discovery_askers, "_BUDGET_S", -1.0)
    with pytest.raises(TooLong):
        told(askers(REACHABLE, seen=view(POLICY)), A)


@pytest.mark.parametrize(
    ("asker", "payer"),
    [
        (A, A),
        (HOST, HOST),
        ("10.77.9.9", "10.77.9.9"),
        (OUTSIDE, "outside"),
        ("2001:db8::1", "outside"),
        ("127.0.0.1", ""),
    ],
)
def test_all_who_are_not_of_the_cluster_have_one_part_together(asker, payer):
    assert askers().payer(Addr.parse(asker)) == payer


def test_who_may_not_ask_a_server_himself_has_it_asked_by_nobody():
    mute = policy("mute", selector="app == 'b'", types=["Egress"], egress=[{"action": "Allow", "protocol": "TCP"}])
    servers = (Endpoint("198.51.100.1", 53), Endpoint("198.51.100.1", 54))
    some = policy(
        "some",
        selector="app == 'c'",
        types=["Egress"],
        egress=[{"action": "Allow", "protocol": "UDP", "destination": {"ports": [53]}}],
    )
    made = askers(REACHABLE, seen=view((*POLICY, mute, some)))
    for asker, wanted in ((A, [True, True]), (B, [False, False]), (C, [True, False]), (HOST, [True, True])):
        assert [made.may_ask(Addr.parse(asker), server) for server in servers] == wanted
    assert made.may_ask(Addr.parse("127.0.0.1"), servers[0])
    assert not askers(REACHABLE).may_ask(Addr.parse(A), servers[0])  # not known yet
    assert askers(VISIBLE).may_ask(Addr.parse(B), servers[0])


def test_both_at_once():
    assert told(askers(REACHABLE, VISIBLE, seen=view(POLICY)), C) == ["world", "plain"]


def test_before_policy_is_known_nobody_is_told_anything():
    assert askers(REACHABLE).visible(Addr.parse(A)) is None
    assert askers(REACHABLE).visible(Addr.parse("127.0.0.1")) is everything


@pytest.mark.parametrize(
    ("asker", "served"),
    [
        (A, True),
        ("10.77.9.9", True),
        ("192.168.0.7", True),
        (HOST, True),
        ("127.0.0.1", True),
        ("::1", True),
        (OUTSIDE, False),
    ],
)
def test_other_names_are_for_the_clusters_own(asker, served):
    assert askers().served(Addr.parse(asker)) == served
