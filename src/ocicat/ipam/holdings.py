"""Which blocks this host holds: read at the start, mended where a crash left them half done, claimed when more are needed.

1. A claim is one transaction: the block, that nobody may have, and our affinity to it; under the lock's and the pool's revisions,
   so that nothing is claimed in a locked store or in a pool that just went away. Two hosts cannot both succeed.
2. Claims of one host follow one another (`_turn`): whoever waits looks first whether the claim before already helped.
3. Nothing is written to a locked store; what then needs mending stays in `unmended`.
4. No block is claimed across one of another size, which a pool may hold that was removed and made again: a look at all blocks
   tells which pools are free of such (`_uniform`), and since a claim compares the pool's revision, it stays true for that one.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice

from ocicat.clock import Clock
from ocicat.errors import Conflict, Refused, Unavailable, UserError
from ocicat.ipam import block as arithmetic
from ocicat.ipam.ledger import Ledger
from ocicat.ipam.plan import edges, fnv1a, walk
from ocicat.ipam.pools import Pool
from ocicat.ipam.repair import CONFIRMED, Mend, mend
from ocicat.model import keys
from ocicat.model.codec import decode_json, encode_json
from ocicat.model.net import Cidr
from ocicat.model.resources import Block, BlockAffinity
from ocicat.store.base import Compare, Datastore, Delete, KeyValue, Operation, Put

_LOG = logging.getLogger(__name__)
_FAMILIES = (4, 6)
_BLIND_TRIES = 8  # candidates tried without looking; then one look at all blocks is cheaper than more guesses
_STEPS = 4096  # of a walk, after which a free block is looked for beside what is taken
_ATTEMPTS = 5  # at one block that keeps changing
UNLOCK = "unlock it: `ocicat store unlock`"
_MORE = "add a pool: `ocicat pool add NAME CIDR`, or release addresses"


@dataclass(slots=True)
class _Shortage:
    """Pools that can give us no block, why, and the blocks of others with free addresses that were not tried yet."""

    why: Refused
    lenders: Iterator[Cidr]


class Holdings:
    def __init__(self, store: Datastore, ledger: Ledger, clock: Clock) -> None:
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self._turn = asyncio.Lock()
        self._uniform: dict[str, int] = {}  # name of a pool -> its revision at which all its blocks had its own size
        self._shortages: dict[tuple[Pool, ...], _Shortage] = {}
        self.unmended: set[Cidr] = set()

    # --- at the start ---------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Everything the ledger has to know, from the store. Unavailable."""
        singles = (keys.CLUSTER_INFORMATION, keys.IPAM_CONFIG, keys.node(self._ledger.host))
        found = [item for key in singles if (item := await self._store.get(key)) is not None]
        for prefix in (keys.POOLS, keys.RESERVATIONS):
            found += (await self._store.range(prefix)).items
        blocks = await self._store.range(keys.BLOCKS)
        for item in (*found, *blocks.items):
            self._ledger.observe(item.key, item.value, item.modified)
        self._note_sizes(blocks.revision, {cidr for item in blocks.items for cidr in _block_of(item)}, *_FAMILIES)
        await self._look_for_halves()

    async def _look_for_halves(self) -> None:
        """Whatever is not a block of ours with a confirmed affinity needs mending."""
        own = {cidr for family in _FAMILIES for cidr, _ in self._ledger.own(family)}
        confirmed: set[Cidr] = set()
        for family in _FAMILIES:
            for item in (await self._store.range(keys.affinities_of(self._ledger.host, family))).items:
                (confirmed if item.value == encode_json(CONFIRMED) else self.unmended).update(_block_of(item))
        self.unmended |= own ^ confirmed

    async def mend_all(self) -> None:
        """Bring affinities and blocks together, as far as the store lets us. Unavailable."""
        for cidr in sorted(self.unmended):
            if self._ledger.locked:
                return
            await self._mend(cidr)
            self.unmended.discard(cidr)

    async def _mend(self, cidr: Cidr) -> None:
        for _ in range(_ATTEMPTS):
            try:
                return await self._mend_once(cidr)
            except Conflict:
                await self._look_at_lock()
        _LOG.warning("block %s keeps changing: left as it is", cidr)
        return None

    async def _mend_once(self, cidr: Cidr) -> None:
        key, affinity_key = keys.block(cidr), keys.affinity(self._ledger.host, cidr)
        found, found_affinity = await self._store.get(key), await self._store.get(affinity_key)
        try:
            block = decode_json(Block, found.value, what=f"block {cidr}") if found else None
            affinity = decode_json(BlockAffinity, found_affinity.value, what=affinity_key) if found_affinity else None
        except UserError as error:
            _LOG.error("left as it is: %s", error)
            return
        what = mend(self._ledger.host, affinity, block, in_pool=self._has_place(cidr))
        if what is Mend.NOTHING:
            return
        _LOG.info("block %s: %s", cidr, what.value)
        after, operations = self._mending(cidr, what, block)
        revision = await self._store.commit(
            [self._lock(), _as_found(key, found), _as_found(affinity_key, found_affinity)], operations
        )
        if any(operation.key == key for operation in operations):
            self._ledger.wrote_block(cidr, after, revision)

    def _has_place(self, cidr: Cidr) -> bool:
        """May there be such a block?"""
        pools = self._ledger.all_pools()
        return any(p.cidr.covers(cidr) and p.block_length == cidr.length and self._is_uniform(p) for p in pools)

    def _mending(self, cidr: Cidr, what: Mend, block: Block | None) -> tuple[Block | None, list[Operation]]:
        """The block as it will be, and the operations."""
        key, affinity_key = keys.block(cidr), keys.affinity(self._ledger.host, cidr)
        confirm = Put(affinity_key, encode_json(CONFIRMED))
        if what is Mend.FORGET:
            return block, [Delete(affinity_key)]
        if what is Mend.DROP:
            return None, [Delete(affinity_key), Delete(key)]
        if what is Mend.REBUILD or block is None:
            block = self._new_block(cidr)
            return block, [Put(key, encode_json(block)), confirm]
        if block.deleted:
            block = arithmetic.written(block.__replace__(deleted=False))
            return block, [Put(key, encode_json(block)), confirm]
        return block, [confirm]

    # --- claiming -------------------------------------------------------------------------------------------------

    async def claim(self, serving: tuple[Pool, ...], *, at_least: int = 1) -> None:
        """One more block of these pools, unless there are `at_least` free addresses in ours by now, or a pool has changed.

        Who needs it looks again. Refused: full, at the limit, or switched off; the message says which. Unavailable.
        """
        family = serving[0].cidr.family
        async with self._turn:
            if self._outdated(serving) or self._ledger.free(family, serving) >= at_least:
                return
            self._check_limits(family, serving)
            for cidr, pool in self._guesses(serving):
                if await self._create(cidr, pool) or self._outdated(serving):
                    return
            await self._claim_seeing(serving)

    def look_afresh(self) -> None:
        """What no block could be had for, and who lends, is asked again: once for all requests of a transaction, not for each."""
        self._shortages.clear()
        self._ledger.lenders.clear()

    async def claim_or_borrow(self, serving: tuple[Pool, ...]) -> None:
        """One free address more than there are in our blocks; where no block can be claimed, one in another host's. As `claim`."""
        shortage = self._shortages.get(serving)
        if shortage is None:
            try:
                return await self.claim(serving, at_least=self._ledger.free(serving[0].cidr.family, serving) + 1)
            except Refused as refused:
                if self._ledger.locked or self._ledger.limits.strict_affinity:
                    raise
                shortage = self._shortages[serving] = _Shortage(refused, await self._lenders(serving))
        for cidr in shortage.lenders:
            self._ledger.lenders.add(cidr)
            return await self._learn(cidr)
        raise shortage.why

    async def _lenders(self, serving: tuple[Pool, ...]) -> Iterator[Cidr]:
        """Other hosts' blocks with a free address, each pool's in an order of this host's own."""
        taken = await self._blocks_in_store(serving[0].cidr.family)

        def lends(cidr: Cidr) -> bool:
            block = taken[cidr]
            if block is None or block.deleted or self._ledger.is_ours(block):
                return False
            return bool(self._ledger.free_in(cidr, block))

        known = (sorted(filter(pool.cidr.covers, taken), key=self._own_order) for pool in serving)
        return iter([cidr for blocks in known for cidr in blocks if lends(cidr)])

    def _own_order(self, cidr: Cidr) -> int:
        return fnv1a(f"{self._ledger.host}/{cidr}")

    async def claim_exactly(self, cidr: Cidr, pool: Pool) -> None:
        """This block, if nobody has it. When somebody has, the ledger knows the block afterwards. Refused, Unavailable."""
        async with self._turn:
            if not self._holds(cidr):
                await self._learn(cidr)
            known = self._ledger.blocks.get(cidr)
            if known is not None and known.value is not None and known.value.deleted:
                raise Unavailable(f"block {cidr} is just being deleted", hint="try again")
            if self._holds(cidr):
                return
            self._check_limits(cidr.family, (pool,))
            across = await self._block_across(cidr, pool)
            if across is not None:
                await self._learn(across)
            elif not await self._create(cidr, pool):
                await self._learn(cidr)

    async def _block_across(self, cidr: Cidr, pool: Pool) -> Cidr | None:
        """The block of another size in which this one lies. Refused when one lies in it."""
        if self._is_uniform(pool):
            return None
        taken = await self._blocks_in_store(cidr.family)
        across = next((other for other in taken if other != cidr and other.overlaps(cidr)), None)
        if across is not None and cidr.covers(across):
            raise Refused(
                f"block {cidr} cannot be claimed: {across}, a block of another size, lies in it",
                hint="choose another address, or release what is left in that block",
            )
        return across

    async def _learn(self, cidr: Cidr) -> None:
        found = await self._store.get(keys.block(cidr))
        if found is not None:
            self._ledger.learn_block(cidr, found.value, found.modified)

    def _is_uniform(self, pool: Pool) -> bool:
        return self._uniform.get(pool.name) == pool.revision

    def _note_sizes(self, revision: int, blocks: Collection[Cidr], *families: int) -> None:
        """`blocks` are all there were of these families at `revision`."""
        for pool in self._ledger.all_pools():
            if pool.cidr.family in families and pool.revision <= revision and not _odd_ones(pool, blocks):
                self._uniform[pool.name] = pool.revision

    def _outdated(self, serving: tuple[Pool, ...]) -> bool:
        """Have the pools changed since they were chosen? Then the choice is void."""
        return any(self._ledger.pools.get(pool.name) != pool for pool in serving)

    def _check_limits(self, family: int, serving: tuple[Pool, ...]) -> None:
        limits, held = self._ledger.limits, sum(1 for _ in self._ledger.own(family))
        what = f"host {self._ledger.host} needs another block of {_list(serving)}"
        if not limits.auto_allocate_blocks:
            hint = "set autoAllocateBlocks in the IPAM configuration"
            raise Refused(f"{what}, but claiming blocks is switched off", hint=hint)
        if held >= limits.max_blocks:
            hint = "raise maxBlocksPerHost in the IPAM configuration, or release addresses"
            raise Refused(f"{what}, but holds {held} of IPv{family}, the most a host may hold", hint=hint)

    def _guesses(self, serving: tuple[Pool, ...]) -> Iterator[tuple[Cidr, Pool]]:
        """The first few of each pool's walk that are not ours; of pools where no other size can be in the way."""
        for pool in filter(self._is_uniform, serving):
            for cidr in islice(walk(pool.cidr, pool.block_length, self._ledger.host), _BLIND_TRIES):
                if not self._holds(cidr) and not self._ledger.reservations.cover(cidr):
                    yield cidr, pool

    def _holds(self, cidr: Cidr) -> bool:
        known = self._ledger.blocks.get(cidr)
        return known is not None and known.exists

    async def _claim_seeing(self, serving: tuple[Pool, ...]) -> None:
        """With all blocks of the family before us: the first free one of the walks, or the reason why there is none."""
        for _ in range(_ATTEMPTS):
            taken = await self._blocks_in_store(serving[0].cidr.family)
            free = next(self._gaps(serving, taken), None)
            if free is None:
                raise Refused("; ".join(self._fullness(pool, taken) for pool in serving), hint=_MORE)
            if await self._create(*free) or self._outdated(serving):
                return
        raise Unavailable(f"other hosts keep taking the blocks of {_list(serving)} first", hint="try again")

    def _gaps(self, serving: tuple[Pool, ...], taken: Collection[Cidr]) -> Iterator[tuple[Cidr, Pool]]:
        """Blocks that can be made, each pool's in the order of its walk, or the lowest where the walk is long; one, if any can."""
        for pool in serving:
            reserved = self._ledger.reservations.within_pool(pool.cidr)
            occupied = [*(cidr for cidr in taken if pool.cidr.overlaps(cidr)), *reserved]
            odd = _odd_ones(pool, taken)
            steps = islice(walk(pool.cidr, pool.block_length, self._ledger.host), _STEPS)
            for cidr in chain(steps, edges(pool.cidr, pool.block_length, occupied)):
                free = cidr not in taken and not self._ledger.reservations.cover(cidr)
                if free and not any(cidr.overlaps(other) for other in odd):
                    yield cidr, pool

    def _fullness(self, pool: Pool, taken: dict[Cidr, Block | None]) -> str:
        return _fullness(pool, taken, reserved=bool(self._ledger.reservations.within_pool(pool.cidr)))

    async def _create(self, cidr: Cidr, pool: Pool) -> bool:
        """False: somebody has it, or the pool went away. Refused when the store is locked.

        The affinity needs no compare: only this host writes it, and the block's absence decides.
        """
        block = self._new_block(cidr)
        compares = [self._lock(), Compare(keys.pool(pool.name), pool.revision), Compare(keys.block(cidr), 0)]
        affinity = Put(keys.affinity(self._ledger.host, cidr), encode_json(CONFIRMED))
        try:
            revision = await self._store.commit(compares, [Put(keys.block(cidr), encode_json(block)), affinity])
        except Conflict:
            await self._look_again(compares[0], compares[1])
            self._refuse_when_locked()
            return False
        self._ledger.wrote_block(cidr, block, revision)
        _LOG.info("claimed block %s of pool %s", cidr, pool)
        return True

    def _new_block(self, cidr: Cidr) -> Block:
        return arithmetic.new(cidr, self._ledger.host, int(self._clock.now() * 1e9))

    async def _blocks_in_store(self, family: int) -> dict[Cidr, Block | None]:
        """Every block there is; None: it cannot be read, and is taken all the same."""
        snapshot = await self._store.range(f"{keys.BLOCKS}ipv{family}/block/")
        blocks: dict[Cidr, Block | None] = {}
        for item in snapshot.items:
            for cidr in _block_of(item):
                blocks[cidr] = _decoded(item)
        self._note_sizes(snapshot.revision, blocks, family)
        return blocks

    # --- the lock -------------------------------------------------------------------------------------------------

    def _lock(self) -> Compare:
        return Compare(keys.CLUSTER_INFORMATION, self._ledger.lock_revision)

    def _refuse_when_locked(self) -> None:
        if self._ledger.locked:
            raise Refused("the datastore is locked", hint=UNLOCK)

    async def _look_at_lock(self) -> None:
        await self._look_again(self._lock())

    async def _look_again(self, *compares: Compare) -> None:
        for compare in compares:
            found = await self._store.get(compare.key)
            if (found.modified if found else 0) != compare.modified:
                self._ledger.look_again(compare, found)


