"""What is done for an endpoint once its container has it, and nobody waits for: labels, and the routes of a further network.

The engine tells a driver neither the container's name nor its labels, and knows itself which container an endpoint is of only when
Join has returned. So it is asked then. Until it has answered, the endpoint has the labels of its network and of its own options.

The engine has no word for routes by source, without which answers from a second network's address would leave by the first one's
interface. They are added as soon as it has taken the interface into the container, which is some milliseconds later.

1. A label that is there is never changed: what the network, the endpoint's options or an operator said stays.
2. An endpoint that goes takes its follower with it. The agent after this one follows on where something is missing.
3. Nothing that goes wrong here ends anything else; it is told in the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, field

from ocicat.agent.docker.change import changed
from ocicat.agent.docker.sandboxes import Place, Sandboxes
from ocicat.agent.hostroot import on_host
from ocicat.agent.mesoslabels import is_reserved
from ocicat.agent.workloads import Workloads
from ocicat.dataplane.api import Attach
from ocicat.docker.engine import Container, Engine
from ocicat.docker.labels import CONTAINER, ORCHESTRATOR
from ocicat.docker.options import of_container
from ocicat.errors import NotFound, OcicatError, Unavailable
from ocicat.model.codec import with_field
from ocicat.model.names import label_key, label_value
from ocicat.model.net import parse_interface
from ocicat.model.resources import WorkloadEndpoint

FIRST_LOOK_S, LAST_LOOK_S = 0.02, 1.0
PATIENCE_S = 60.0
ROUTE_LOOK_S = 0.05

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Followers:
    engine: Engine
    workloads: Workloads
    sandboxes: Sandboxes
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)  # by endpoint id

    def resume(self) -> None:
        """Where the agent before this one was not done."""
        for endpoint_id in self.sandboxes.places:
            self.joined(endpoint_id)

    def joined(self, endpoint_id: str) -> None:
        if endpoint_id not in self._tasks:
            self._tasks[endpoint_id] = asyncio.create_task(self._follow(endpoint_id), name=f"follow {endpoint_id}")

    async def gone(self, endpoint_id: str) -> None:
        task = self._tasks.pop(endpoint_id, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def close(self) -> None:
        for endpoint_id in [*self._tasks]:
            await self.gone(endpoint_id)

    async def _follow(self, endpoint_id: str) -> None:
        try:
            await asyncio.gather(
                self._attempt(endpoint_id, "labels of its container's", self._label(endpoint_id)),
                self._attempt(endpoint_id, "routes of its own", self._route(endpoint_id)),
            )
        finally:
            self._tasks.pop(endpoint_id, None)

    async def _attempt(self, endpoint_id: str, what: str, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except OcicatError as error:
            if endpoint_id in self.sandboxes.places:  # or else it is gone
                log.warning("endpoint %s of Docker has no %s: %s", endpoint_id[:12], what, error)
        except Exception:  # or else the other part would go on without anybody who can end it
            log.exception("endpoint %s of Docker has no %s: a defect", endpoint_id[:12], what)

    async def _route(self, endpoint_id: str) -> None:
        """As soon as the engine has taken the interface."""
        end = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            key, endpoint = self._find(endpoint_id)
            attach = Attach(
                key=key,
                interface=endpoint.spec.interface_name,
                netns_path=on_host(self.workloads.config.host_root, self._place(endpoint_id).sandbox),
                container_interface="",
                addresses=tuple(parse_interface(text)[0] for text in endpoint.spec.ip_networks),
            )
            try:
                return await asyncio.wrap_future(self.workloads.dataplane.complete(attach))
            except NotFound:
                if asyncio.get_running_loop().time() > end:
                    raise
            await asyncio.sleep(ROUTE_LOOK_S)

    async def _label(self, endpoint_id: str) -> None:
        key, known = self._find(endpoint_id)
        if CONTAINER in known.metadata.labels:
            return  # it is written together with all others
        container = await self._container(endpoint_id)
        true = _labels(container)

        def edit(endpoint: WorkloadEndpoint, value: bytes) -> bytes:
            return with_field(value, ("metadata", "labels"), true | endpoint.metadata.labels)

        await changed(self.workloads.store, key, edit)

    async def _container(self, endpoint_id: str) -> Container:
        """As soon as the engine knows. It may be away meanwhile."""
        pause_s, end = FIRST_LOOK_S, asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            problem = Unavailable(f"Docker's engine named no container in {PATIENCE_S:g} s")
            try:
                if (container := await self._look(endpoint_id)) is not None:
                    return container
            except Unavailable as error:
                problem = error
            if asyncio.get_running_loop().time() > end:
                raise problem
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LAST_LOOK_S)

    async def _look(self, endpoint_id: str) -> Container | None:
        members = (await self.engine.network(self._place(endpoint_id).network_id)).containers
        ids = (each for each, member in members.items() if member.endpoint_id == endpoint_id)
        container_id = next(ids, None)
        return await self.engine.container(container_id) if container_id else None

    def _place(self, endpoint_id: str) -> Place:
        place = self.sandboxes.places.get(endpoint_id)
        if place is None:
            raise NotFound(f"endpoint {endpoint_id} has left its container")
        return place

    def _find(self, endpoint_id: str) -> tuple[str, WorkloadEndpoint]:
        found = self.workloads.local.find(ORCHESTRATOR, endpoint_id)
        if found is None:
            raise NotFound(f"endpoint {endpoint_id} is not there any more")
        return found


def _labels(container: Container) -> dict[str, str]:
    said = {label_key(key): label_value(value) for key, value in of_container(container.labels).items()}
    name = container.names[0].removeprefix("/") if container.names else container.id[:12]
    return {key: value for key, value in said.items() if key and not is_reserved(key)} | {CONTAINER: label_value(name)}
