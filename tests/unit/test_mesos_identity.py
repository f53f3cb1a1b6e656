"""Who a container is, from what a Mesos agent told of containers and tasks."""

from __future__ import annotations

from ocicat.mesos.identity import Executor, executors, executors_of, identities, root
from ocicat.mesos.operator_wire import ContainerSummary
from ocicat.mesos.tasks import Cluster, FrameworkSummary, Snapshot, Task
from ocicat.mesos.types import TaskState
from ocicat.model.base import replace

FRAMEWORK = FrameworkSummary("F", "marathon", active=True, connected=True, roles=("web",))
COMMAND = Executor("F", "t", command=True)
CUSTOM = Executor("F", "e")
TASK = Task(id="t", name="shop", framework_id="F", executor_id="t", command=True, state=TaskState.STAGING)


def cluster(*tasks, framework=FRAMEWORK):
    made = Cluster()
    made.apply([Snapshot(frameworks=(framework,), tasks=tasks)])
    return made


def told(container, framework="F", executor="t", name="Command Executor (Task: t) (Command: sh -c 'x')"):
    return ContainerSummary(container, framework, executor, name, 0, ())


def test_which_executors_have_containers():
    found = executors([told("c"), told("d", executor="e", name="my own"), told("c.n", "", ""), told("s", "", "")])
    assert found == {"c": COMMAND, "d": CUSTOM}


def test_statuses_tell_the_same_of_command_tasks_alone():
    placed = replace(TASK, container_id="c")
    nested = replace(TASK, id="n", executor_id="e", command=False, container_id="d.n")
    assert executors_of([placed, nested, replace(TASK, id="waits")]) == {"c": COMMAND}


def test_a_container_that_several_executors_name_is_nobody_s():
    victim = replace(TASK, container_id="c")
    other = replace(TASK, id="o", framework_id="G", executor_id="o", container_id="c")
    custom = replace(TASK, id="n", executor_id="e", command=False, container_id="c.n")
    assert executors_of([victim, other]) == executors_of([custom, victim]) == {}


def test_the_root_of_a_container():
    assert [root(one) for one in ("a", "a.b", "a.b.c")] == ["a"] * 3


def test_a_command_task_is_known_before_it_has_a_status():
    (one,) = identities({"c"}, {"c": COMMAND}, cluster(TASK)).values()
    assert (one.framework, one.role, one.executor.id) == ("marathon", "web", "t")
    assert [task.name for task in one.tasks] == ["shop"]


def test_a_command_task_that_has_ended_leaves_its_container_as_it_was():
    assert identities({"c"}, {"c": COMMAND}, cluster()) == {}


def test_a_container_nobody_told_of_is_left_out():
    assert identities({"c", "x"}, {}, cluster(TASK)) == {}


def test_a_framework_nobody_told_of_makes_its_containers_unknown():
    assert identities({"c"}, {"c": Executor("other", "t", command=True)}, cluster(TASK)) == {}


def test_a_custom_executor_has_the_tasks_whose_statuses_say_so():
    theirs = replace(TASK, executor_id="e", container_id="d")
    waiting = replace(theirs, id="u", container_id="")
    elsewhere = replace(theirs, id="v", executor_id="other", container_id="x")
    (one,) = identities({"d"}, {"d": CUSTOM}, cluster(theirs, waiting, elsewhere)).values()
    assert [task.id for task in one.tasks] == ["t"]


def test_a_custom_executor_without_tasks_is_itself():
    (one,) = identities({"d"}, {"d": CUSTOM}, cluster()).values()
    assert (one.executor.id, one.role, one.tasks) == ("e", "web", ())


def test_a_group_shares_the_network_of_its_executor():
    first, second = (replace(TASK, id=name, executor_id="e", container_id=f"d.{name}") for name in ("a", "b"))
    (one,) = identities({"d"}, {"d": CUSTOM}, cluster(second, first)).values()
    assert [task.id for task in one.tasks] == ["a", "b"]


def test_a_nested_container_with_a_network_of_its_own_is_not_in_the_one_around_it():
    own, shared = (replace(TASK, id=name, executor_id="e", container_id=f"d.{name}") for name in ("a", "b"))
    deeper = replace(own, id="c", container_id="d.a.c")
    found = identities({"d", "d.a"}, {"d": CUSTOM}, cluster(own, shared, deeper))
    assert {name: [task.id for task in one.tasks] for name, one in found.items()} == {"d": ["b"], "d.a": ["a", "c"]}


def test_tasks_of_different_roles_make_none():
    framework = replace(FRAMEWORK, roles=("a", "b"))
    first, second = (replace(TASK, id=role, role=role, executor_id="e", container_id="d") for role in ("a", "b"))
    (both,) = identities({"d"}, {"d": CUSTOM}, cluster(first, second, framework=framework)).values()
    (one,) = identities({"d"}, {"d": CUSTOM}, cluster(first, framework=framework)).values()
    (none,) = identities({"d"}, {"d": CUSTOM}, cluster(framework=framework)).values()
    assert (both.role, one.role, none.role) == ("", "a", "")
