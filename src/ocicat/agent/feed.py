"""What every batch of the datastore's updates goes through, and what comes back from the dataplane. One event loop.

Nothing is computed for the kernel before the first complete state; each problem is told once when it comes, and once when it goes.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

from ocicat.agent.config import Live
from ocicat.agent.discovery.service import Service as Names
from ocicat.agent.flowlog.control import FlowLog
from ocicat.agent.inforce import InForce
from ocicat.agent.interfaces import Interfaces
from ocicat.agent.labelling import Labelling
from ocicat.agent.local import Local
from ocicat.calc.graph import Graph
from ocicat.dataplane.api import Applied, Drift, EndpointFailed, EndpointsInForce, FlowsCut, Problem, Report
from ocicat.dataplane.apply import Dataplane
from ocicat.ipam.allocator import Allocator
from ocicat.obs import logs
from ocicat.settings.layers import severity
from ocicat.settings.table import LEVELS, default_text
from ocicat.store.schema import mark
from ocicat.store.schema.steps import CURRENT
from ocicat.store.syncer import Updates

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Feed:
    graph: Graph
    allocator: Allocator
    local: Local
    dataplane: Dataplane
    flow_log: FlowLog | None = None
    labelling: Labelling | None = None
    names: Names | None = None
    live: Live | None = None  # None: the log is somebody else's
    in_force: InForce = field(default_factory=InForce)
    applied: asyncio.Event = field(default_factory=asyncio.Event)  # the first complete state is in the kernel
    _problems: dict[str, str] = field(default_factory=dict)
    _revision: int | None = None  # of the last complete state; None before the first

    def updates(self, batch: Updates) -> None:
        """Refused when the datastore became one that this agent must not work with; nothing of it is followed then."""
        for update in batch.updates:
            if update.key == mark.KEY:
                mark.check(update.value, CURRENT)
        if self.names:
            self.names.observe(batch)
        for update in batch.updates:
            self.allocator.observe(update.key, update.value, update.revision)
            self.local.observe(update.key, update.value)
            self.graph.update(update.key, update.value)
            if self.labelling:
                self.labelling.noticed(update.key)
        if not batch.in_sync:
            return
        if self._revision is None:
            self.graph.in_sync()
        self._revision = batch.revision
        self._flush(batch.revision)

    def interfaces(self, found: Interfaces) -> None:
        """All of this host's own."""
        self.graph.interfaces(found)
        if self.flow_log:
            self.flow_log.interfaces(found)
        if self._revision is not None:
            self._flush(self._revision)

    def take_over(self, live: Live) -> None:
        """Settings of this host that can change while it runs, from now on."""
        if self.live and self.live.log_style != live.log_style:
            logs.set_up(self._level(live), live.log_style)
        self.live = live
        self.graph.override(live.felix)
        if self._revision is not None:
            self._flush(self._revision)

    def _flush(self, revision: int) -> None:
        wanted = self.graph.flush(revision)
        if wanted:
            self.dataplane.submit(wanted)
        if self.flow_log:
            self.flow_log.follow(self.graph, wanted)
        if self.live:
            logs.set_level(self._level(self.live))
        self._tell_problems()

    def _level(self, live: Live) -> str:
        """What this host says goes before FelixConfiguration."""
        said = severity(self.graph.log_severity())
        return live.log_level or (said if said in LEVELS else default_text("log.level"))

    def report(self, report: Report) -> None:
        match report:
            case EndpointsInForce(keys, revision):
                for key in keys:
                    self.in_force.reached(key, revision)
            case EndpointFailed(key, text):
                log.error("endpoint %s: %s", key, text)
                self.in_force.failed(key, text)
            case Applied():
                self.applied.set()
            case Drift(by, what):
                log.warning("mended: %s: %s", "; ".join(by), _few(what))
            case FlowsCut(count, by):
                log.info("%d established flows ended: %s", count, _few(tuple(f"{each} by {who}" for who, each in by)))
            case Problem(subject, ""):
                log.info("%s: solved", subject)
            case Problem(subject, text):
                log.error("%s: %s", subject, text)

    def _tell_problems(self) -> None:
        """Each once when it comes, each once when it goes."""
        problems = dict(self.graph.problems())
        for key, text in problems.items():
            if self._problems.get(key) != text:
                log.warning("%s: %s", key, text)
        for key in self._problems.keys() - problems.keys():
            log.info("%s: solved", key)
        self._problems = problems


def _few(texts: tuple[str, ...], most: int = 5) -> str:
    rest = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + rest
