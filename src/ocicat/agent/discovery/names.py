"""The zone kept as the cluster is: every change that the master tells, in the records. One thread's own; no I/O.

1. What is served follows the last thing told; while no master tells, it stays as it was.
2. A task that did not change costs nothing, also when all is told anew.
3. What cannot be named takes nobody else's name, be it a task, a framework or an agent: that is told once, and it has none.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

from ocicat.dns import records
from ocicat.dns.answer import Book
from ocicat.dns.records import Naming
from ocicat.dns.wire import Type
from ocicat.dns.zone import Entry
from ocicat.mesos.masters import Endpoint
from ocicat.mesos.tasks import Change, Cluster, FrameworkSummary, Task, TaskKey
from ocicat.model.net import Addr

log = logging.getLogger(__name__)

_MOST_TOLD = 1000


@dataclass(slots=True)
class Names:
    """`listed`: the masters that the operator named. `holders`: which tasks have an address of their own; `hosts`: those of agents
    and masters."""

    book: Book
    listed: tuple[Endpoint, ...] = ()
    holders: dict[Addr, set[TaskKey]] = field(default_factory=dict)
    hosts: set[Addr] = field(default_factory=set)
    _tasks: dict[TaskKey, Task] = field(default_factory=dict)
    _leader: Endpoint | None = None
    _unnamed: set[str] = field(default_factory=set)  # told so

    def hear(self, cluster: Cluster, change: Change, now: float) -> None:
        """`now`: seconds since the epoch, for the zone's serial."""
        keys = (cluster.tasks.keys() | self._tasks.keys()) if change.complete else change.tasks
        changed = [self._task(key, cluster.tasks.get(key)) for key in keys]
        if change.agents or change.frameworks or cluster.leader not in (None, self._leader):
            changed.append(self._cluster(cluster))
        self.book.complete = self.book.complete or change.complete
        if any(changed):
            self.book.serial = max(self.book.serial + 1, int(now))

    def _task(self, key: TaskKey, task: Task | None) -> bool:
        before = self._tasks.get(key)
        if task == before:
            return False
        if before is not None:
            del self._tasks[key]
            self._forget_addresses(before)
        if task is not None:
            self._tasks[key] = task
            for address in _of_its_own(task):
                self.holders.setdefault(address, set()).add(key)
        return self.book.zone.set(_owner(key), self._entries(task) if task else ())

    def _entries(self, task: Task) -> tuple[Entry, ...]:
        return self._made(f"task {task.id} of framework {task.framework}", partial(records.of_task, task))

    def _forget_addresses(self, task: Task) -> None:
        for address in _of_its_own(task):
            holders = self.holders.get(address, set())
            holders.discard(task.key)
            if not holders:
                self.holders.pop(address, None)

    def _cluster(self, cluster: Cluster) -> bool:
        naming, agents = self.book.naming, cluster.agents.values()
        addresses = {agent.hostname: agent.address for agent in agents}
        schedulers = [self._framework(one, addresses) for one in cluster.frameworks.values()]
        self._leader = cluster.leader or self._leader  # promise 1
        changed = [
            self._set("agents", [self._made(f"agent {one.id}", partial(records.of_agent, one)) for one in agents]),
            self._set("frameworks", schedulers),
            self._set("masters", (records.of_masters(self._leader, self.listed, naming),)),
        ]
        told = (entry for owner in ("agents", "masters") for entry in self.book.zone.owned(owner))
        self.hosts = {Addr.unpack(entry.data) for entry in told if entry.type in (Type.A, Type.AAAA)}
        return any(changed)

    def _framework(self, one: FrameworkSummary, addresses: Mapping[str, str]) -> tuple[Entry, ...]:
        what = f"framework {one.id} ({one.name!r})"
        if self.book.naming.is_reserved(one.name) and self._is_new(what):
            log.warning("%s and its tasks get no names: names of that end are the zone's own", what)
        return self._made(what, lambda naming: records.of_framework(one, addresses, naming))

    def _made(self, what: str, make: Callable[[Naming], tuple[Entry, ...]]) -> tuple[Entry, ...]:
        try:
            return make(self.book.naming)
        except Exception:  # promise 3, whatever it is: containers need the agent more than a name
            if self._is_new(what):
                log.exception("%s gets no name", what)
            return ()

    def _is_new(self, what: str) -> bool:
        """Once; how many are remembered is bounded, because frameworks may make up as many as they like."""
        if what in self._unnamed:
            return False
        if len(self._unnamed) >= _MOST_TOLD:
            self._unnamed.clear()
        self._unnamed.add(what)
        return True

    def _set(self, owner: str, parts: Iterable[tuple[Entry, ...]]) -> bool:
        return self.book.zone.set(owner, chain.from_iterable(parts))


def _owner(key: TaskKey) -> str:
    return f"task/{key[0]}/{key[1]}"


def _of_its_own(task: Task) -> Iterable[Addr]:
    """Addresses by which a task that asks is known; that of its host is shared with others."""
    return (address for address in records.own_addresses(task) if str(address) != task.host_address)
