"""What is started and ended next: never too few that are ready, never too many, and always to the end."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocicat.mesos.apps.plan import VIABLE_S, Delay, Plan, View, least, most, planned
from ocicat.mesos.frameworks.application import Application, Backoff, Check, Upgrade, essence
from ocicat.mesos.types import (
    Constraint,
    Discovery,
    DiscoveryPort,
    ExecutorSpec,
    Fetch,
    HealthCheck,
    HostPort,
    Image,
    NetworkRequest,
    PortMapping,
    TaskSpec,
)
from ocicat.model.codec import decode_json


def app(instances, healthy=1.0, over=1.0, *, command="new", oldest_first=False):
    spec = TaskSpec("web", command)
    return Application(
        id="/web", spec=spec, instances=instances, upgrade=Upgrade(healthy, over), oldest_first=oldest_first
    )


NEW, OLD = app(1).version, app(1, command="old").version


def views(version, *readiness, **more):
    return [View(f"{version[:2]}{n}", version, ready, float(n), **more) for n, ready in enumerate(readiness)]


def test_what_is_missing_starts_at_once():
    assert planned(app(3), []) == Plan(3)
    assert planned(app(3), views(NEW, True, False)) == Plan(1)
    assert planned(app(2), views(NEW, True, None)) == Plan()


def test_too_many_end_those_that_are_not_ready_first_then_the_youngest_or_the_oldest():
    running = views(NEW, True, True, False, True)
    a, b, c, d = (one.task_id for one in running)
    assert planned(app(2), running) == Plan(end=(c, d))
    assert planned(app(2, oldest_first=True), running) == Plan(end=(c, a))
    assert planned(app(0), running) == Plan(end=(c, d, b, a))


def test_one_that_was_not_heard_of_yet_counts_but_nothing_is_ended_for_it():
    unheard = View("x", NEW, None, 9.0, heard=False)
    assert planned(app(3), [*views(NEW, True, True, True), unheard]) == Plan()
    assert planned(app(3), [*views(NEW, True, True), unheard]) == Plan()
    assert planned(app(2), [*views(NEW, True, True, None), unheard]).end == (views(NEW, True, True, None)[2].task_id,)
    assert planned(app(0), [unheard]) == Plan(end=("x",))


def test_what_is_ending_or_out_of_reach_is_replaced():
    assert planned(app(2), [*views(NEW, True), View("x", NEW, True, 5.0, ending=True)]) == Plan(1)
    assert planned(app(2), [*views(NEW, True), View("x", NEW, False, 5.0, away=True)]) == Plan(1)


def test_one_that_comes_back_after_it_was_replaced_is_one_too_many():
    running = views(NEW, True, True)
    assert planned(app(1), running) == Plan(end=(running[1].task_id,))


@pytest.mark.parametrize(
    ("healthy", "over", "starts", "ends"),
    [(1, 1, 4, 0), (0.5, 0, 0, 2), (0.5, 0.5, 2, 2), (1, 0, 1, 0), (0, 0, 0, 4), (0.75, 0.25, 1, 1)],
)
def test_a_replacement_begins_as_far_as_its_strategy_goes(healthy, over, starts, ends):
    plan = planned(app(4, healthy, over), views(OLD, True, True, True, True))
    assert (plan.start, len(plan.end)) == (starts, ends)


def test_old_ones_that_are_not_ready_are_no_loss_and_unknown_ones_stay():
    plan = planned(app(3, 1, 1), views(OLD, True, False, None))
    assert plan == Plan(3, (views(OLD, True, False)[1].task_id,))


def test_parts_of_the_number_of_instances_are_exact():
    assert (least(app(10, 0.7)), most(app(10, 1, 0.3))) == (7, 13)
    assert (least(app(3, 0.5)), most(app(3, 1, 0.5))) == (2, 4)
    assert most(app(3, 1, 0)) == 4
    assert most(app(3, 0.5, 0)) == 3
    assert most(app(3), updating=False) == 3


class Cluster:
    """Instances that start, become ready or not, and end when told, in any order."""

    def __init__(self, application):
        self.app = application
        self.running: dict[str, View] = {}
        self.number = 0

    def add(self, version, ready):
        self.number += 1
        task_id = f"t{self.number}"
        self.running[task_id] = View(task_id, version, ready, float(self.number))

    def step(self):
        before = self.ready()
        plan = planned(self.app, self.running.values())
        for task_id in plan.end:
            del self.running[task_id]
        for _ in range(plan.start):
            self.add(self.app.version, ready=False)
        assert self.ready() >= min(before, least(self.app))
        if plan.start:
            assert len(self.running) <= max(most(self.app), self.app.instances)
        return plan

    def ready(self):
        return sum(one.ready is True for one in self.running.values())

    def set(self, choose, ready):
        if self.running:
            task_id = sorted(self.running)[choose % len(self.running)]
            one = self.running[task_id]
            self.running[task_id] = View(task_id, one.version, ready, one.started)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 6),
    st.sampled_from([0, 0.3, 0.5, 0.6, 1]),
    st.sampled_from([0, 0.2, 0.5, 1]),
    st.lists(st.sampled_from([True, False, None]), max_size=7),
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from([True, False, None])), max_size=20),
)
def test_whatever_happens_enough_stay_ready_and_in_the_end_all_is_as_wanted(wanted, healthy, over, old, events):
    cluster = Cluster(app(wanted, healthy, over))
    for ready in old:
        cluster.add(OLD, ready)
    for choose, ready in events:
        cluster.step()
        cluster.set(choose, ready)
    for _ in range(40):
        for index in range(len(cluster.running)):
            cluster.set(index, ready=True)
        if cluster.step() == Plan():
            break
    assert [one.version for one in cluster.running.values()] == [cluster.app.version] * wanted


def test_failures_in_a_row_delay_by_more_and_more():
    delay, backoff = Delay(), Backoff(1, 2, 5)
    until = []
    for _ in range(5):
        delay.failed(backoff, 100.0, 0.5)
        until.append(delay.until)
    assert until == [101, 102, 104, 105, 105]
    delay.failed(backoff, 200.0, VIABLE_S)
    assert delay.until == 201


def test_only_what_an_instance_is_makes_another_version():
    base = app(1)
    assert app(5, 0.1, 0.2).version == base.version
    assert app(1, command="other").version != base.version


def test_a_version_is_the_same_in_all_releases():
    """Another value here means that an upgrade of ocicat restarts every instance of everybody."""
    spec = TaskSpec(
        "web",
        ("sleep", "9"),
        cpus=1,
        network=NetworkRequest("n", groups=("g",), labels={"a": "b"}, port_mappings=(PortMapping(0, 80),)),
        host_ports=(HostPort(0, "http"),),
        discovery=Discovery(ports=(DiscoveryPort(80),)),
        health_check=HealthCheck(kind="HTTP"),
        fetch=(Fetch("http://x/y"),),
        image=Image("alpine"),
        constraints=(Constraint("hostname", "UNIQUE"),),
        executor=ExecutorSpec(),
    )
    whole = Application(id="/web", spec=spec, checks=(Check(port=80),), restarts=1)
    assert (app(1).version, whole.version) == ("75a61609d6", "f67108ac3d")


def test_what_is_said_as_it_would_be_anyway_makes_no_other_version():
    class Later(TaskSpec, frozen=True):
        added: dict[str, str] = {}

    plain = TaskSpec("web", "true")
    assert essence(Later("web", "true")) == essence(plain)
    assert essence(Later("web", "true", added={"a": "b"})) != essence(plain)
    said = decode_json(Check, b'{"interval_s": 60.0, "timeout_s": 20, "path": "/"}')
    one, other = (Application(id="/web", spec=plain, checks=(check,)) for check in (said, Check()))
    assert one == other
    assert one.version == other.version
