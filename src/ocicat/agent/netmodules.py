"""What the agent does for the network isolator module of Mesos 0.24 to 0.28: addresses first, the interface later, and all back.

1. What was reserved or allocated belongs to its uid; `isolate` hands it to the container's interface in the commit that makes the
   endpoint. From then on the container's `cleanup` frees it, and nothing else: a `release` means what is still its uid's. So an
   address that another container was given in between is never freed.
2. A step that fails leaves nothing. An `allocate` that fails gives back what its uid reserved: the module goes no further with it.
3. Every step may be asked again, and gives the same answer: the plugin does so when the agent went away in the middle.
4. What is released, or cleaned up, succeeds whatever stands in the way, and is done later if need be: the module asks once.
5. The module forgets its containers when the Mesos agent restarts, and a CNI runtime whose directories were removed forgets its
   own. `collect` gives back what was never isolated, and what has lost its interface, whoever asked for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ocicat.agent import identity
from ocicat.agent.config import AgentConfig
from ocicat.agent.departures import Leaving
from ocicat.agent.workloads import Workloads
from ocicat.clock import Clock
from ocicat.cni.config import Label, Labels, NetworkConfig, NetworkInfo
from ocicat.cni.request import Request as CniRequest
from ocicat.cni.spec import Command
from ocicat.cni.wishes import Wishes
from ocicat.errors import OcicatError, Refused, Unavailable
from ocicat.ipam.allocator import Allocator
from ocicat.ipam.block import InUse
from ocicat.ipam.request import Held
from ocicat.ipam.request import Request as AddressRequest
from ocicat.mesos.netmodules.protocol import (
    INTERFACE,
    NAME,
    STATIC_LABEL,
    Allocate,
    Cleanup,
    Isolate,
    ReleaseAddresses,
    ReleaseOwner,
    Request,
    Reserve,
)
from ocicat.model.net import Addr

log = logging.getLogger(__name__)

UNCLAIMED_S = 300.0  # from allocate to isolate it is a second; a uid that is older will never be isolated
_OWNER = NAME + "::"  # no container's handle begins so: their ids hold no colon
_STEP, _RESERVED, _ALLOCATED = "step", "reserve", "allocate"


@dataclass(slots=True)
class NetModules:
    """A `cni.server.NetModules`."""

    config: AgentConfig
    clock: Clock
    allocator: Allocator
    workloads: Workloads
    _lost: frozenset[str] = field(default_factory=frozenset)  # endpoints that had no interface at the last look

    async def perform(self, request: Request) -> tuple[Addr, ...]:
        """The addresses of an Allocate; nothing of any other. Errors: every OcicatError."""
        try:
            async with asyncio.timeout(self.config.add_timeout_s):
                return await self._perform(request)
        except TimeoutError:
            what = type(request).__name__.lower()
            raise Unavailable(
                f"{what} took more than {self.config.add_timeout_s:g} s", hint="see the agent's log"
            ) from None

    async def _perform(self, request: Request) -> tuple[Addr, ...]:
        match request:
            case Reserve():
                await self._reserve(request)
            case Allocate():
                return await self._allocate(request)
            case Isolate():
                await self._isolate(request)
            case ReleaseAddresses():
                await self._release(request.addresses)
            case ReleaseOwner():
                await self._give_back(_owner(request.uid))
            case Cleanup():
                await self.workloads.delete(_interface("DEL", request.container_id))
        return ()

    # --- addresses ----------------------------------------------------------------------------------------------

    async def _reserve(self, request: Reserve) -> None:
        handle = _owner(request.uid)
        await self.workloads.departures.gone(handle)
        mine = {one.address for one in self._held(handle)}
        missing = tuple(address for address in request.addresses if address not in mine)
        if missing:
            await self._take(handle, _RESERVED, missing, ())

    async def _allocate(self, request: Allocate) -> tuple[Addr, ...]:
        handle = _owner(request.uid)
        await self.workloads.departures.gone(handle)
        held = [one.address for one in self._held(handle) if one.attributes.get(_STEP) == _ALLOCATED]
        automatic = [address for address in held if address not in request.static]
        static = tuple(address for address in request.static if address not in held)
        families = (
            *_missing(4, request.ipv4 - len(request.static), automatic),
            *_missing(6, request.ipv6, automatic),
        )
        try:
            got = await self._take(handle, _ALLOCATED, static, families) if static or families else ()
        except BaseException:
            await self._give_back(handle)
            raise
        return (*automatic, *(address for address in got if address not in request.static), *request.static)

    async def _take(
        self, handle: str, step: str, addresses: tuple[Addr, ...], families: tuple[int, ...]
    ) -> tuple[Addr, ...]:
        request = AddressRequest(
            handle=handle,
            attributes={
                "node": self.config.host,
                "network": NAME,
                "timestamp": f"{self.clock.now():.0f}",
                _STEP: step,
            },
            families=families,
            addresses=addresses,
        )
        try:
            return (await self.allocator.allocate(request)).addresses
        except InUse as error:
            raise _already_in_use(error.address) from error

    async def _release(self, addresses: tuple[Addr, ...]) -> None:
        """Of uids; what a container's interface holds is left to its cleanup."""
        meant: defaultdict[str, list[Addr]] = defaultdict(list)
        for one in self.allocator.held():
            if one.address in addresses and one.handle.startswith(_OWNER):
                meant[one.handle].append(one.address)
        for handle, those in meant.items():
            if len(those) == len(list(self._held(handle))):
                await self._give_back(handle)
            else:
                await self.allocator.release(handle, only=tuple(those))

    async def _give_back(self, handle: str) -> None:
        await self.workloads.departures.take_back(Leaving("", handle, ""))

    def _held(self, handle: str) -> Iterator[Held]:
        return (one for one in self.allocator.held() if one.handle == handle)

    # --- the interface ------------------------------------------------------------------------------------------

    async def _isolate(self, request: Isolate) -> None:
        netns = _network_of(request.pid)
        former = self._former_owner(request)
        await self.workloads.add(_interface("ADD", request.container_id, netns, request, former))

    def _former_owner(self, request: Isolate) -> str:
        """Whose the addresses are; "" if they are this container's already."""
        owners = {one.address: one.handle for one in self.allocator.held()}
        own = identity.handle(request.container_id, INTERFACE)
        former = {owners.get(address, "") for address in request.addresses} - {own}
        for address in request.addresses:
            if address not in owners:
                raise Refused(
                    f"IP '{address}' is allocated to nobody on this host", hint="allocate or reserve it first"
                )
            if owners[address] != own and not owners[address].startswith(_OWNER):
                raise _already_in_use(address)
        if len(former) > 1:
            raise Refused("the addresses were allocated for different uids", hint="one container has one uid")
        return former.pop() if former else ""

    # --- what was forgotten ---------------------------------------------------------------------------------------

    async def collect(self, interfaces: Callable[[], frozenset[str]]) -> None:
        """To be called from time to time. `interfaces`: the names of the host's sides of containers' interfaces; it may block.

        An endpoint is lost when it has no interface at two looks in a row: one that is just being made has none yet.
        """
        held = list(self.allocator.held())
        for handle in {one.handle for one in held if self._is_unclaimed(one)}:
            log.info("%s was never isolated: giving back its addresses", handle)
            await self._give_back(handle)
        lost = self.workloads.lost(await asyncio.to_thread(interfaces))
        for key in self._lost & lost.keys():
            log.info("endpoint %s has lost its interface: giving back its addresses", key)
            await self.workloads.departures.take_back(lost[key])
        self._lost = frozenset(lost)

    def _is_unclaimed(self, one: Held) -> bool:
        since = one.attributes.get("timestamp", "")
        return one.handle.startswith(_OWNER) and since.isdecimal() and self.clock.now() - int(since) > UNCLAIMED_S


