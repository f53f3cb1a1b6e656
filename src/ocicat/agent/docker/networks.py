"""The networks that Docker's engine of this host has with our driver: what was said of each when it was made, in the datastore.

The engine tells a driver of a network once, when it is made, and by its id alone; from then on it is the driver's to remember.

Invariants: 1. A network is known as soon as CreateNetwork has returned, and also to the agents after this one. 2. Nothing is
written to a locked datastore. 3. A record whose network the engine has lost harms nobody: no call names it.
"""

from __future__ import annotations

from dataclasses import dataclass

from ocicat.agent.lock import unlocked
from ocicat.docker.engine import Engine
from ocicat.docker.messages import ADDRESS_SPACE, CreateNetwork, Pool
from ocicat.docker.options import Settings, of_network
from ocicat.errors import Conflict, NotFound, Unavailable, UserError
from ocicat.model.base import Struct, replace
from ocicat.model.codec import decode_json, encode_json
from ocicat.store.base import Compare, Datastore, Delete, Put

NETWORKS = "/ocicat/v1/docker/networks/"  # by host and network id
ATTEMPTS = 5


class Network(Struct, frozen=True):
    """`name`: as the engine's user knows it; "" until the engine was asked."""

    settings: Settings = Settings()
    name: str = ""


@dataclass(slots=True)
class Networks:
    """Of one host. May raise Unavailable everywhere, and Refused where something is written and the datastore is locked."""

    host: str
    store: Datastore
    engine: Engine

    async def create(self, call: CreateNetwork) -> None:
        """UserError: an option is wrong, or the network's addresses are not ours."""
        for pool in (*call.ipv4, *call.ipv6):
            _check_pool(pool)
        await self._write(call.network_id, Network(of_network(call.options)))

    async def delete(self, network_id: str) -> None:
        """One that is not known is deleted."""
        await self._commit(network_id, None)

    async def named(self, network_id: str) -> Network:
        """With its name, whoever must be asked for it. NotFound."""
        key = self._key(network_id)
        stored = await self.store.get(key)
        if stored is None:
            raise NotFound(
                f"network {network_id[:12]} was not made with this agent's datastore",
                hint="remove it with `docker network rm` and create it again",
            )
        network = decode_json(Network, stored.value, what=f"network {network_id[:12]}")
        if network.name:
            return network
        named = replace(network, name=(await self.engine.network(network_id)).name)
        await self._write(network_id, named)
        return named

    async def _write(self, network_id: str, network: Network) -> None:
        await self._commit(network_id, encode_json(network))

    async def _commit(self, network_id: str, value: bytes | None) -> None:
        key = self._key(network_id)
        for _ in range(ATTEMPTS):
            stored = await self.store.get(key)
            if stored is None and value is None:
                return
            conditions = [await unlocked(self.store), Compare(key, stored.modified if stored else 0)]
            try:
                await self.store.commit(conditions, [Delete(key) if value is None else Put(key, value)])
            except Conflict:
                continue
            return
        raise Unavailable(f"network {network_id[:12]}: the datastore keeps changing", hint="try again")

    def _key(self, network_id: str) -> str:
        return f"{NETWORKS}{self.host}/{network_id}"


def _check_pool(pool: Pool) -> None:
    if pool.address_space != ADDRESS_SPACE:
        raise UserError(
            f"the addresses of {pool.pool} are not managed by ocicat: other hosts would not know where they are",
            hint="create the network with --ipam-driver ocicat",
        )
    if pool.aux_addresses:
        names = ", ".join(sorted(pool.aux_addresses))
        raise UserError(f"--aux-address {names} is not served", hint="reserve addresses with an IPReservation")
