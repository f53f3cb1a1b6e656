"""A container's interface from ADD to DEL: address, endpoint, veth, policy in force; and back.

1. ADD returns when, and only when, the kernel enforces the endpoint's policy; before that the interface is closed.
2. An ADD that fails, is broken off, or runs out of time leaves nothing of its own: no address, no endpoint, no interface. What an
   earlier ADD of the same interface made stays until its DEL. (Profiles made for new groups stay: they are the operator's.)
3. ADD of what is there already gives the same answer again: a plugin whose agent died in the middle simply asks again.
4. DEL always succeeds: at once for what it does not know, and also while the datastore or the kernel refuses. The interface is
   closed before its address becomes free; what could not be done is tried again until it is (`agent.departures`).
5. Who calls sees to it that there is one request at a time for an interface of a container (`cni.server` does).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ocicat.agent import groups, identity
from ocicat.agent.config import AgentConfig
from ocicat.agent.departures import Departures, Leaving
from ocicat.agent.hostroot import on_host
from ocicat.agent.identity import Identity
from ocicat.agent.inforce import InForce
from ocicat.agent.local import Local
from ocicat.agent.origin import stamped
from ocicat.agent.ports import HostPorts, mappings
from ocicat.clock import Clock
from ocicat.cni.request import Request
from ocicat.cni.result import Attachment
from ocicat.cni.spec import CniError, Code
from ocicat.cni.wishes import Wishes
from ocicat.dataplane.api import Attach, Attached
from ocicat.dataplane.apply import Dataplane
from ocicat.dataplane.ownership import GATEWAY_V4, GATEWAY_V6
from ocicat.errors import Conflict, Refused, Unavailable, UserError
from ocicat.ipam.allocator import Allocator
from ocicat.ipam.request import Request as AddressRequest
from ocicat.model.base import Struct, replace
from ocicat.model.codec import decode_json, encode_json
from ocicat.model.net import Addr
from ocicat.model.resources import WorkloadEndpoint
from ocicat.policy.settings import OpenPort
from ocicat.store.base import Compare, Datastore, Put

log = logging.getLogger(__name__)

GATEWAYS = {4: Addr.unpack(GATEWAY_V4), 6: Addr.unpack(GATEWAY_V6)}
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
    failsafe: Callable[[], Iterable[OpenPort]]  # ports that are the host's own
    departures: Departures = field(init=False)
    ports: HostPorts = field(init=False)
    _warned: bool = False

    def __post_init__(self) -> None:
        self.ports = HostPorts(self.local, self.store, self.config.agent_ports, self.failsafe)
        self.departures = Departures(self.allocator, self.dataplane, self.local)

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
        leaving = Leaving(
            key=found[0] if found else self._key(request),
            handle=handle,
            interface=identity.interface_name(container, interface),
            owns=bool(found or self.allocator.addresses_of(handle)),
        )
        await self.departures.take_back(leaving)

    async def check(self, request: Request) -> None:
        found = self.local.find(request.container_id, request.interface)
        if not found:
            raise CniError(
                Code.UNKNOWN_CONTAINER,
                f"container {request.container_id} has no {request.interface} of ours on this host",
            )
        key, endpoint = found
        ids = identity.identify(self.config.host, request)
        addresses = _addresses(endpoint)
        if request.previous is not None and set(request.previous) != set(addresses):
            raise Refused(
                f"container {request.container_id}, {request.interface}: has {', '.join(map(str, addresses))},"
                f" and its prevResult says {', '.join(map(str, request.previous)) or 'none'}"
            )
        attach = self._attach(request, ids, addresses)
        wrong = await asyncio.wrap_future(self.dataplane.verify(key, attach))
        if wrong:
            raise Refused(f"container {request.container_id}, {request.interface}: {'; '.join(wrong)}")

    async def reclaim(self, interfaces: frozenset[str]) -> None:
        """Gives back what containers left that vanished while no agent ran: endpoints whose interface is not among `interfaces`.

        Only endpoints that an agent of ours made: those of other tools on this host are theirs. Nothing may be served before.
        A container without its host-side interface has no network, whatever else lives of it; an ADD that was cut off in the
        middle is asked again by its plugin and starts from nothing.
        """
        lost = self.lost(interfaces)
        for leaving in lost.values():
            log.info("endpoint %s has lost its interface: giving back its addresses", leaving.key)
        await asyncio.gather(*map(self.departures.take_back, lost.values()))

    def lost(self, interfaces: frozenset[str]) -> dict[str, Leaving]:
        """By key, the endpoints that an agent of ours made and whose interface is not among these."""
        return {
            key: Leaving(key, identity.handle(endpoint.spec.container_id, endpoint.spec.endpoint), "")
            for key, endpoint in self.local.endpoints.items()
            if _is_ours(endpoint) and endpoint.spec.interface_name not in interfaces
        }

    async def close(self) -> None:
        await self.departures.close()

    # --- ADD ----------------------------------------------------------------------------------------------------

    async def _add(self, request: Request, ids: Identity) -> Attachment:
        await self.departures.gone(ids.handle)
        async with self.ports.reserved(ids.key, request.ports):
            return await self._add_with_ports(request, ids)

    async def _add_with_ports(self, request: Request, ids: Identity) -> Attachment:
        for name in identity.profile_names(request):
            if name not in self.local.profiles:
                await groups.make_profile(self.store, name)
        granted = await self._allocate(request, ids)
        try:
            attached = await self.attach_in_force(request, ids, granted)
        except BaseException:
            if granted.fresh:
                await self.departures.take_back(Leaving(ids.key, ids.handle, ids.interface))
            raise
        return Attachment(
            interface=request.interface,
            netns=request.netns,
            mac=attached.mac.hex(":"),
            addresses=granted.addresses,
            gateways=tuple(GATEWAYS[address.family] for address in granted.addresses),
            dns=request.config.dns,
            for_mesos=request.orchestrator == "mesos",
        )

    async def attach_in_force(self, request: Request, ids: Identity, granted: Granted) -> Attached:
        """Also of an interface that is there: then it waits for what was changed of its endpoint."""
        attach = self._attach(request, ids, granted.addresses)
        with self.in_force.expected(ids.key, granted.revision) as in_force:
            attached = await asyncio.wrap_future(self.dataplane.attach(attach))
            await in_force
        return attached

    async def _allocate(self, request: Request, ids: Identity) -> Granted:
        """The endpoint's addresses, stored with it: new ones, or those it has already."""
        known = await self._known(request, ids)
        for _ in range(ATTEMPTS):
            if known and (existing := await self._existing(request, ids)):
                return existing
            self.ports.check_host(request.ports)
            try:
                made = await self.allocator.allocate(self._address_request(request, ids))
            except Conflict:
                known = True
                continue
            self._warn_of_ipv6(made.addresses)
            return Granted(made.addresses, made.revision, fresh=True)
        raise Unavailable(f"endpoint {ids.name} is being changed by somebody else", hint="try again")

    def _warn_of_ipv6(self, addresses: tuple[Addr, ...]) -> None:
        """Once: other hosts have no way to them."""
        if not (self._warned or self.config.address6) and any(address.family == 6 for address in addresses):
            self._warned = True
            log.warning(
                "containers of this host have IPv6 addresses that other hosts cannot reach: start this agent with --address6"
            )

    async def _known(self, request: Request, ids: Identity) -> bool:
        """Does the endpoint seem to be there? Refused when the interface is there as another one, in another namespace."""
        found = self.local.find(request.container_id, request.interface)
        if found is not None and found[0] != ids.key and await self.store.get(found[0]) is not None:
            raise Refused(
                f"container {request.container_id} has {request.interface} already, as endpoint {found[0]}",
                hint="DEL it before it changes its namespace",
            )
        return found is not None

    def _address_request(self, request: Request, ids: Identity) -> AddressRequest:
        def writes(addresses: tuple[Addr, ...]) -> list[tuple[Compare | None, Put]]:
            bare = identity.endpoint(self.config.host, request, ids, addresses)
            endpoint = replace(bare, metadata=stamped(bare.metadata, self.clock))
            return [(Compare(ids.key, 0), Put(ids.key, encode_json(endpoint)))]

        return AddressRequest(
            handle=ids.handle,
            attributes={
                "node": self.config.host,
                "network": request.config.name,
                "timestamp": f"{self.clock.now():.0f}",
            },
            families=request.wishes.families,
            addresses=request.wishes.addresses,
            pools=request.config.pools,
            family_pools=request.wishes.pools,
            takes_over=request.takes_over,
            writes=writes,
        )

    async def _existing(self, request: Request, ids: Identity) -> Granted | None:
        stored = await self.store.get(ids.key)
        if stored is None:
            self.local.observe(ids.key, None)
            return None
        endpoint = decode_json(WorkloadEndpoint, stored.value, what=f"endpoint {ids.name}")
        addresses = _addresses(endpoint)
        if not _grants(addresses, request.wishes):
            raise Refused(
                f"container {request.container_id} has {', '.join(map(str, addresses))} on {request.interface} already",
                hint="DEL it before asking for others",
            )
        if set(request.ports) != set(mappings(endpoint)):
            raise Refused(
                f"container {request.container_id} has other ports of the host for {request.interface} already",
                hint="DEL it before asking for these",
            )
        return Granted(addresses, stored.modified, fresh=False)

    def _attach(self, request: Request, ids: Identity, addresses: tuple[Addr, ...]) -> Attach:
        return Attach(
            key=ids.key,
            interface=ids.interface,
            netns_path=on_host(self.config.host_root, request.netns),
            container_interface=request.interface if request.netns else identity.lent_name(ids.interface),
            addresses=addresses,
            mac=ids.mac,
            mtu=request.config.mtu or 0,
        )

    def _key(self, request: Request) -> str:
        """The endpoint's key if it had one. A container that cannot be named has none, and DEL must succeed for it too."""
        try:
            return identity.identify(self.config.host, request).key
        except UserError:
            return ""


class Granted(Struct, frozen=True):
    """Addresses that an endpoint holds since `revision`; `fresh` when this very request made it."""

    addresses: tuple[Addr, ...]
    revision: int
    fresh: bool


def _addresses(endpoint: WorkloadEndpoint) -> tuple[Addr, ...]:
    return tuple(Addr.parse(network.partition("/")[0]) for network in endpoint.spec.ip_networks)


def _grants(addresses: tuple[Addr, ...], wishes: Wishes) -> bool:
    """Are these what is wished for?"""
    families = Counter(each.family for each in addresses)
    return set(wishes.addresses) <= set(addresses) and families == Counter(wishes.all_families)


def _is_ours(endpoint: WorkloadEndpoint) -> bool:
    spec = endpoint.spec
    return spec.interface_name == identity.interface_name(spec.container_id, spec.endpoint)
