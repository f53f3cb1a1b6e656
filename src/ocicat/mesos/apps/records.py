"""What the store holds of a framework's applications, and under which keys. PURE.

    /ocicat/v1/apps/NAME/framework        the id that the master gave
    /ocicat/v1/apps/NAME/leader           who is the framework now; under a lease
    /ocicat/v1/apps/NAME/wanted/ID        the applications, as people want them
    /ocicat/v1/apps/NAME/versions/ID@V    what instances of a version are; as long as there are any
    /ocicat/v1/apps/NAME/tasks/TASK       the instances: written before they are launched, gone when they have ended
    /ocicat/v1/apps/NAME/status/ID        how the application is, for people
    /ocicat/v1/apps/NAME/kill/TASK        instances that people want to be ended

Only the leader writes versions, tasks, status and framework, and only while it is the leader.
"""

from __future__ import annotations

from ocicat.mesos.frameworks.application import Application
from ocicat.mesos.types import TaskState
from ocicat.model.base import Struct

ROOT = "/ocicat/v1/apps/"
DEFAULT_NAME = "ocicat"


class Leader(Struct, frozen=True):
    """`since`: seconds since the epoch."""

    host: str
    pid: int
    since: float


class FrameworkRecord(Struct, frozen=True):
    id: str


class TaskRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An instance. `place`: what is known of its agent (its "hostname", and attributes). `was_ready`: its readiness checks have
    succeeded, and are asked no more. `addresses` are its own."""

    task_id: str
    app: str
    version: str
    started: float  # seconds since the epoch
    state: TaskState = TaskState.STAGING
    healthy: bool | None = None
    was_ready: bool = False
    agent_id: str = ""
    place: dict[str, str] = {}
    ports: tuple[int, ...] = ()
    addresses: tuple[str, ...] = ()
    message: str = ""


class StatusRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`instances`: of the version that is wanted; `old`: of others. `waits`: why it is not what it is to be, or ""."""

    app: str
    version: str
    wanted: int
    instances: int = 0
    ready: int = 0
    old: int = 0
    waits: str = ""
    last_failure: str = ""


class Keys(Struct, frozen=True):
    """Of the framework `name`."""

    name: str

    @property
    def root(self) -> str:
        return f"{ROOT}{self.name}/"

    @property
    def framework(self) -> str:
        return f"{self.root}framework"

    @property
    def leader(self) -> str:
        return f"{self.root}leader"

    @property
    def wanted(self) -> str:
        return f"{self.root}wanted/"

    @property
    def versions(self) -> str:
        return f"{self.root}versions/"

    @property
    def tasks(self) -> str:
        return f"{self.root}tasks/"

    @property
    def statuses(self) -> str:
        return f"{self.root}status/"

    @property
    def kills(self) -> str:
        return f"{self.root}kill/"

    def app(self, app_id: str) -> str:
        return self.wanted + app_id.lstrip("/")

    def version(self, app_id: str, version: str) -> str:
        return f"{self.versions}{app_id.lstrip('/')}@{version}"

    def task(self, task_id: str) -> str:
        return self.tasks + task_id

    def status(self, app_id: str) -> str:
        return self.statuses + app_id.lstrip("/")

    def kill(self, task_id: str) -> str:
        return self.kills + task_id


def version_key_of(keys: Keys, app: Application) -> str:
    return keys.version(app.id, app.version)
