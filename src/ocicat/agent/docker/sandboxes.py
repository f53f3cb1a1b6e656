"""Which of our endpoints share a container: the first gives it its default routes, the others have routes of their own.

libnetwork says the path of a container's network namespace ("sandbox") with each endpoint that joins it.

Invariants: 1. Of the endpoints in one sandbox one at most is the first. 2. The sandbox is written into the endpoint when it joins,
so that the agents after this one know it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ocicat.docker.labels import ORCHESTRATOR
from ocicat.model.base import Struct
from ocicat.model.codec import with_field
from ocicat.model.resources import WorkloadEndpoint

SANDBOX = "ocicat/docker-sandbox"
NETWORK = "ocicat/docker-network"


class Place(Struct, frozen=True):
    """Where an endpoint is: the engine's id of its network, and the path of its container's network namespace."""

    network_id: str
    sandbox: str


def written(value: bytes, place: Place) -> bytes:
    """An endpoint's JSON with its place in it."""
    value = with_field(value, ("metadata", "annotations", SANDBOX), place.sandbox)
    return with_field(value, ("metadata", "annotations", NETWORK), place.network_id)


def read(endpoint: WorkloadEndpoint) -> Place | None:
    """None: it has not joined, or is none of libnetwork's."""
    said = endpoint.metadata.annotations
    if endpoint.spec.orchestrator != ORCHESTRATOR or SANDBOX not in said:
        return None
    return Place(said.get(NETWORK, ""), said[SANDBOX])


@dataclass(slots=True)
class Sandboxes:
    """By endpoint id."""

    places: dict[str, Place] = field(default_factory=dict)

    @classmethod
    def known(cls, endpoints: Mapping[str, WorkloadEndpoint]) -> Sandboxes:
        """As those before us left them. `endpoints` by key."""
        found = {each.spec.endpoint: place for each in endpoints.values() if (place := read(each)) is not None}
        return cls(found)

    def enter(self, endpoint_id: str, place: Place) -> bool:
        """Is it the first of ours in there?"""
        others = any(each.sandbox == place.sandbox and other != endpoint_id for other, each in self.places.items())
        self.places[endpoint_id] = place
        return not others

    def leave(self, endpoint_id: str) -> None:
        self.places.pop(endpoint_id, None)
