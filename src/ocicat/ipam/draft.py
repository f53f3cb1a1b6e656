"""One transaction in the making: what many requests together change in blocks, handles and further objects. Pure.

1. A request is added whole or not at all: an error leaves the draft as it was.
2. Each request sees the blocks as the requests before it leave them; every other key is written by one request alone. A request
   that writes what another one wrote or compared, or compares what another one wrote, raises `Overlap`: it has to wait for the
   next transaction.
3. Everything that was relied on is compared: blocks (also those found unchanged), handles, and the lock of the datastore.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product

from ocicat.errors import OcicatError, Refused, UserError
from ocicat.ipam import block as arithmetic
from ocicat.ipam import pools
from ocicat.ipam.ledger import Ledger
from ocicat.ipam.pools import Pool
from ocicat.ipam.request import Request
from ocicat.model import keys
from ocicat.model.codec import encode_json
from ocicat.model.net import Addr, Cidr
from ocicat.model.resources import Block, Handle
from ocicat.store.base import Compare, Delete, Operation, Put


class Overlap(Exception):
    """The request touches what another request in this transaction touches. Stays inside this package."""


class NeedsBlock(Exception):
    """Our blocks cannot serve the request. Stays inside this package: the allocator claims a block and drafts again."""

    def __init__(self, serving: tuple[Pool, ...], exactly: Cidr | None = None) -> None:
        super().__init__(f"no free address in our blocks of {', '.join(map(str, serving))}")
        self.serving = serving
        self.exactly = exactly  # this block and no other


@dataclass(slots=True)
class Draft:
    ledger: Ledger
    blocks: dict[Cidr, Block] = field(default_factory=dict)  # as this transaction leaves them
    handles: dict[str, Handle | None] = field(default_factory=dict)  # None: deleted
    looked_at: set[Cidr] = field(default_factory=set)  # relied on, changed or not
    compares: dict[str, Compare] = field(default_factory=dict)  # of handles and further objects
    operations: dict[str, Operation] = field(default_factory=dict)  # on the same
    guards: dict[str, list[str]] = field(
        default_factory=dict
    )  # further object -> handles of the requests that compare it

    # --- adding requests ------------------------------------------------------------------------------------------

    def allocate(self, request: Request) -> tuple[Addr, ...]:
        """The addresses, in the order of `Assignment`. UserError, Refused; Overlap, NeedsBlock; what `writes` raises."""
        if not request.families and not request.addresses:
            raise UserError(f"handle {request.handle}: no address is asked for", hint="give families or addresses")
        self._must_be_free(map(keys.handle, (request.handle, *request.takes_over)))
        changed, _ = self._given_up(request.takes_over)
        got = self._all_explicit(changed, request)
        got += [self._automatic(changed, request, family) for family in request.families]
        self._add_writes(request, tuple(got))
        added = Counter(str(self._cidr_of(address, changed)) for address in got)
        self._set_handle(request.handle, self._counts(request.handle) + added)
        for former in request.takes_over:
            self._set_handle(former, Counter())
        self._change_blocks(changed)
        return tuple(got)

    def _all_explicit(self, changed: dict[Cidr, Block], request: Request) -> list[Addr]:
        """One error that says what is wrong with each of them; that blocks are wanting is said only where nothing is."""
        got: list[Addr] = []
        faults: list[OcicatError] = []
        wanting: list[NeedsBlock] = []
        for address in request.addresses:
            try:
                got.append(self._explicit(changed, request, address))
            except NeedsBlock as need:
                wanting.append(need)
            except (Refused, UserError) as fault:
                faults.append(fault)
        if faults:
            raise faults[0] if len(faults) == 1 else _all(faults)
        if wanting:
            raise wanting[0]
        return got

    def _explicit(self, changed: dict[Cidr, Block], request: Request, address: Addr) -> Addr:
        pool = pools.holding(self.ledger.all_pools(), address, request.pools_of(address.family))
        cidr = self.ledger.block_with(address) or Cidr.of(address, pool.block_length)
        block = changed.get(cidr) or self._block(cidr)
        if block is None:
            raise NeedsBlock((pool,), exactly=cidr)
        if self.ledger.limits.strict_affinity:
            refuse_foreign(self.ledger, address, cidr, block)
        said = self._said(request, block)
        changed[cidr] = arithmetic.take_at(block, address.value - cidr.network, request.handle, said)
        return address

    def _said(self, request: Request, block: Block) -> dict[str, str]:
        """By its host a borrowed address is known, to the lender and to all who want to reach it."""
        return (
            request.attributes
            if self.ledger.is_ours(block)
            else {**request.attributes, arithmetic.NODE: self.ledger.host}
        )

    def _automatic(self, changed: dict[Cidr, Block], request: Request, family: int) -> Addr:
        serving = self.ledger.serving(family, request.pools_of(family))
        for blocks, pool in product((self.ledger.own, self.ledger.lending), serving):
            for cidr, _ in blocks(family):
                block = changed.get(cidr) or self._block(cidr)
                if block is None or not pool.cidr.covers(cidr):
                    continue
                reserved = self.ledger.reservations.within(cidr)
                after, taken = arithmetic.take(block, request.handle, self._said(request, block), reserved=reserved)
                if taken:
                    changed[cidr] = after
                    return cidr.nth(taken[0])
        raise NeedsBlock(serving)

    def _add_writes(self, request: Request, addresses: tuple[Addr, ...]) -> None:
        writes = request.writes(addresses)
        compares = {compare.key: compare for compare, _ in writes if compare is not None}
        puts = {put.key: put for _, put in writes}
        if len(puts) != len(writes):
            raise UserError(f"handle {request.handle}: its writes name a key twice")
        self._must_be_free(puts)
        if any(
            key in self.operations or self.compares.get(key, compare) != compare for key, compare in compares.items()
        ):
            raise Overlap
        for key in compares:
            self.guards.setdefault(key, []).append(request.handle)
        self.compares |= compares
        self.operations |= puts

    def release(self, handle: str, also: Sequence[Delete], only: tuple[Addr, ...] | None = None) -> tuple[Addr, ...]:
        """Everything the handle owns (of `only` these, when given), in whatever block; nothing else. In order. Refused."""
        self._must_be_free([keys.handle(handle), *(delete.key for delete in also)])
        changed, freed = self._given_up((handle,), only)
        gone = Counter(str(self._cidr_of(address, changed)) for address in freed)
        self._set_handle(handle, Counter() if only is None else self._counts(handle) - gone)
        self._change_blocks(changed)
        self.operations |= {delete.key: delete for delete in also}
        return tuple(sorted(freed))

    def _given_up(
        self, handles: Sequence[str], only: tuple[Addr, ...] | None = None
    ) -> tuple[dict[Cidr, Block], list[Addr]]:
        """The blocks without what the handles own, and what that is."""
        changed: dict[Cidr, Block] = {}
        freed: list[Addr] = []
        owned = [(cidr, handle) for handle in handles for cidr in blocks_of(self.ledger, handle)]
        for cidr, handle in owned:
            block = changed.get(cidr) or self._block(cidr)
            if block is None:
                continue
            among = None if only is None else {address.value - cidr.network for address in only if address in cidr}
            changed[cidr], ordinals = arithmetic.release_handle(block, handle, among)
            freed += [cidr.nth(ordinal) for ordinal in ordinals]
        return changed, freed

    def _must_be_free(self, wanted: Iterable[str]) -> None:
        if any(key in self.operations or key in self.compares for key in wanted):
            raise Overlap

    # --- what it comes to -----------------------------------------------------------------------------------------

    def _block(self, cidr: Cidr) -> Block | None:
        """As the requests so far leave it; None: it is not there. Refused: it is malformed."""
        drafted = self.blocks.get(cidr)
        if drafted is not None:
            return drafted
        known = self.ledger.blocks.get(cidr)
        if known is not None and known.problem:
            raise Refused(f"block {cidr} is malformed: {known.problem}", hint="mend or delete it in the datastore")
        return None if known is None or known.value is None or known.value.deleted else known.value

    def _cidr_of(self, address: Addr, changed: Iterable[Cidr]) -> Cidr:
        return next(cidr for cidr in changed if address in cidr)

    def _change_blocks(self, changed: dict[Cidr, Block]) -> None:
        self.blocks |= changed
        self.looked_at |= changed.keys()

    def _counts(self, handle: str) -> Counter[str]:
        known = self.ledger.handles.get(handle)
        return Counter(known.value.block if known is not None and known.value is not None else {})

    def _set_handle(self, handle: str, counts: Counter[str]) -> None:
        """One that counts nothing is deleted."""
        key, known = keys.handle(handle), self.ledger.handles.get(handle)
        value = Handle(block=dict(counts)) if counts else None
        self.handles[handle] = value
        self.compares[key] = Compare(key, known.modified if known is not None else 0)
        self.operations[key] = Delete(key) if value is None else Put(key, encode_json(value))

    def finished(self) -> dict[Cidr, Block | None]:
        """The blocks that change, as they are to be written; None: deleted, since it is empty and has no host."""
        return {
            cidr: None if block.affinity is None and not arithmetic.used(block) else arithmetic.written(block)
            for cidr, block in self.blocks.items()
            if block != self.ledger.blocks[cidr].value
        }

    def transaction(self, finished: dict[Cidr, Block | None]) -> tuple[list[Compare], list[Operation]]:
        lock = Compare(keys.CLUSTER_INFORMATION, self.ledger.lock_revision)
        block_compares = [Compare(keys.block(cidr), self.ledger.blocks[cidr].modified) for cidr in self.looked_at]
        block_writes: list[Operation] = [
            Delete(keys.block(cidr)) if block is None else Put(keys.block(cidr), encode_json(block))
            for cidr, block in finished.items()
        ]
        return [lock, *block_compares, *self.compares.values()], [*block_writes, *self.operations.values()]


def _all(faults: Sequence[OcicatError]) -> Refused:
    """Several as one."""
    hints = dict.fromkeys(fault.hint for fault in faults if fault.hint)
    return Refused("; ".join(fault.message for fault in faults), hint="; ".join(hints))


def blocks_of(ledger: Ledger, handle: str) -> list[Cidr]:
    """Where the handle's addresses may lie: where it counts some, and blocks of ours that name it all the same."""
    known = ledger.handles.get(handle)
    counted = {
        Cidr.parse(text) for text in (known.value.block if known is not None and known.value is not None else ())
    }
    naming = {cidr for cidr, block in ledger.used() if arithmetic.ordinals_of(block, handle)}
    return sorted(counted | naming)


def refuse_foreign(ledger: Ledger, address: Addr, cidr: Cidr, block: Block) -> None:
    """Refused when the block that holds a wished-for address is not this host's."""
    if not ledger.is_ours(block):
        owner = arithmetic.host_of(block)
        raise Refused(
            f"{address} lies in block {cidr}, which belongs to {f'host {owner}' if owner else 'no host'}, "
            "and strictAffinity forbids to borrow it",
            hint="choose an address in a free block or in one of this host's blocks"
            + (f", or run on {owner}" if owner else ""),
        )
