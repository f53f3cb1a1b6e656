"""Every call of Docker's engine, led to the part that does it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field

from ocicat.agent.docker.addresses import Addresses
from ocicat.agent.docker.endpoints import Endpoints
from ocicat.agent.docker.followers import Followers
from ocicat.agent.docker.networks import Networks
from ocicat.cni.server import Turns
from ocicat.docker import messages, options
from ocicat.errors import Unavailable, UserError

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Driver:
    """A `docker.server.Handler`."""

    networks: Networks
    addresses: Addresses
    endpoints: Endpoints
    followers: Followers
    timeout_s: float
    _turns: Turns = field(default_factory=Turns)

    async def perform(self, call: messages.Call) -> messages.Reply:
        """One after the other where they are about the same. Errors: every OcicatError."""
        name = type(call).__name__
        try:
            async with asyncio.timeout(self.timeout_s), self._turn(messages.subject(call)):
                return await self._perform(call)
        except TimeoutError:
            hint = "the agent's log says what it waited for"
            raise Unavailable(f"{name} took more than {self.timeout_s:g} s", hint=hint) from None

    async def collect(self) -> None:
        """To be called from time to time: what an engine that died has left is given back. Errors: every OcicatError."""
        self.endpoints.forget_lost()
        for endpoint_id in self.endpoints.never_joined():
            call = messages.DeleteEndpoint(endpoint_id=endpoint_id)
            async with self._turn(messages.subject(call)):
                if endpoint_id in self.endpoints.never_joined():  # still: it may have waited for its Join to end
                    log.info("endpoint %s of Docker was never joined: giving it back", endpoint_id[:12])
                    await self._perform(call)
        await self.addresses.collect()

    def _turn(self, subject: str) -> AbstractAsyncContextManager[None]:
        return self._turns.take(("docker", subject)) if subject else nullcontext()

    async def _perform(self, call: messages.Call) -> messages.Reply:
        match call:
            case messages.RequestPool():
                return self.addresses.pool(call)
            case messages.RequestAddress():
                return await self.addresses.request(call)
            case messages.ReleaseAddress():
                self.addresses.release(call)
            case messages.CreateNetwork():
                await self.networks.create(call)
            case messages.DeleteNetwork():
                await self.networks.delete(call.network_id)
            case messages.AllocateNetwork():
                raise UserError(
                    "networks of a swarm are not served", hint="create the network on each host, without --scope swarm"
                )
            case messages.OfEndpoint():
                return await self._of_endpoint(call)
            case _:
                pass  # ReleasePool, FreeNetwork, Discover: there is nothing to do
        return {}

    async def _of_endpoint(self, call: messages.OfEndpoint) -> messages.Reply:
        match call:
            case messages.CreateEndpoint():
                return await self.endpoints.create(call)
            case messages.EndpointOperInfo():
                return self.endpoints.info(call)
            case messages.Join():
                reply = await self.endpoints.join(call)
                self.followers.joined(call.endpoint_id)
                return reply
            case messages.Leave():
                self.endpoints.leave(call)
            case messages.DeleteEndpoint():
                await self.followers.gone(call.endpoint_id)
                await self.endpoints.delete(call)
            case messages.ProgramExternalConnectivity():
                await self.endpoints.publish(call, options.ports(call.options))
            case messages.RevokeExternalConnectivity():
                await self.endpoints.publish(call, ())
            case _:
                pass
        return {}