def _block_of(item: KeyValue) -> set[Cidr]:
    """The block a block's or an affinity's key is about; none when the key is not of our making."""
    try:
        parts = keys.affinity_parts(item.key)
        cidr = parts[1] if parts is not None else keys.block_cidr(item.key)
    except UserError:
        return set()
    return set() if cidr is None else {cidr}


def _odd_ones(pool: Pool, blocks: Iterable[Cidr]) -> list[Cidr]:
    """The blocks in the pool that have not its size."""
    return [cidr for cidr in blocks if cidr.length != pool.block_length and pool.cidr.overlaps(cidr)]


def _decoded(item: KeyValue) -> Block | None:
    try:
        return decode_json(Block, item.value, what=item.key)
    except UserError:
        return None


def _as_found(key: str, found: KeyValue | None) -> Compare:
    return Compare(key, found.modified if found is not None else 0)


def _list(pools: tuple[Pool, ...]) -> str:
    return ", ".join(str(pool) for pool in pools)


def _fullness(pool: Pool, taken: dict[Cidr, Block | None], *, reserved: bool) -> str:
    """Why a pool without a free block gives no address: all in use, or the free ones belong to others, or are reserved."""
    inside = [block for cidr, block in taken.items() if block is not None and pool.cidr.covers(cidr)]
    used = sum(arithmetic.used(block) for block in inside)
    counted = f"{used} of {pool.cidr.size} addresses are in use"
    if used == pool.cidr.size:
        return f"pool {pool} is full: {counted}"
    if odd := _odd_ones(pool, taken):
        counted += f", blocks of another size than /{pool.block_length} are in the way ({', '.join(map(str, odd[:3]))})"
    if reserved:
        counted += ", some of the others are reserved (`ocicat get ipreservations`)"
    owners = Counter(arithmetic.host_of(block) or "no host" for block in inside if block.unallocated)
    others = ", ".join(owner for owner, _ in owners.most_common(3)) + (" and more" if len(owners) > 3 else "")
    return f"pool {pool} has no free block: {counted}, the free ones lie in blocks of {others or 'nobody'}"
