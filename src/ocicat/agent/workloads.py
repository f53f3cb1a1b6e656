"""A container's interface from ADD to DEL: address, endpoint, veth, policy in force; and back.

1. ADD returns when, and only when, the kernel enforces the endpoint's policy; before that the interface is closed.
2. An ADD that fails leaves nothing: no address, no endpoint, no interface. So does one that runs out of time.
3. ADD of what is there already gives the same answer again: a plugin whose agent died in the middle simply asks again.
4. DEL always succeeds for what it does not know. The interface is closed before its address becomes free.
5. When the datastore cannot be written, a DEL still closes the interface and succeeds; the address is given back as soon as the
   datastore allows it. (Apache Mesos never repeats a DEL that failed.)
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, field

from ocicat.agent import identity, profiles
from ocicat.agent.config import AgentConfig
from ocicat.agent.identity import Identity
from ocicat.agent.inforce import InForce
from ocicat.agent.local import Local
from ocicat.clock import Clock
from ocicat.cni.request import Request
from ocicat.cni.result import Attachment
from ocicat.cni.spec import CniError, Code
from ocicat.dataplane.api import Attach, Detach
from ocicat.dataplane.apply import Dataplane
from ocicat.errors import Conflict, OcicatError, Refused, Unavailable
from ocicat.ipam.allocator import Allocator
from ocicat.ipam.request import Request as AddressRequest
from ocicat.model import keys
from ocicat.model.base import Struct
from ocicat.model.codec import decode_json, encode_json
from ocicat.model.net import Addr
from ocicat.model.resources import WorkloadEndpoint
from ocicat.store.base import Compare, Datastore, Delete, Put

log = logging.getLogger(__name__)

GATEWAY = Addr.parse("169.254.1.1")
RELEASE_RETRY_S = 1.0
ATTEMPTS = 3


@dataclass(slots=True)
class Workloads:
    """The agent's answer to the CNI server (a `cni.server.Handler`)."""

    config: AgentConfig
    clock: Clock
    store: Datastore
    allocator: Allocator
    dataplane: Dataplane
    local: Local
    in_force: InForce
    _late: dict[str, asyncio.Task[None]] = field(
        default_factory=dict
    )  # handle -> a release that waits for the datastore

    async def add(self, request: Request) -> Attachment:
        try:
            async with asyncio.timeout(self.config.add_timeout_s):
                return await self._add(request, identity.identify(self.config.host, request))
        except TimeoutError:
            raise Unavailable(
                f"network {request.config.name!r}: container {request.container_id} was not attached within"
                f" {self.config.add_timeout_s:g} s",
                hint="the agent's log says what it waited for",
            ) from None

    async def delete(self, request: Request) -> None:
        container, interface = request.container_id, request.interface
        found = self.local.find(container, interface)
        handle = identity.handle(container, interface)
        known = found or self.allocator.addresses_of(handle)
        key = found[0] if found else identity.identify(self.config.host, request).key if known else ""
        await self._close(key, identity.interface_name(container, interface))
        if known:
            await self._release(handle, key)

    async def check(self, request: Request) -> None:
        found = self.local.find(request.container_id, request.interface)
        if not found:
            raise CniError(
                Code.UNKNOWN_CONTAINER,
                f"container {request.container_id} has no {request.interface} of ours on this host",
            )
        key, endpoint = found
        ids = identity.identify(self.config.host, request)
        attach = self._attach(request, ids, _addresses(endpoint))
        wrong = await asyncio.wrap_future(self.dataplane.verify(key, attach))
        if wrong:
            raise Refused(f"container {request.container_id}, {request.interface}: {'; '.join(wrong)}")

    async def reclaim(self, interfaces: frozenset[str]) -> None:
        """Gives back what containers left that vanished while no agent ran: endpoints whose interface is not among `interfaces`.

        A container without its host-side interface has no network, whatever else lives of it; an ADD that was cut off in the
        middle is asked again by its plugin and starts from nothing.
        """
        for key, endpoint in list(self.local.endpoints.items()):
            if endpoint.spec.interface_name not in interfaces:
                log.info(
                    "endpoint %s has lost its interface: giving back %s", key, ", ".join(endpoint.spec.ip_networks)
                )
                await self._release(identity.handle(endpoint.spec.container_id, endpoint.spec.endpoint), key)

    async def close(self) -> None:
        late = list(self._late.values())
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    # --- ADD ----------------------------------------------------------------------------------------------------

    async def _add(self, request: Request, ids: Identity) -> Attachment:
        if late := self._late.get(ids.handle):  # its predecessor of the same name has not let go yet
            await asyncio.shield(late)
        await self._ensure_profiles(identity.profile_names(request))
        granted = await self._allocate(request, ids)
        try:
            attach = self._attach(request, ids, granted.addresses)
            attached = await asyncio.wrap_future(self.dataplane.attach(attach))
            await self.in_force.wait(ids.key, granted.revision)
        except (OcicatError, asyncio.CancelledError):
            if granted.fresh:
                await self._close(ids.key, ids.interface)
                await self._release(ids.handle, ids.key)
            raise
        return Attachment(
            interface=request.interface,
            netns=request.netns,
            mac=attached.mac.hex(":"),
            addresses=granted.addresses,
            gateways=tuple(GATEWAY for _ in granted.addresses),
            dns=request.config.dns,
        )

    async def _ensure_profiles(self, names: tuple[str, ...]) -> None:
        for name in names:
            if name in self.local.profiles:
                continue
            key = keys.profile(name)
            with suppress(Conflict):  # somebody else made it meanwhile: theirs counts
                await self.store.commit([Compare(key, 0)], [Put(key, encode_json(profiles.group_profile(name)))])
            self.local.profiles.add(name)

    async def _allocate(self, request: Request, ids: Identity) -> Granted:
        """The endpoint's addresses, stored with it: new ones, or those it has already."""
        known = self.local.find(request.container_id, request.interface) is not None
        for _ in range(ATTEMPTS):
            if known and (existing := await self._existing(request, ids)):
                return existing
            try:
                made = await self.allocator.allocate(self._address_request(request, ids))
            except Conflict:
                known = True
                continue
            return Granted(made.addresses, made.revision, fresh=True)
        raise Unavailable(f"endpoint {ids.name} is being changed by somebody else", hint="try again")

    def _address_request(self, request: Request, ids: Identity) -> AddressRequest:
        def writes(addresses: tuple[Addr, ...]) -> list[tuple[Compare | None, Put]]:
            endpoint = identity.endpoint(self.config.host, request, ids, addresses)
            return [(Compare(ids.key, 0), Put(ids.key, encode_json(endpoint)))]

        return AddressRequest(
            handle=ids.handle,
            attributes={
                "node": self.config.host,
                "network": request.config.name,
                "timestamp": f"{self.clock.now():.0f}",
            },
            families=() if request.addresses else (4,),
            addresses=request.addresses,
            pools=request.config.pools,
            writes=writes,
        )

    async def _existing(self, request: Request, ids: Identity) -> Granted | None:
        stored = await self.store.get(ids.key)
        if stored is None:
            self.local.observe(ids.key, None)
            return None
        addresses = _addresses(decode_json(WorkloadEndpoint, stored.value, what=f"endpoint {ids.name}"))
        if request.addresses and set(request.addresses) != set(addresses):
            raise Refused(
                f"container {request.container_id} has {', '.join(map(str, addresses))} on {request.interface} already",
                hint="DEL it before asking for another address",
            )
        return Granted(addresses, stored.modified, fresh=False)

    def _attach(self, request: Request, ids: Identity, addresses: tuple[Addr, ...]) -> Attach:
        return Attach(
            key=ids.key,
            interface=ids.interface,
            netns_path=request.netns,
            container_interface=request.interface,
            addresses=addresses,
            mac=ids.mac,
            mtu=request.config.mtu or 0,
        )

    # --- DEL ----------------------------------------------------------------------------------------------------

    async def _close(self, key: str, interface: str) -> None:
        self.in_force.forget(key)
        await asyncio.wrap_future(self.dataplane.detach(Detach(key=key, interface=interface)))

    async def _release(self, handle: str, key: str) -> None:
        """Now, or as soon as the datastore allows it (promise 5)."""
        try:
            await self._give_back(handle, key)
        except Unavailable as error:
            log.warning("the addresses of %s are given back later: %s", handle, error)
            task = asyncio.create_task(self._give_back_when_possible(handle, key), name=f"release {handle}")
            self._late[handle] = task
            task.add_done_callback(lambda _: self._late.pop(handle, None))

    async def _give_back_when_possible(self, handle: str, key: str) -> None:
        while True:
            await asyncio.sleep(RELEASE_RETRY_S)
            with suppress(Unavailable):
                return await self._give_back(handle, key)

    async def _give_back(self, handle: str, key: str) -> None:
        await self.allocator.release(handle, [Delete(key)])
        self.local.observe(key, None)


class Granted(Struct, frozen=True):
    """Addresses that an endpoint holds since `revision`; `fresh` when this very request made it."""

    addresses: tuple[Addr, ...]
    revision: int
    fresh: bool


def _addresses(endpoint: WorkloadEndpoint) -> tuple[Addr, ...]:
    return tuple(Addr.parse(network.partition("/")[0]) for network in endpoint.spec.ip_networks)