async def collect_for_ever(net_modules: NetModules, interfaces: Callable[[], frozenset[str]]) -> None:
    """Looks slowly enough that no interface which is being made is taken for lost. Nothing ends it but cancelling."""
    interval_s = max(30.0, 1.5 * net_modules.config.add_timeout_s)
    while True:
        await asyncio.sleep(interval_s)
        try:
            await net_modules.collect(interfaces)
        except OcicatError as error:
            log.warning("what containers left was not looked for, which is tried again in %g s: %s", interval_s, error)


def _owner(uid: str) -> str:
    return _OWNER + uid


def _missing(family: int, count: int, present: Iterable[Addr]) -> tuple[int, ...]:
    return (family,) * (count - sum(address.family == family for address in present))


def _already_in_use(address: Addr) -> Refused:
    """In the words of Calico's plugin."""
    return Refused(f"IP '{address}' already in use.")


def _network_of(pid: int) -> str:
    """The path of a process's network namespace. Refused where it is ours: the interface would be made in the host itself."""
    path = f"/proc/{pid}/ns/net"
    try:
        of_process, ours = Path(path).stat(), Path("/proc/self/ns/net").stat()
    except OSError as error:
        raise Refused(
            f"process {pid}: {error.strerror}", hint="it must run in this agent's process namespace"
        ) from error
    if of_process.st_ino == ours.st_ino:
        raise Refused(
            f"process {pid} has no network of its own", hint="its container must be launched with CLONE_NEWNET"
        )
    return path


def _interface(
    command: Command, container_id: str, netns: str = "", isolate: Isolate | None = None, former: str = ""
) -> CniRequest:
    """The same, as a CNI runtime would ask for it. A task in no group has no profile: its own Mesos agent alone is reached."""
    labels = isolate.labels if isolate else {}
    wanted = tuple(Label(key, value) for key, value in labels.items() if key != STATIC_LABEL)
    return CniRequest(
        command=command,
        container_id=container_id,
        interface=INTERFACE,
        netns=netns,
        config=NetworkConfig(name=NAME, type=NAME, default_profile=None),
        info=NetworkInfo(name=NAME, groups=isolate.groups if isolate else (), labels=Labels(wanted)),
        orchestrator="mesos",
        wishes=Wishes(isolate.addresses if isolate else ()),
        takes_over=(former,) if former else (),
    )
