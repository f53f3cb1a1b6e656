"""What the agent remembers of the datastore for its own requests: this host's endpoints, and which profiles exist. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field

from ocicat.errors import UserError
from ocicat.model import keys
from ocicat.model.codec import decode_json
from ocicat.model.resources import WorkloadEndpoint


@dataclass(slots=True)
class Local:
    """Fed with every update of the syncer; (container id, interface in it) finds the endpoint."""

    host: str
    profiles: set[str] = field(default_factory=set)
    endpoints: dict[str, WorkloadEndpoint] = field(default_factory=dict)  # by datastore key
    _keys: dict[tuple[str, str], str] = field(default_factory=dict)

    def observe(self, key: str, value: bytes | None) -> None:
        if key.startswith(keys.PROFILES):
            (self.profiles.discard if value is None else self.profiles.add)(keys.name_of(key))
        elif key.startswith(keys.WORKLOADS):
            self._forget(key)
            if value is not None:
                self._remember(key, value)

    def find(self, container: str, interface: str) -> tuple[str, WorkloadEndpoint] | None:
        key = self._keys.get((container, interface))
        return (key, self.endpoints[key]) if key else None

    def _remember(self, key: str, value: bytes) -> None:
        if not keys.name_of(key).startswith(self.host.replace("-", "--") + "-"):
            return  # another host's: not worth decoding
        try:
            endpoint = decode_json(WorkloadEndpoint, value, what=key)
        except UserError:
            return  # reported by the calculation graph, which sees every object
        if endpoint.spec.node == self.host:
            self.endpoints[key] = endpoint
            self._keys[endpoint.spec.container_id, endpoint.spec.endpoint] = key

    def _forget(self, key: str) -> None:
        endpoint = self.endpoints.pop(key, None)
        if endpoint is not None:
            place = endpoint.spec.container_id, endpoint.spec.endpoint
            if self._keys.get(place) == key:  # or its successor came before it went
                del self._keys[place]
