"""Which packets leave with the host's address in place of the workload's own.

Promise: `sources` are the pools with natOutgoing, `inside` all pools and, with IPPoolsAndHostIPs, the hosts' addresses. A disabled
pool counts like any other (felix/dataplane/linux/masq_mgr.go): it gives out no more addresses, but those it gave out are in use.
Settled once for all changes since the last: hosts come by the thousand.
"""

from __future__ import annotations

from collections.abc import Iterable

from ocicat.calc.nat_settings import settings
from ocicat.calc.records import NodeRecord, PoolRecord
from ocicat.calc.sequencer import Sequencer
from ocicat.model.net import Addr, Cidr
from ocicat.model.v3.felix import FelixConfigurationSpec
from ocicat.model.wanted import OutgoingNat


class Outgoing:
    __slots__ = ("_hosts", "_pools", "_sequencer", "_settings", "_touched")

    def __init__(self, sequencer: Sequencer) -> None:
        self._sequencer = sequencer
        self._pools: dict[str, PoolRecord] = {}  # by datastore key
        self._hosts: dict[str, tuple[Addr, ...]] = {}  # by name
        self._settings = settings(())
        self._touched = False

    def set_pool(self, key: str, pool: PoolRecord | None) -> None:
        self._touched = True
        if pool is None:
            self._pools.pop(key, None)
        else:
            self._pools[key] = pool

    def set_node(self, name: str, node: NodeRecord | None) -> None:
        self._touched = True
        if node is None or not node.addresses:
            self._hosts.pop(name, None)
        else:
            self._hosts[name] = node.addresses

    def configure(self, specs: Iterable[FelixConfigurationSpec]) -> None:
        """What there is for this host, from the most special to the most general."""
        self._settings = settings(specs)
        self._touched = True

    def settle(self) -> None:
        if self._touched:
            self._touched = False
            self._sequencer.outgoing_nat(self._wanted())

    def _wanted(self) -> OutgoingNat | None:
        """Also without sources: what is inside matters to others too (DSCP)."""
        if not self._pools:
            return None
        sources = {pool.cidr for pool in self._pools.values() if pool.nat_outgoing}
        found = self._settings
        return OutgoingNat(
            sources=tuple(sorted(sources)),
            inside=tuple(sorted(self._inside())),
            ports=found.ports,
            addresses=(found.address,) if found.address else (),
            interface=found.interface,
        )

    def _inside(self) -> set[Cidr]:
        pools = {pool.cidr for pool in self._pools.values()}
        if not self._settings.spares_hosts:
            return pools
        return pools | {address.cidr() for addresses in self._hosts.values() for address in addresses}
