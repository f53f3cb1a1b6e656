"""What an agent does on its host, without a datastore: a graph that says what is wanted, and a dataplane that does it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import graphs

from ocicat.calc.graph import Graph
from ocicat.dataplane.api import Applied, DataplaneConfig, EndpointFailed, EndpointsInForce, Problem, Report
from ocicat.dataplane.apply import Dataplane
from ocicat.model.wanted import Batch, Endpoint
from ocicat.netlink import namespace

if TYPE_CHECKING:
    from cluster import Cluster

WAIT_S = 20.0
PREFIX = "cali"


class Agent:
    """Of the host whose namespace it is. Interfaces of workloads must be there when it first enforces anything."""

    def __init__(self, host: str, netns_fd: int, flat_from: int) -> None:
        self._host = host
        self._graph = Graph(host)
        self._values: dict[str, bytes] = {}
        self._revision = 0
        self._reports: list[Report] = []
        self._heard = threading.Condition()
        self._plane = Dataplane(
            DataplaneConfig(agent_ports=(), interface_prefix=PREFIX, flat_from=flat_from), self._hear
        )
        with namespace.inside(netns_fd):
            self._plane.start()

    def close(self) -> None:
        self._plane.stop()

    def enforce(self, cluster: Cluster) -> None:
        """The cluster's policy, in place of what was before; it is in force when this returns."""
        self._revision += 1
        self._update(graphs.values(cluster))
        self._graph.interfaces(graphs.interfaces(cluster, self._host))
        if self._revision == 1:
            self._graph.in_sync()
        batch = self._graph.flush(self._revision)
        self._plane.submit(batch)
        with self._heard:
            done = self._heard.wait_for(lambda: self._is_in_force(batch) or self._faults(), WAIT_S)
        if not done or self._faults():
            raise AssertionError(f"{self._host}: it cannot be enforced: {self._faults() or self._reports}")

    def _update(self, values: dict[str, bytes]) -> None:
        for key in self._values.keys() - values.keys():
            self._graph.update(key, None)
        for key, value in values.items():
            if self._values.get(key) != value:
                self._graph.update(key, value)
        self._values = values

    def _hear(self, report: Report) -> None:
        with self._heard:
            self._reports.append(report)
            self._heard.notify_all()

    def _is_in_force(self, batch: Batch) -> bool:
        endpoints = {message.key for message in batch if isinstance(message, Endpoint)}
        told = [one for one in self._reports if isinstance(one, EndpointsInForce) and one.revision >= self._revision]
        return Applied(self._revision) in self._reports and endpoints <= {key for one in told for key in one.keys}

    def _faults(self) -> list[Report]:
        """A rule that cannot be enforced is none: it drops what comes to it, as the other models say too."""
        return [
            report
            for report in self._reports
            if isinstance(report, EndpointFailed)
            or (isinstance(report, Problem) and (report.object == "dataplane" or "nft:" in report.text) and report.text)
        ]
