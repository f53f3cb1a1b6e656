"""Docker's address driver: pools asked for, addresses taken and given back.

An address is asked for before anybody knows for whom. It belongs to a handle of its own until the endpoint is made that has it, in
whose commit it passes to that endpoint (`docker.endpoints`).

1. `--subnet` and `--ipam-opt ocicat.pool=` name one of our pools; without them every pool serves that serves this host by itself.
2. An address that is an endpoint's is freed with it, and with nothing else; the engine's later release of it means nothing any
   more, also when it is another container's by then.
3. A release of what is no endpoint's yet may mean the one who had the address before: the engine says no more than the address, and
   says it late when an agent was restarted, or it was itself. So it is believed when no endpoint has claimed the address in
   `DOUBTED_S`, and at once when the address is asked for by name. An agent that starts anew knows of no such release.
4. What was asked for and never became an endpoint's is given back by `collect`: the engine that asked has died meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import uuid4

from ocicat.agent.config import AgentConfig
from ocicat.clock import Clock
from ocicat.dataplane.ownership import GATEWAY_V4, GATEWAY_V6
from ocicat.docker.messages import (
    GATEWAY_OPTION,
    REQUEST_TYPE,
    ReleaseAddress,
    Reply,
    RequestAddress,
    RequestPool,
)
from ocicat.docker.options import POOL
from ocicat.errors import OcicatError, Refused, UserError
from ocicat.ipam.allocator import Allocator
from ocicat.ipam.request import Held, Request
from ocicat.model.net import Addr

log = logging.getLogger(__name__)

OWNER = "libnetwork::"  # no endpoint's handle begins so: their parts hold no colon
UNCLAIMED_S = 300.0  # from the address to its endpoint it is less than a second
DOUBTED_S = 35.0  # the engine repeats a call that nobody answers for 30 s
_ANY = {4: "0.0.0.0/0", 6: "::/0"}
_GATEWAYS = {4: f"{Addr.unpack(GATEWAY_V4)}/32", 6: f"{Addr.unpack(GATEWAY_V6)}/128"}


@dataclass(slots=True)
class Addresses:
    config: AgentConfig
    clock: Clock
    allocator: Allocator
    _released: dict[str, float] = field(default_factory=dict)  # by handle; monotonic: promise 3

    def pool(self, request: RequestPool) -> Reply:
        """Its id says all that an address request must know. UserError, Refused."""
        family = 6 if request.v6 else 4
        wanted = _wanted(request)
        (found, *_) = self.allocator.serving(family, wanted)
        cidr = str(found.cidr) if wanted else _ANY[family]
        return {"PoolID": f"ipv{family}:{cidr}", "Pool": cidr, "Data": {GATEWAY_OPTION: _GATEWAYS[family]}}

    async def request(self, call: RequestAddress) -> Reply:
        """UserError, Refused, Unavailable."""
        if call.options.get(REQUEST_TYPE) == GATEWAY_OPTION:
            raise UserError(
                f"--gateway {call.address} is not served: the gateway of every container is {Addr.unpack(GATEWAY_V4)}",
                hint="leave it out",
            )
        family, wanted = _pool_of(call.pool_id)
        address = (Addr.parse(call.address),) if call.address else ()
        assignment = await self.allocator.allocate(
            Request(
                handle=f"{OWNER}{uuid4()}",
                attributes={
                    "node": self.config.host,
                    "network": "docker",
                    "timestamp": f"{self.clock.now():.0f}",
                },
                families=() if address else (family,),
                addresses=address,
                pools=wanted,
                takes_over=tuple(owner for owner in self.owners(address) if owner in self._released),
            )
        )
        return {"Address": str(assignment.addresses[0].cidr()), "Data": {}}

    def release(self, call: ReleaseAddress) -> None:
        address = Addr.parse(call.address.partition("/")[0])
        for handle in self.owners((address,)):
            self._released.setdefault(handle, self.clock.monotonic())

    def owners(self, addresses: Iterable[Addr]) -> tuple[str, ...]:
        """The handles of those that were asked for and are no endpoint's yet."""
        wanted = frozenset(addresses)
        return tuple(one.handle for one in self._unclaimed() if one.address in wanted)

    async def give_back(self, handles: Iterable[str]) -> None:
        """Of an endpoint that could not be made, as far as it had not got what they hold. What cannot be done now is left to
        `collect`."""
        with suppress(OcicatError):
            for handle in handles:
                await self.allocator.release(handle)

    async def collect(self) -> None:
        """To be called from time to time."""
        unclaimed = list(self._unclaimed())
        self._released = {one.handle: self._released[one.handle] for one in unclaimed if one.handle in self._released}
        for one in filter(self._is_over, unclaimed):
            log.info("%s was asked for by Docker's engine and never used: giving it back", one.address)
            await self.allocator.release(one.handle)

    def _is_over(self, one: Held) -> bool:
        released = self._released.get(one.handle)
        doubted_s = 0.0 if released is None else self.clock.monotonic() - released
        return _since(one) < self.clock.now() - UNCLAIMED_S or doubted_s > DOUBTED_S

    def _unclaimed(self) -> Iterator[Held]:
        return (one for one in self.allocator.held() if one.handle.startswith(OWNER))


def _since(one: Held) -> float:
    text = one.attributes.get("timestamp", "")
    return float(text) if text.isdecimal() else 0.0


def _wanted(request: RequestPool) -> tuple[str, ...]:
    """The pool that is named, by CIDR or name; none: any."""
    if request.sub_pool:
        raise UserError(
            f"--ip-range {request.sub_pool} is not served", hint="make a pool of that range, and name it as --subnet"
        )
    for name in request.options:
        if name != POOL:
            raise UserError(f"--ipam-opt {name}: unknown", hint=f"there is {POOL}=NAME")
    named = tuple(filter(None, (request.pool, request.options.get(POOL, ""))))
    if len(named) > 1:
        raise UserError(f"a subnet and {POOL} are both given", hint="name the pool once")
    return named


def _pool_of(pool_id: str) -> tuple[int, tuple[str, ...]]:
    """Family, and the pool if it is one in particular. Refused: the id is none of ours."""
    version, colon, cidr = pool_id.partition(":")
    families = {f"ipv{family}": family for family in _ANY}
    if not colon or version not in families:
        raise Refused(f"there is no pool {pool_id!r}", hint="create the network again")
    family = families[version]
    return family, () if cidr == _ANY[family] else (cidr,)
