"""What goes with a pool or a node that is deleted: its blocks and affinities, its endpoints and their addresses. Pure.

1. An address that somebody has is never lost sight of: whoever insists (`force`) on deleting a pool leaves it with its owner, in a
   block that no host claims; a node's own addresses are released together with its endpoints.
2. A pool that is disabled gets no new blocks, so only those that were read are compared. Of one that is not, no block at all may
   have changed: on a busy cluster disable it first.
Source: projectcalico/calico libcalico-go/lib/clientv3/{ippool,node}.go, which do the same in many steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ocicat.errors import UserError
from ocicat.ipam import block as arithmetic
from ocicat.model import keys
from ocicat.model.codec import decode_json, encode_json
from ocicat.model.net import Addr, Cidr, Lpm, parse_interface
from ocicat.model.resources import Block, Handle, IPPool, Node
from ocicat.model.v3.bgp import BGPPeer
from ocicat.model.v3.endpoints import HostEndpoint, WorkloadEndpoint
from ocicat.model.v3.kinds import KINDS, Kind
from ocicat.model.v3.metadata import Resource
from ocicat.resources import stored
from ocicat.resources.change import REFUSED, Fault
from ocicat.resources.stored import Stored
from ocicat.resources.view import View
from ocicat.store.base import Compare, Condition, Delete, Operation, Put, Unchanged

_FORCE = "or force it"


@dataclass(slots=True)
class Upkeep:
    """Of all deletions of one call; one block or handle may be touched by several."""

    view: View
    blocks: dict[Cidr, Block | None] = field(default_factory=dict)  # as the call leaves them; None: deleted
    handles: dict[str, Handle | None] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)  # further keys
    whole: set[str] = field(default_factory=set)  # prefixes under which nothing may have changed
    _read: dict[str, list[Stored]] = field(default_factory=dict)

    # --- pools ----------------------------------------------------------------------------------------------------

    def forget_pool(self, pool: IPPool, *, force: bool) -> Iterator[str | Fault]:
        """A line for everything else that changes, or the faults."""
        cidr = _parsed(pool.spec.cidr)
        if cidr is None:
            return
        held, broken = self._blocks_in(cidr)
        in_use = Counter[str]()
        for one in held.values():
            in_use[arithmetic.host_of(one) or "no host"] += arithmetic.used(one)
        if not force and (broken or in_use.total()):
            yield from _why_not(in_use, broken)
            return
        if not pool.spec.disabled:
            self.whole.add(keys.BLOCKS)
        for place, one in held.items():
            yield self._give_up(place, one)
        for key, (_, place) in self._affinities():
            if cidr.covers(place):
                self.deleted.add(key)

    def _blocks_in(self, cidr: Cidr) -> tuple[dict[Cidr, Block], list[Cidr]]:
        """Those that can be read, as far as this call has come, and those that cannot."""
        readable: dict[Cidr, Block] = {}
        broken: list[Cidr] = []
        for place in self._places():
            if cidr.covers(place):
                held = self._block(place)
                if held is not None:
                    readable[place] = held
                elif place not in self.blocks:
                    broken.append(place)
        return readable, broken

    def _give_up(self, place: Cidr, held: Block) -> str:
        if not arithmetic.used(held):
            self.blocks[place] = None
            return f"block {place} is deleted"
        self.blocks[place] = held.__replace__(affinity=None)
        return f"block {place} belongs to no host any more, {arithmetic.used(held)} addresses in it stay in use"

    # --- nodes ----------------------------------------------------------------------------------------------------

    def forget_node(self, node: Node, *, force: bool) -> Iterator[str | Fault]:
        """A line for everything else that changes, or the faults."""
        name = node.metadata.name
        here, elsewhere = self._endpoints(name)
        if here and not force:
            more = " ..." if len(here) > 1 else ""
            plural = "s" if len(here) > 1 else ""
            message = f"has {len(here)} workload endpoint{plural} ({here[0].namespace}/{here[0].name}{more})"
            yield Fault(message, f"stop the agent and its containers first, {_FORCE}", REFUSED)
            return
        kept = set(_addresses(_networks(elsewhere)))  # an address that went on to another endpoint is not this node's
        yield from self._release(
            address for address in _addresses((*_networks(here), *_tunnels(node))) if address not in kept
        )
        for found in (*here, *self._belongings(name)):
            self.deleted.add(found.key)
            yield f"{stored.title(found.kind, found.namespace, found.name)} is deleted"
        yield from self._forget_host(name)

    def _forget_host(self, host: str) -> Iterator[str]:
        for key, (owner, place) in self._affinities():
            if owner != host:
                continue
            self.deleted.add(key)
            held = self._block(place)
            if held is not None and arithmetic.host_of(held) == host:
                yield self._give_up(place, held)
        own = keys.AFFINITIES + host  # the host's own record, which some versions of Calico make
        if own in self.view.items:
            self.deleted.add(own)

    def _endpoints(self, node: str) -> tuple[list[Stored], list[Stored]]:
        """Those of the node, and the others."""
        here: list[Stored] = []
        elsewhere: list[Stored] = []
        for found in self._objects("WorkloadEndpoint"):
            (here if _node_of(found.resource) == node else elsewhere).append(found)
        return here, elsewhere

    def _belongings(self, node: str) -> Iterator[Stored]:
        for kind in ("HostEndpoint", "BGPPeer"):
            yield from (found for found in self._objects(kind) if _node_of(found.resource) == node)
        for kind in ("FelixConfiguration", "BGPConfiguration"):
            yield from (found for found in self._objects(kind) if found.name == f"node.{node}")

    def _release(self, addresses: Iterable[Addr]) -> Iterator[str]:
        blocks = Lpm[Cidr]()
        for one in self._places():
            blocks[one] = one
        for address in addresses:
            place = blocks.lookup(address)
            held = self._block(place) if place else None
            if place is None or held is None:
                continue
            ordinal = address.value - place.network
            owner = arithmetic.owner(held, ordinal)
            if held.allocations[ordinal] is None:
                continue
            self.blocks[place] = arithmetic.release(held, (ordinal,))
            if owner is not None:
                self._count_down(owner, place)
            yield f"address {address} is released"

    def _count_down(self, handle_id: str, place: Cidr) -> None:
        item = self.view.items.get(keys.handle(handle_id))
        if handle_id not in self.handles and item is not None:
            try:
                self.handles[handle_id] = decode_json(Handle, item.value, what=item.key)
            except UserError:
                return
        handle = self.handles.get(handle_id)
        if handle is None:
            return
        counts = Counter(handle.block)
        counts[str(place)] -= 1
        left = dict(+counts)
        self.handles[handle_id] = handle.__replace__(block=left) if left else None

    # --- what is there --------------------------------------------------------------------------------------------

    def _places(self) -> list[Cidr]:
        return [place for item in self.view.under(keys.BLOCKS) if (place := _place(item.key))]

    def _block(self, place: Cidr) -> Block | None:
        """As this call has left it so far. None: deleted, or it cannot be read."""
        if place in self.blocks:
            return self.blocks[place]
        item = self.view.items.get(keys.block(place))
        if item is None:
            return None
        try:
            held = decode_json(Block, item.value, what=item.key)
        except UserError:
            return None
        return None if arithmetic.unusable(held) else held

    def _affinities(self) -> Iterator[tuple[str, tuple[str, Cidr]]]:
        for item in self.view.under(keys.AFFINITIES):
            try:
                parts = keys.affinity_parts(item.key)
            except UserError:
                continue
            if parts:
                yield item.key, parts

    def _objects(self, kind_name: str) -> list[Stored]:
        """All of a kind that can be read."""
        if kind_name not in self._read:
            self._read[kind_name] = list(self._readable(KINDS[kind_name]))
        return self._read[kind_name]

    def _readable(self, kind: Kind) -> Iterator[Stored]:
        for item in self.view.under(kind.prefix()):
            try:
                yield stored.read(kind, item)
            except UserError:
                continue

    # --- the transaction ------------------------------------------------------------------------------------------

    def operations(self) -> dict[str, Operation]:
        made: dict[str, Operation] = {key: Delete(key) for key in self.deleted}
        for place, held in self.blocks.items():
            key = keys.block(place)
            made[key] = Delete(key) if held is None else Put(key, encode_json(arithmetic.written(held)))
        for handle_id, handle in self.handles.items():
            key = keys.handle(handle_id)
            made[key] = Delete(key) if handle is None else Put(key, encode_json(handle))
        return made

    def conditions(self) -> list[Condition]:
        touched = [*map(keys.block, self.blocks), *map(keys.handle, self.handles), *sorted(self.deleted)]
        compares: list[Condition] = [Compare(key, self.view.modified(key)) for key in touched]
        return [*compares, *(Unchanged(prefix, self.view.read_at(prefix)) for prefix in sorted(self.whole))]


def _why_not(in_use: Counter[str], broken: list[Cidr]) -> Iterator[Fault]:
    if in_use.total():
        hosts = ", ".join(f"{count} in blocks of {host}" for host, count in in_use.most_common(3) if count)
        more = " ..." if len(+in_use) > 3 else ""
        hint = f"stop the containers that have them, {_FORCE}: they keep their addresses then"
        yield Fault(f"{in_use.total()} of its addresses are in use ({hosts}{more})", hint, REFUSED)
    if broken:
        yield Fault(f"it is not clear what of the block {broken[0]} is in use: it cannot be read", _FORCE[3:], REFUSED)


def _tunnels(node: Node) -> Iterator[str]:
    """The addresses that the node itself has taken from the pools."""
    spec = node.spec
    yield from (spec.ipv4_vxlan_tunnel_addr, spec.ipv6_vxlan_tunnel_addr)
    if spec.bgp is not None:
        yield spec.bgp.ipv4_ipip_tunnel_addr
    if spec.wireguard is not None:
        yield from (spec.wireguard.interface_ipv4_address, spec.wireguard.interface_ipv6_address)


def _addresses(texts: Iterable[str]) -> Iterator[Addr]:
    for text in texts:
        try:
            yield parse_interface(text)[0]
        except UserError:
            continue


def _node_of(resource: Resource) -> str:
    return resource.spec.node if isinstance(resource, WorkloadEndpoint | HostEndpoint | BGPPeer) else ""


def _networks(endpoints: Iterable[Stored]) -> Iterator[str]:
    for found in endpoints:
        if isinstance(found.resource, WorkloadEndpoint):
            yield from found.resource.spec.ip_networks


def _place(key: str) -> Cidr | None:
    try:
        return keys.block_cidr(key)
    except UserError:
        return None


def _parsed(text: str) -> Cidr | None:
    try:
        return Cidr.parse(text)
    except UserError:
        return None
