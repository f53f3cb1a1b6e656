"""What a Mesos agent before 1.0 runs, as its `/state.json` tells it: there is no operator API yet. PURE.

Source of names: apache/mesos 0.24 to 0.28, src/slave/http.cpp and src/common/http.cpp.
"""

from __future__ import annotations

from ocicat.mesos import wire
from ocicat.mesos.operator_wire import ContainerSummary
from ocicat.mesos.tasks import FrameworkSummary, Snapshot, Task
from ocicat.mesos.types import TaskState
from ocicat.model.base import Struct


class OldTask(Struct, frozen=True):
    """One that waits for its executor has neither state nor labels."""

    id: str
    name: str = ""
    slave_id: str = ""
    executor_id: str = ""
    state: TaskState = TaskState.STAGING
    labels: tuple[wire.Label, ...] = ()


class OldExecutor(Struct, frozen=True):
    id: str
    name: str = ""
    container: str = ""
    tasks: tuple[OldTask, ...] = ()
    queued_tasks: tuple[OldTask, ...] = ()

    def tasks_of(self, framework: OldFramework) -> tuple[Task, ...]:
        return tuple(
            Task(
                id=task.id,
                name=task.name,
                framework_id=framework.id,
                role=framework.role,
                executor_id=self.id,
                command=not task.executor_id,
                agent_id=task.slave_id,
                state=task.state,
                labels=wire.label_map(wire.Labels(task.labels)),
                container_id=self.container,
            )
            for task in (*self.tasks, *self.queued_tasks)
            if not task.state.terminal
        )


class OldFramework(Struct, frozen=True):
    id: str
    name: str = ""
    role: str = ""
    executors: tuple[OldExecutor, ...] = ()


class OldState(Struct, frozen=True):
    frameworks: tuple[OldFramework, ...] = ()

    def containers(self) -> tuple[ContainerSummary, ...]:
        return tuple(
            ContainerSummary(executor.container, framework.id, executor.id, executor.name, 0, ())
            for framework in self.frameworks
            for executor in framework.executors
        )

    def snapshot(self) -> Snapshot:
        return Snapshot(
            frameworks=tuple(
                FrameworkSummary(one.id, one.name, active=True, connected=True, roles=(one.role,) if one.role else ())
                for one in self.frameworks
            ),
            tasks=tuple(
                task for one in self.frameworks for executor in one.executors for task in executor.tasks_of(one)
            ),
        )
