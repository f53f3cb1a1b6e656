"""A cluster in the words of the calculation graph: keys, values and interfaces."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ocicat.calc.graph import Graph
from ocicat.model.net import Addr
from ocicat.model.v3.kinds import KINDS
from ocicat.model.wanted import Batch
from ocicat.policy import HostInterface

if TYPE_CHECKING:
    from cluster import Cluster, Host


def values(cluster: Cluster) -> dict[str, bytes]:
    """What a datastore holds of it."""
    return {_key(resource): json.dumps(resource).encode() for resource in cluster.resources}


def interfaces(cluster: Cluster, host: str) -> list[HostInterface]:
    return [each for one in cluster.hosts if one.name == host for each in _interfaces(one)]


def wanted(cluster: Cluster, host: str) -> Batch:
    """Of that host's dataplane."""
    graph = Graph(host)
    for key, value in values(cluster).items():
        graph.update(key, value)
    graph.interfaces(interfaces(cluster, host))
    graph.in_sync()
    return graph.flush(1)


def _key(resource: dict[str, object]) -> str:
    metadata = resource["metadata"]
    return KINDS[str(resource["kind"])].key(metadata["name"], metadata.get("namespace", ""))


def _interfaces(host: Host) -> list[HostInterface]:
    return [
        HostInterface(host.name, name, tuple(map(Addr.parse, addresses))) for name, addresses in host.interfaces.items()
    ]
