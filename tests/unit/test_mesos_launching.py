"""Groups and executors: what a scheduler asks of an offer, and the operations in which it launches."""

from __future__ import annotations

import pytest

from ocicat.clock import ManualClock
from ocicat.mesos import wire
from ocicat.mesos.launching import units
from ocicat.mesos.scheduler import Scheduler
from ocicat.mesos.types import ExecutorSpec, HostPort, NetworkRequest, TaskSpec, TaskState, problem_of_group
from ocicat.mesos.wire import Capability, FrameworkInfo
from ocicat.model.codec import encode_json

POD = ExecutorSpec(networks=(NetworkRequest("net"), NetworkRequest("other")), cpus=0.2, mem_mb=40.0)
OWN = ExecutorSpec(command="./run", networks=(NetworkRequest("net"),), environment={"A": "b"})


def spec(name, **more):
    return TaskSpec(name, "sleep 1", 0.1, 32.0, **more)


def offer(cpus=4.0, mem=4096.0, host="h1", ports=()):
    scalars = tuple(
        wire.Resource(name, "SCALAR", wire.Scalar(value))
        for name, value in (("cpus", cpus), ("mem", mem), ("disk", 1000.0))
    )
    ranges = tuple(
        wire.Resource("ports", "RANGES", ranges=wire.Ranges((wire.Range(*ports),))) for _ in range(bool(ports))
    )
    return wire.RawOffer(wire.Value(f"o-{host}"), wire.Value(f"agent-{host}"), host, resources=scalars + ranges)


@pytest.fixture
def scheduler():
    made = Scheduler(
        FrameworkInfo("root", "f", ("*",), 60.0, checkpoint=True, capabilities=(Capability("X"),)), ManualClock(), 30.0
    )
    made.receive(wire.Event("SUBSCRIBED", subscribed=wire.Subscribed(wire.Value("f-1"))))
    return made


def group(scheduler, *specs, executor=POD):
    members = [(one.name, one.__replace__(executor=executor)) for one in specs]
    return scheduler.launch_group(members)


def operations(scheduler, *offers):
    """What is launched when these offers come."""
    scheduler.take_calls()
    scheduler.receive(wire.Event("OFFERS", offers=wire.Offers(offers)))
    accepts = [call.accept for call in scheduler.take_calls() if call.accept]
    return [operation for accept in accepts for operation in accept.operations]


def test_a_group_is_one_operation_and_its_networks_are_the_executors(scheduler):
    tasks = group(scheduler, spec("a"), spec("b", network=NetworkRequest("mine")))
    (operation,) = operations(scheduler, offer())
    assert operation.type == "LAUNCH_GROUP"
    executor = operation.launch_group.executor
    assert (executor.type, executor.executor_id.value, executor.framework_id.value) == ("DEFAULT", "a", "f-1")
    assert [info.name for info in executor.container.network_infos] == ["net", "other"]
    assert executor.command is None
    a, b = operation.task_infos
    assert (a.container, b.container.network_infos[0].name) == (None, "mine")
    assert {task.agent_id for task in tasks} == {"agent-h1"}


def test_a_group_needs_room_for_all_of_it_and_its_executor_in_one_place(scheduler):
    group(scheduler, spec("a"), spec("b"))
    assert operations(scheduler, offer(cpus=0.3), offer(cpus=0.3, host="h2")) == []
    assert operations(scheduler, offer(mem=100.0)) == []
    (operation,) = operations(scheduler, offer(cpus=0.4, mem=104.0))
    assert len(operation.task_infos) == 2


def test_ports_of_the_host_are_handed_out_in_order(scheduler):
    group(scheduler, spec("a", host_ports=(HostPort(), HostPort())), spec("b", host_ports=(HostPort(),)))
    (operation,) = operations(scheduler, offer(ports=(31000, 31002)))
    got = [[each.begin for r in info.resources if r.ranges for each in r.ranges.range] for info in operation.task_infos]
    assert got == [[31000, 31001], [31002]]


def test_a_custom_executor_runs_in_place_of_the_command(scheduler):
    scheduler.launch("t", TaskSpec("t", (), executor=OWN))
    scheduler.launch("plain", spec("plain"))
    (operation,) = operations(scheduler, offer())
    own, plain = operation.task_infos
    assert (own.command, own.container, plain.executor) == (None, None, None)
    assert (own.executor.type, own.executor.command.value) == ("CUSTOM", "./run")
    assert own.executor.container.network_infos[0].name == "net"
    assert b'"command":null' not in encode_json(own).replace(b" ", b"")


def test_a_task_for_the_default_executor_is_a_group_of_one(scheduler):
    scheduler.launch("t", spec("t", executor=ExecutorSpec()))
    (operation,) = operations(scheduler, offer())
    assert operation.type == "LAUNCH_GROUP"


def test_killing_one_that_waits_ends_its_group(scheduler):
    tasks = group(scheduler, spec("a"), spec("b"))
    scheduler.kill(tasks[1])
    assert [task.status.state for task in tasks] == [TaskState.KILLED] * 2
    assert operations(scheduler, offer()) == []


def test_a_refused_group_ends_with_the_masters_words(scheduler):
    tasks = group(scheduler, spec("a"), spec("b"))
    scheduler.receive(wire.Event("OFFERS", offers=wire.Offers((offer(),))))
    (call,) = [call for call in scheduler.take_calls() if call.accept]
    scheduler.rejected(call, "no")
    assert [(task.status.state, task.status.message) for task in tasks] == [(TaskState.ERROR, "no")] * 2


def test_a_group_of_which_one_does_not_wait_is_not_launched():
    assert list(units([("a", spec("a"), ("a", "b"))])) == []


@pytest.mark.parametrize(
    ("specs", "executor", "said"),
    [
        ([], POD, "no tasks"),
        ([spec("a")], OWN, "no other"),
        ([spec("a", executor=OWN)], POD, "executors of their own"),
        ([spec("a", hostname="h1"), spec("b")], POD, "different hosts"),
        ([spec("a"), spec("b", network=NetworkRequest(""))], POD, "task 'b': the network has no name"),
        ([spec("a")], ExecutorSpec(networks=(NetworkRequest("n", ip_addresses=("x",)),)), "'x' is not an IP address"),
    ],
)
def test_a_group_that_cannot_be_is_refused(specs, executor, said):
    assert said in problem_of_group(specs, executor)


def test_a_group_that_can_be_has_no_problem():
    assert problem_of_group([spec("a"), spec("b")], POD) == ""
