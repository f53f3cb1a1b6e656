"""What this host believes the store holds about addresses: its blocks, the handles in them, pools, limits, the lock.

A block of another host is known here while it is looked at, and as long as an address in it is this host's: a borrowed one.

1. A belief is used only together with a compare on its revision: one that is out of date costs a conflict and a second look,
   never a wrong write.
2. The newest revision wins, whoever brings it: our own commit, the watch, or a second look. An echo changes nothing.
3. A block of which it is not clear what is free is kept out of use (`problem`), and said once in the log.

No I/O here but the log; `observe` never raises.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ocicat.errors import UserError
from ocicat.ipam import pools as pool_rules
from ocicat.ipam.block import NODE, borrows, cidr_of, host_of, parse_cidr, unusable
from ocicat.ipam.pools import Pool
from ocicat.ipam.request import Held
from ocicat.ipam.reservations import Reservations
from ocicat.model import keys
from ocicat.model.base import Struct
from ocicat.model.codec import decode_json
from ocicat.model.net import Addr, Cidr
from ocicat.model.resources import Block, ClusterInformation, Handle, IPPool, Node
from ocicat.model.v3.addressing import IPReservation
from ocicat.store.base import Compare, KeyValue

T = TypeVar("T")

_LOG = logging.getLogger(__name__)


class Limits(Struct, frozen=True):
    """The IPAM configuration, with Calico's names. An object that does not say `auto_allocate_blocks` says no."""

    auto_allocate_blocks: bool = False
    strict_affinity: bool = False  # a host takes no address from another one's block
    maxBlocksPerHost: int = 0  # noqa: N815 - the JSON name; 0: the default

    @property
    def max_blocks(self) -> int:
        """Per host and family."""
        return self.maxBlocksPerHost or 20


DEFAULT_LIMITS = Limits(auto_allocate_blocks=True)


@dataclass(slots=True)
class Known(Generic[T]):
    """One key. `value` None: it is not there, or (with a `problem`) cannot be used. `revision`: the newest we heard of."""

    value: T | None
    revision: int
    exists: bool = True
    problem: str = ""

    @property
    def modified(self) -> int:
        """What a compare must say."""
        return self.revision if self.exists else 0


