"""Who a container of this host is: its framework, executor, and the tasks that live in it. Pure.

1. A container's executor is known as soon as Mesos tells of its containers, which may be before its network is there. That is
   Mesos's own word. A status is the executor's, which may name any container: until Mesos has told, that of a command task counts
   where no other executor names the same container.
2. A task of a task group, or of a custom executor, is known with its first status only.
3. A task lives in its own container, and in every container around that, up to the one that has the network. One that has a network
   of its own is not in the network around it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set

from ocicat.mesos.operator_wire import ContainerSummary
from ocicat.mesos.tasks import Cluster, FrameworkSummary, Task
from ocicat.model.base import Struct

_COMMAND = "Command Executor ("  # how Mesos names those that it makes for one task


class Executor(Struct, frozen=True):
    """`command`: Mesos made it for one task, and it ends with that."""

    framework_id: str
    id: str
    command: bool = False


class Identity(Struct, frozen=True):
    """`framework` is its name; `tasks` are those that have not ended, in the order of their ids."""

    framework: str
    role: str
    executor: Executor
    tasks: tuple[Task, ...] = ()


def root(container_id: str) -> str:
    """The outermost container: the executor's own."""
    return container_id.partition(".")[0]


def executors(containers: Iterable[ContainerSummary]) -> dict[str, Executor]:
    """By outermost container. Standalone containers have none."""
    return {
        one.container_id: Executor(one.framework_id, one.executor_id, one.executor_name.startswith(_COMMAND))
        for one in containers
        if one.framework_id and one.executor_id
    }


def executors_of(tasks: Iterable[Task]) -> dict[str, Executor]:
    """The same for command tasks, from what is said in statuses; nothing of a container that several executors name."""
    named: dict[str, set[Executor]] = defaultdict(set)
    for task in tasks:
        if task.container_id:
            named[root(task.container_id)].add(Executor(task.framework_id, task.executor_id, task.command))
    only = {container: found.pop() for container, found in named.items() if len(found) == 1}
    return {container: executor for container, executor in only.items() if executor.command}


def identities(networked: Set[str], owners: Mapping[str, Executor], cluster: Cluster) -> dict[str, Identity]:
    """Of the containers in `networked`, as far as they are known. `owners` as `executors` gives them.

    A command task's container that is only waiting for its end is left out: it stays who it was.
    """
    by_executor = defaultdict(list)
    for task in cluster.tasks.values():
        by_executor[task.framework_id, task.executor_id].append(task)
    found = {}
    for container in networked:
        owner = owners.get(root(container))
        framework = cluster.frameworks.get(owner.framework_id) if owner else None
        if owner and framework:
            tasks = [
                task
                for task in by_executor[owner.framework_id, owner.id]
                if _network_of(task, owner, container, networked) == container
            ]
            if tasks or not owner.command:
                found[container] = _identity(framework, owner, tasks)
    return found


def _identity(framework: FrameworkSummary, owner: Executor, tasks: list[Task]) -> Identity:
    roles = {task.role for task in tasks} or set(framework.roles)
    return Identity(
        framework=framework.name,
        role=roles.pop() if len(roles) == 1 else "",
        executor=owner,
        tasks=tuple(sorted(tasks, key=lambda task: task.id)),
    )


def _network_of(task: Task, owner: Executor, container: str, networked: Set[str]) -> str:
    """The container whose network the task has; "" while that is not known: before its first status, but for a command task."""
    place = task.container_id or (root(container) if owner.command else "")
    return next((around for around in _around(place) if around in networked), "")


def _around(container: str) -> Iterator[str]:
    """The container itself, then the one around it, and so on."""
    while container:
        yield container
        container = container.rpartition(".")[0]
