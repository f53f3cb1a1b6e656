"""Keeps the labels true that this host's endpoints have because of who lives in their containers (`agent.mesoslabels`).

1. Nothing waits for it: an ADD is answered with what NetworkInfo said. The local Mesos agent is asked as soon as there is a new
   endpoint, which is before its task starts, and again as long as something is missing.
2. One look serves all endpoints, however many came, and looks take no more than a tenth of the time: what
   Mesos spends on its answers, the tasks that it is starting lack.
3. Who lives where is looked at again from time to time: often where an executor can get other tasks, seldom where it cannot.
4. An endpoint that somebody changes at the same time is read and decided anew. A deleted one stays deleted. One whose labels the
   datastore refuses keeps no other from its own.
5. What stands in the way (no Mesos agent, a locked datastore) is told once for each reason, and tried again until it is gone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from ocicat.agent.local import Local
from ocicat.agent.lock import unlocked
from ocicat.agent.mesoslabels import MOST, Labels, is_so, left_out, relabelled, wanted
from ocicat.docker.labels import CONTAINER, OF_MESOS, ORCHESTRATOR
from ocicat.errors import Conflict, OcicatError, Unavailable, UserError
from ocicat.mesos.identity import Executor, Identity, executors, executors_of, identities, root
from ocicat.mesos.operator_wire import ContainerSummary
from ocicat.mesos.tasks import Cluster
from ocicat.model.base import Struct
from ocicat.model.keys import name_of
from ocicat.model.resources import WorkloadEndpoint
from ocicat.store.base import Compare, Datastore, Put

CHUNK = 32  # endpoints in one commit: a plain etcd takes 128 operations

log = logging.getLogger(__name__)


class MesosAgent(Protocol):
    """`mesos.operator.AgentClient`."""

    async def containers(self) -> tuple[ContainerSummary, ...]: ...

    async def state(self) -> Cluster: ...


class Timing(Struct, frozen=True):
    """Seconds until the next look: when something is missing (doubling up to the next), when executors may have got other tasks,
    when something stays missing, when nothing is expected to change, and after a failure (doubling)."""

    missing_s: float = 0.1
    changing_s: float = 2.0
    unknown_s: float = 10.0
    settled_s: float = 30.0
    failed_s: float = 1.0
    failed_max_s: float = 30.0
    gap_s: float = 0.02  # at least, between two looks
    containers_s: float = 0.1  # that a look waits for what Mesos tells of containers

    def rest_s(self, took_s: float) -> float:
        """How long there is no other look, whatever comes: a tenth of the time is for looking."""
        return max(self.gap_s, min(9 * took_s, self.unknown_s))


_PATIENT_MISSES = 20  # so many looks for the same missing things are worth `changing_s` between them


@dataclass(slots=True)
class Labelling:
    store: Datastore
    local: Local
    mesos: MesosAgent
    timing: Timing = field(default_factory=Timing)
    _owners: dict[str, Executor] = field(default_factory=dict)  # by outermost container, as Mesos itself told
    _seen: frozenset[str] = frozenset()  # keys of the endpoints of the last look
    _new: asyncio.Event = field(default_factory=asyncio.Event)
    _misses: int = 0  # looks in a row after which something was missing, without a new endpoint between
    _failures: int = 0  # in a row
    _problems: set[str] = field(default_factory=set)  # told since the last success
    _refused: dict[str, str] = field(default_factory=dict)  # by endpoint, why its labels are not written: told once
    _asking: asyncio.Task[tuple[ContainerSummary, ...]] | None = None

    def noticed(self, key: str) -> None:
        """An endpoint was written or deleted: for who feeds `Local`, afterwards."""
        endpoint = self.local.endpoints.get(key)
        if endpoint is not None and _container(endpoint) and key not in self._seen:
            self._misses = 0
            self._new.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        try:
            await self._run()
        finally:
            if self._asking:
                self._asking.cancel()
                await asyncio.gather(self._asking, return_exceptions=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._new.clear()
            began = loop.time()
            try:
                pause_s = await self.look()
                gap_s = self.timing.rest_s(loop.time() - began)
            except OcicatError as error:
                gap_s = pause_s = self._tell(error)
            await asyncio.sleep(gap_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(None if pause_s is None else max(0.0, pause_s - gap_s)):
                    await self._new.wait()

    async def look(self) -> float | None:
        """Everything once. Seconds until the next time; None: not before there is a new endpoint. Errors: OcicatError."""
        endpoints = {key: one for key, one in self.local.endpoints.items() if _container(one)}
        self._seen = frozenset(endpoints)
        if not endpoints:
            self._owners.clear()
            return None
        containers = set(map(_container, endpoints.values()))
        cluster = await self.mesos.state()
        roots = {root(container) for container in containers}
        learnt = await self._learn_owners(roots)
        found = identities(containers, executors_of(cluster.tasks.values()) | self._owners, cluster)
        changes = _changes(endpoints, found)
        _tell_left_out({container: found[container] for container in {_container(endpoints[key]) for key in changes}})
        written = await self._write(changes)
        self._succeeded()
        unknown = bool(roots - self._owners.keys())
        missing = unknown or not written or any(not identity.tasks for identity in found.values())
        self._misses = 0 if learnt or not missing else self._misses + 1
        return self._pause_s(missing, unknown)

    def _pause_s(self, missing: bool, unknown: bool) -> float:
        timing = self.timing
        if unknown and self._misses >= _PATIENT_MISSES:
            return timing.unknown_s
        if missing:
            return min(_doubled(timing.missing_s, self._misses), timing.changing_s)
        return timing.settled_s if all(owner.command for owner in self._owners.values()) else timing.changing_s

    async def _learn_owners(self, roots: set[str]) -> bool:
        """Whether anything new is known. An executor's container is never another's: it is asked about only once."""
        known = self._owners.keys() & roots
        told = executors(await self._told_of_containers()) if roots - known else {}
        self._owners = {container: owner for container, owner in (told | self._owners).items() if container in roots}
        return self._owners.keys() > known

    async def _told_of_containers(self) -> tuple[ContainerSummary, ...]:
        """Nothing yet, where that takes long: Mesos answers only when no container is being made. Then a look will have it."""
        if self._asking is None:
            self._asking = asyncio.create_task(self.mesos.containers())
            await asyncio.wait([self._asking], timeout=self.timing.containers_s)
            if not self._asking.done():
                self._asking.add_done_callback(lambda _: self._new.set())
        if not self._asking.done():
            return ()
        asked, self._asking = self._asking, None
        return asked.result()

    async def _write(self, changes: Mapping[str, Labels]) -> bool:
        """Whether nothing is to be tried again soon."""
        self._refused = {key: why for key, why in self._refused.items() if key in changes}
        if not changes:
            return True
        free, rest, complete = await unlocked(self.store), iter(changes.items()), True
        while chunk := tuple(islice(rest, CHUNK)):
            try:
                await self._commit(free, chunk)
            except Unavailable:
                raise
            except OcicatError:
                complete = all([await self._write_alone(free, one) for one in chunk]) and complete
        return complete

    async def _write_alone(self, free: Compare, one: tuple[str, Labels]) -> bool:
        """As `_write`."""
        try:
            await self._commit(free, [one])
        except Conflict:
            return False
        except Unavailable:
            raise
        except OcicatError as error:
            self._tell_refused(one[0], error)
        return True

    async def _commit(self, free: Compare, chunk: Sequence[tuple[str, Labels]]) -> None:
        stored = await asyncio.gather(*(self.store.get(key) for key, _ in chunk))
        puts, compares = [], [free]
        for found, (key, true) in zip(stored, chunk, strict=True):
            value = _relabelled(key, found.value, true) if found else None
            if found and value is not None:
                puts.append(Put(key, value))
                compares.append(Compare(key, found.modified))
        if puts:
            await self.store.commit(compares, puts)

    def _tell(self, error: OcicatError) -> float:
        if str(error) not in self._problems:
            log.warning("who lives in this host's containers cannot be told by labels for the moment: %s", error)
        self._problems.add(str(error))
        self._failures += 1
        return min(_doubled(self.timing.failed_s, self._failures - 1), self.timing.failed_max_s)

    def _tell_refused(self, key: str, error: OcicatError) -> None:
        if self._refused.get(key) != str(error):
            log.warning("endpoint %s does not get the labels of who lives in it: %s", name_of(key), error)
        self._refused[key] = str(error)

    def _succeeded(self) -> None:
        if self._problems:
            log.info("labels tell again who lives in this host's containers")
        self._problems.clear()
        self._failures = 0


def _tell_left_out(found: Mapping[str, Identity]) -> None:
    for container, identity in found.items():
        if count := left_out(identity):
            log.warning("container %s: %d labels of its task are left out: %d have room", container, count, MOST)


def _doubled(first_s: float, times: int) -> float:
    return first_s * float(1 << min(times, 20))


def _changes(endpoints: Mapping[str, WorkloadEndpoint], found: Mapping[str, Identity]) -> dict[str, Labels]:
    """By key, the labels of those that do not have them."""
    true = {container: wanted(identity) for container, identity in found.items()}
    return {
        key: true[container]
        for key, endpoint in endpoints.items()
        if (container := _container(endpoint)) in true and not is_so(endpoint.metadata, true[container])
    }


def _container(endpoint: WorkloadEndpoint) -> str:
    """Mesos's id of it; "" where Mesos has not started it. Its Docker containerizer gives its containers names that say it."""
    if endpoint.spec.orchestrator != ORCHESTRATOR:
        return endpoint.spec.container_id if endpoint.spec.orchestrator == "mesos" else ""
    name = endpoint.metadata.labels.get(CONTAINER, "")
    return name.removeprefix(OF_MESOS) if name.startswith(OF_MESOS) else ""


def _relabelled(key: str, value: bytes, true: Labels) -> bytes | None:
    try:
        return relabelled(value, true, key)
    except UserError:
        return None  # reported by the calculation graph, which sees every object