@dataclass(slots=True)
class Ledger:
    host: str
    blocks: dict[Cidr, Known[Block]] = field(default_factory=dict)
    handles: dict[str, Known[Handle]] = field(default_factory=dict)
    pools: dict[str, Pool] = field(default_factory=dict)  # in the order of their names
    labels: dict[str, str] = field(default_factory=dict)  # of this host's node
    limits: Limits = DEFAULT_LIMITS
    lenders: set[Cidr] = field(default_factory=set)  # foreign blocks, just looked at, that may serve where ours cannot
    reservations: Reservations = field(default_factory=Reservations)
    locked: bool = False
    lock_revision: int = 0  # of ClusterInformation; 0: there is none
    _singles: frozenset[str] = frozenset()
    _heard: dict[str, int] = field(
        default_factory=dict
    )  # newest revision of the single keys: pools, reservations, node, limits, lock

    def __post_init__(self) -> None:
        self._singles = frozenset((keys.CLUSTER_INFORMATION, keys.IPAM_CONFIG, keys.node(self.host)))

    # --- what is ours ---------------------------------------------------------------------------------------------

    def is_ours(self, block: Block) -> bool:
        return host_of(block) == self.host and not block.deleted

    def own(self, family: int) -> Iterator[tuple[Cidr, Block]]:
        """Our usable blocks, in the order in which they came to us."""
        for cidr, known in self.blocks.items():
            if cidr.family == family and known.value is not None and self.is_ours(known.value):
                yield cidr, known.value

    def lending(self, family: int) -> Iterator[tuple[Cidr, Block]]:
        """The lenders that are usable."""
        for cidr in self.lenders:
            known = self.blocks.get(cidr)
            if cidr.family == family and known is not None and known.value is not None and not known.value.deleted:
                yield cidr, known.value

    def used(self) -> Iterator[tuple[Cidr, Block]]:
        """The usable blocks in which addresses may be this host's: our own, and those of others that have borrowed ones."""
        for cidr, known in self.blocks.items():
            if known.value is not None and (self.is_ours(known.value) or borrows(known.value, self.host)):
                yield cidr, known.value

    def held(self) -> Iterator[Held]:
        """What is in use by this host and has an owner; what others borrow from our blocks is theirs."""
        for cidr, block in self.used():
            here = self.host if self.is_ours(block) else ""
            for ordinal, index in enumerate(block.allocations):
                attribute = block.attributes[index] if index is not None else None
                if attribute is None or attribute.handle_id is None:
                    continue
                if attribute.secondary.get(NODE, here) == self.host:
                    yield Held(cidr.nth(ordinal), attribute.handle_id, attribute.secondary)

    def block_with(self, address: Addr) -> Cidr | None:
        """The block we know to hold the address, whatever its size."""
        return next((cidr for cidr, known in self.blocks.items() if known.exists and address in cidr), None)

    def free(self, family: int, serving: tuple[Pool, ...]) -> int:
        """Free addresses in our blocks of these pools."""
        return sum(
            self.free_in(cidr, block)
            for cidr, block in self.own(family)
            if any(pool.cidr.covers(cidr) for pool in serving)
        )

    def free_in(self, cidr: Cidr, block: Block) -> int:
        """Of that block, for whoever names no address."""
        reserved = self.reservations.within(cidr)
        return len(block.unallocated) - (sum(each in reserved for each in block.unallocated) if reserved else 0)

    def serving(self, family: int, wanted: tuple[str, ...] = ()) -> tuple[Pool, ...]:
        """As `pools.select`, errors included."""
        return pool_rules.select(self.all_pools(), family, wanted, self.host, self.labels)

    def all_pools(self) -> tuple[Pool, ...]:
        """By name."""
        return tuple(self.pools.values())

    def forget_foreign(self) -> None:
        """Drop the blocks that were only looked at: nobody keeps them current here."""
        used = {cidr for cidr, _ in self.used()}
        foreign = [cidr for cidr, known in self.blocks.items() if known.value is not None and cidr not in used]
        for cidr in foreign:
            del self.blocks[cidr]

    # --- what we hear ---------------------------------------------------------------------------------------------

    def observe(self, key: str, value: bytes | None, revision: int) -> None:
        """An update of any key; those that do not concern this host's addresses are skipped."""
        if key.startswith(keys.BLOCKS):
            self._observe_block(key, value, revision)
        elif key.startswith(keys.HANDLES):
            if (handle := key.removeprefix(keys.HANDLES)) in self.handles:
                self.learn_handle(handle, value, revision)
        elif self._is_single(key) and revision >= self._heard.get(key, 0):
            self._heard[key] = revision
            self._observe_single(key, value, revision)

    def _is_single(self, key: str) -> bool:
        return key in self._singles or key.startswith((keys.POOLS, keys.RESERVATIONS))

    def _observe_single(self, key: str, value: bytes | None, revision: int) -> None:
        if key == keys.CLUSTER_INFORMATION:
            self._observe_lock(value, revision)
        elif key == keys.IPAM_CONFIG:
            self.limits = self._decode(Limits, value, key) or DEFAULT_LIMITS
        elif key.startswith(keys.POOLS):
            self._observe_pool(key, value, revision)
        elif key.startswith(keys.RESERVATIONS):
            self._observe_reservation(key, value)
        else:
            node = self._decode(Node, value, key)
            self.labels = node.metadata.labels if node else {}

    def _observe_block(self, key: str, value: bytes | None, revision: int) -> None:
        """The watch brings every host's blocks; only those that are ours, were, or might be, are worth decoding."""
        try:
            cidr = keys.block_cidr(key)
        except UserError:
            return
        ours = value is not None and (f'"host:{self.host}"'.encode() in value or f'"{self.host}"'.encode() in value)
        if cidr is not None and (ours or cidr in self.blocks):
            self.learn_block(cidr, value, revision)

    def learn_block(self, cidr: Cidr, value: bytes | None, revision: int) -> None:
        known = self.blocks.get(cidr)
        if known is not None and revision <= known.revision:
            return
        block, problem = self._read_block(cidr, value)
        if problem:
            _LOG.error("block %s is kept out of use: %s", cidr, problem)
        self.blocks[cidr] = Known(block, revision, exists=value is not None, problem=problem)

    def _read_block(self, cidr: Cidr, value: bytes | None) -> tuple[Block | None, str]:
        if value is None:
            return None, ""
        try:
            block = decode_json(Block, value, what=f"block {cidr}")
        except UserError as error:
            return None, error.message
        problems = unusable(block)
        if not problems and cidr_of(block) != cidr:
            problems = [f"it says it is {block.cidr}"]
        return (None, "; ".join(problems)) if problems else (block, "")

    def learn_handle(self, handle: str, value: bytes | None, revision: int) -> None:
        """A handle that cannot be read, or a count of it, counts nothing: what it owns is found by looking into the blocks."""
        known = self.handles.get(handle)
        if known is not None and revision <= known.revision:
            return
        if value is None:
            self.handles.pop(handle, None)
            return
        decoded = self._decode(Handle, value, handle)
        counts = decoded.block if decoded is not None and not decoded.deleted else {}
        usable = {text: count for text, count in counts.items() if _is_block(text)}
        self.handles[handle] = Known(Handle(block=usable), revision)

    def _observe_lock(self, value: bytes | None, revision: int) -> None:
        information = self._decode(ClusterInformation, value, keys.CLUSTER_INFORMATION)
        self.locked = information is not None and information.spec.datastore_ready is False
        self.lock_revision = revision if value is not None else 0

    def _observe_pool(self, key: str, value: bytes | None, revision: int) -> None:
        name = keys.name_of(key)
        self.pools.pop(name, None)
        resource = self._decode(IPPool, value, key)
        if resource is None:
            return
        try:
            self.pools = dict(sorted({**self.pools, name: pool_rules.read(resource, revision)}.items()))
        except UserError as error:
            _LOG.error("pool %s is not used: %s", name, error)

    def look_again(self, compare: Compare, found: KeyValue | None) -> None:
        """A compare of ours failed and this is what a read found. Absence has no revision: it counts unless we heard since."""
        key = compare.key
        if found is not None and key.startswith(keys.HANDLES):
            self.learn_handle(key.removeprefix(keys.HANDLES), found.value, found.modified)
        elif found is not None:
            self.observe(key, found.value, found.modified)
        elif (cidr := keys.block_cidr(key)) is not None:
            known = self.blocks.get(cidr)
            if known is not None and known.modified == compare.modified:
                self.blocks[cidr] = Known(None, known.revision, exists=False)
        elif key.startswith(keys.HANDLES):
            self.handles.pop(key.removeprefix(keys.HANDLES), None)
        else:
            self.observe(key, None, self._heard.get(key, 0))

    @staticmethod
    def _decode(wanted: type[T], value: bytes | None, what: str) -> T | None:
        """None when it is gone, and also when it cannot be read: one bad object never stops the others."""
        if value is None:
            return None
        try:
            return decode_json(wanted, value, what=what)
        except UserError as error:
            _LOG.error("ignored: %s", error)
            return None

    def _observe_reservation(self, key: str, value: bytes | None) -> None:
        """One that cannot be read reserves what it did before."""
        try:
            resource = None if value is None else decode_json(IPReservation, value, what=key)
            self.reservations.set(keys.name_of(key), resource)
        except UserError as error:
            _LOG.error("reservation %s is not read: %s", keys.name_of(key), error)

    # --- what we did ----------------------------------------------------------------------------------------------

    def wrote_block(self, cidr: Cidr, block: Block | None, revision: int) -> None:
        """Our commit at `revision` left the block so; None: it deleted it."""
        known = self.blocks.get(cidr)
        if known is None or revision > known.revision:
            self.blocks[cidr] = Known(block, revision, exists=block is not None)

    def wrote_handle(self, handle: str, value: Handle | None, revision: int) -> None:
        if value is None:
            self.handles.pop(handle, None)
        else:
            self.handles[handle] = Known(value, revision)


def _is_block(text: str) -> bool:
    try:
        parse_cidr(text)
    except UserError:
        return False
    return True
