"""What CNI runtimes ask about a network as a whole: can it serve, and what of it is left that nobody knows any more.

1. Nothing of Mesos's, Docker's or the network isolator module's is ever stale: they ask for no such thing, though a network of a
   runtime may have the name of theirs.
2. A network is ready when an ADD of it could be served now: datastore and kernel answer, and there are pools for its addresses.
   Whether these have an address left is not counted: it could be gone, or another be free, before the ADD comes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ocicat.agent import identity
from ocicat.agent.local import Local
from ocicat.agent.status import AgentStatus
from ocicat.cni.config import NetworkConfig, NetworkInfo
from ocicat.cni.request import Request
from ocicat.errors import Unavailable
from ocicat.ipam.allocator import Allocator
from ocicat.model.codec import decode_json

_RUNTIMES = "cni"  # the orchestrator of endpoints that CNI runtimes other than Mesos ask for


@dataclass(slots=True)
class Attachments:
    """A `cni.server.Networks`. `status`: how the agent is, as JSON."""

    allocator: Allocator
    local: Local
    status: Callable[[], Awaitable[bytes]]

    async def ready(self, network: NetworkConfig) -> None:
        for family in network.families:
            self.allocator.serving(family, network.pools)
        found = decode_json(AgentStatus, await self.status())
        for name, problem in (("the datastore", found.store), ("the kernel", found.dataplane)):
            if problem:
                raise Unavailable(f"{name}: {problem}", hint="it is tried again; the agent's log says more")
        if self.allocator.locked:
            raise Unavailable("the datastore is locked", hint="unlock it: ocicat store unlock")

    def stale(self, network: str, valid: frozenset[tuple[str, str]]) -> tuple[Request, ...]:
        """By the owners of addresses, whose network is written beside them."""
        handles = {one.handle for one in self.allocator.held() if one.attributes.get("network") == network}
        return tuple(
            Request("DEL", spec.container_id, spec.endpoint, "", NetworkConfig(network, ""), NetworkInfo(), _RUNTIMES)
            for spec in (endpoint.spec for endpoint in self.local.endpoints.values())
            if spec.orchestrator == _RUNTIMES
            and (spec.container_id, spec.endpoint) not in valid
            and identity.handle(spec.container_id, spec.endpoint) in handles
        )
