"""How tasks that have found a place are launched: together, each under an executor, or as a group. PURE.

1. A unit goes to one place as a whole: a task alone, or a group, whose tasks share the container of Mesos's default executor. What
   executors need counts with it.
2. Tasks of a group are launched in one operation or not at all; those that need no executor of their own share one operation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from ocicat.mesos import wire
from ocicat.mesos.placing import settled
from ocicat.mesos.types import ExecutorSpec, Offer, TaskSpec
from ocicat.mesos.wire_task import executor_info, task_info
from ocicat.model.base import Struct, replace

Member = tuple[str, TaskSpec]

_NO_EXECUTOR = ExecutorSpec(cpus=0.0, mem_mb=0.0, disk_mb=0.0)  # Mesos's own costs nothing of an offer


class Unit(Struct, frozen=True):
    """`id`: of its first task. `group`: the executor of a group."""

    members: tuple[Member, ...]
    group: ExecutorSpec | None = None

    @property
    def id(self) -> str:
        return self.members[0][0]

    @property
    def demand(self) -> TaskSpec:
        """What it needs of an offer, as if it were one task."""
        specs = [spec for _, spec in self.members]
        executor = self.group or specs[0].executor or _NO_EXECUTOR
        return replace(
            specs[0],
            cpus=sum(spec.cpus for spec in specs) + executor.cpus,
            mem_mb=sum(spec.mem_mb for spec in specs) + executor.mem_mb,
            disk_mb=sum(spec.disk_mb for spec in specs) + executor.disk_mb,
            host_ports=tuple(port for spec in specs for port in spec.host_ports),
        )

    def settled(self, ports: Sequence[int], hostname: str) -> Unit:
        """With these ports of the host, in the order in which its tasks ask for them."""
        left = iter(ports)
        members = tuple(
            (task_id, settled(spec, tuple(islice(left, len(spec.host_ports))), hostname))
            for task_id, spec in self.members
        )
        return replace(self, members=members)


def units(waiting: Iterable[tuple[str, TaskSpec, Sequence[str]]]) -> Iterator[Unit]:
    """`waiting`: (task id, spec, the ids of its group; none for a task alone). A group is passed over while one does not wait."""
    listed = list(waiting)
    specs = {task_id: spec for task_id, spec, _ in listed}
    for task_id, spec, group in listed:
        if not group:
            yield Unit(((task_id, spec),))
        elif task_id == group[0] and specs.keys() >= set(group):
            yield Unit(tuple((each, specs[each]) for each in group), spec.executor)


def operations(placed: Sequence[Unit], offer: Offer, framework_id: str) -> tuple[wire.Operation, ...]:
    """Those that launch `placed` out of `offer`."""
    alone = tuple(_task_info(each, offer, framework_id) for unit in placed if not unit.group for each in unit.members)
    single = (wire.Operation(type="LAUNCH", launch=wire.Launch(alone)),) if alone else ()
    return (*single, *(_group(unit, unit.group, offer, framework_id) for unit in placed if unit.group))


def _group(unit: Unit, executor: ExecutorSpec, offer: Offer, framework_id: str) -> wire.Operation:
    info = executor_info(executor, unit.id, framework_id, offer)
    tasks = tuple(task_info(spec, task_id, offer) for task_id, spec in unit.members)
    return wire.Operation(type="LAUNCH_GROUP", launch_group=wire.LaunchGroup(info, wire.TaskGroup(tasks)))


def _task_info(member: Member, offer: Offer, framework_id: str) -> wire.TaskInfo:
    """With an executor of the framework's, that is what runs; its container is the task's."""
    task_id, spec = member
    info = task_info(spec, task_id, offer)
    if spec.executor is None:
        return info
    executor = executor_info(spec.executor, task_id, framework_id, offer)
    return replace(info, command=None, container=None, executor=executor)
