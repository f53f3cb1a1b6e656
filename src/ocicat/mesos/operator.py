"""What the Mesos master and agents know: a read-only client of their v1 operator API.

1. Nothing here changes anything in Mesos.
2. Any master will do: those that do not lead redirect, those that do not answer are passed over.
3. Only what is alive is told: completed tasks and removed agents are left out. What Mesos has no value for is "" or ().
4. Every answer comes in `timeout_s` or not at all (Unavailable).
"""

from __future__ import annotations

from typing import TypeVar

from ocicat.errors import NotFound, Refused, Unavailable, UserError
from ocicat.mesos.credential import Credential
from ocicat.mesos.discovery import discovered
from ocicat.mesos.http import Request, fetch
from ocicat.mesos.masters import Endpoint
from ocicat.mesos.operator_wire import ContainerSummary, GetContainers, Question, Response
from ocicat.mesos.state_json import OldState
from ocicat.mesos.tasks import AgentSummary, Cluster, FrameworkSummary, Task
from ocicat.model.codec import decode_json, encode_json

PATH = "/api/v1"
OLD_PATH = "/state.json"

T = TypeVar("T")


class MasterClient:
    """The cluster, as the leading master sees it. `master` as for `discovered`."""

    def __init__(self, master: str, *, credential: Credential | None = None, timeout_s: float = 5.0) -> None:
        self._master = master
        self._credential = credential
        self._timeout_s = timeout_s

    async def agents(self) -> tuple[AgentSummary, ...]:
        return (await self._ask("GET_AGENTS")).get_agents.summaries()

    async def frameworks(self) -> tuple[FrameworkSummary, ...]:
        return (await self._ask("GET_FRAMEWORKS")).get_frameworks.summaries()

    async def tasks(self) -> tuple[Task, ...]:
        """Without the names of their frameworks and hosts, which only `state` knows."""
        return (await self._ask("GET_TASKS")).get_tasks.alive()

    async def state(self) -> Cluster:
        cluster = Cluster()
        cluster.apply([(await self._ask("GET_STATE")).get_state.snapshot()])
        return cluster

    async def _ask(self, kind: str) -> Response:
        """By the first that answers of those there are."""
        complaints: list[str] = []
        async with discovered(self._master) as masters:
            first = endpoint = await masters.next()
            while True:
                try:
                    return await _ask(endpoint, Question(kind), self._credential, self._timeout_s)
                except Unavailable as error:
                    complaints.append(error.message)
                endpoint = await masters.next()
                if endpoint == first:
                    raise Unavailable("; ".join(complaints))


class AgentClient:
    """One agent, as it sees itself. Before 1.0 it has no operator API, and says the same in other words."""

    def __init__(
        self, host: str, port: int = 5051, *, credential: Credential | None = None, timeout_s: float = 5.0
    ) -> None:
        self._endpoint = Endpoint(host, port)
        self._credential = credential
        self._timeout_s = timeout_s

    async def containers(self) -> tuple[ContainerSummary, ...]:
        """All of them: of executors, nested and standalone."""
        try:
            answer = await self._ask(Question("GET_CONTAINERS", GetContainers()))
        except NotFound:
            return (await self._old_state()).containers()
        return tuple(container.summary() for container in answer.get_containers.containers)

    async def state(self) -> Cluster:
        """What runs there, and what is going to."""
        try:
            snapshot = (await self._ask(Question("GET_STATE"))).get_state.snapshot()
        except NotFound:
            snapshot = (await self._old_state()).snapshot()
        cluster = Cluster()
        cluster.apply([snapshot])
        return cluster

    async def _ask(self, question: Question) -> Response:
        return await _ask(self._endpoint, question, self._credential, self._timeout_s)

    async def _old_state(self) -> OldState:
        request = Request(self._endpoint, OLD_PATH, headers=_headers(self._credential))
        return _decoded(OldState, await fetch(request, self._timeout_s), f"{self._endpoint}{OLD_PATH}")


async def _ask(endpoint: Endpoint, question: Question, credential: Credential | None, timeout_s: float) -> Response:
    body = await fetch(Request(endpoint, PATH, "POST", encode_json(question), _headers(credential)), timeout_s)
    return _decoded(Response, body, f"{question.type} of {endpoint}")


def _headers(credential: Credential | None) -> dict[str, str]:
    return credential.headers() if credential else {}


def _decoded(wanted: type[T], body: bytes, what: str) -> T:
    try:
        return decode_json(wanted, body, what=what)
    except UserError as error:
        raise Refused(error.message) from error
