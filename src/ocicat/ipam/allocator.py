"""Addresses for this host's workloads: many requests, one transaction.

1. This host is the one writer of its blocks, so it keeps them decoded and commits without reading first. What somebody else
   changed shows as a conflict; then exactly what was compared is read again, and the transaction drafted anew.
2. While a commit is under way requests queue; the next commit takes up to `batch` of them. A request that cannot be served fails
   alone, and leaves nothing behind. Requests that touch the same keys keep their order.
3. Blocks are claimed ahead of need, so that a request seldom waits for a claim. An empty block may outlive a failed request; it
   is ours for the next one. Only where none can be had, or a certain address is wished for, is one borrowed from another host's
   block, unless affinity is strict.
4. Nothing is allocated or released in a locked store: its revision is part of every transaction, so a lock cannot be raced.
5. A request whose caller went away while it was being committed is released again.

It must not touch blocks other than by compare-and-swap, and never an address that belongs to another handle.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ocicat.clock import Clock
from ocicat.errors import Bug, Conflict, OcicatError, Refused, Unavailable, UserError
from ocicat.ipam.block import ordinals_of
from ocicat.ipam.draft import Draft, NeedsBlock, Overlap, blocks_of
from ocicat.ipam.holdings import UNLOCK, Holdings
from ocicat.ipam.ledger import Ledger
from ocicat.ipam.pools import Pool
from ocicat.ipam.request import Assignment, Held, Request
from ocicat.model import keys
from ocicat.model.net import Addr, Cidr
from ocicat.store.base import Compare, Datastore, Delete

_LOG = logging.getLogger(__name__)
_FAMILIES = (4, 6)
_CLAIM_PAUSE_S = 10.0  # after a claim ahead of need was refused: do not ask the store again with every request


@dataclass(slots=True)
class _Allocation:
    request: Request
    future: asyncio.Future[Assignment]

    @property
    def handle(self) -> str:
        return self.request.handle


@dataclass(slots=True)
class _Release:
    handle: str
    also: tuple[Delete, ...]
    future: asyncio.Future[tuple[Addr, ...]]
    only: tuple[Addr, ...] | None = None  # these addresses of the handle's; None: all


_Job = _Allocation | _Release


class _Rejected(Exception):
    """The store takes this commit neither now nor later: something in it is wrong. Its cause is the store's error."""


@dataclass(slots=True)
class _Plan:
    """A draft, and the addresses it gives to or takes from each job."""

    draft: Draft
    outcome: list[tuple[_Job, tuple[Addr, ...]]] = field(default_factory=list)


# Two compares a request at the most, and a few for all: etcd takes 128 operations in one transaction unless told otherwise.
BATCH = 60


class Allocator:
    def __init__(self, store: Datastore, host: str, clock: Clock, *, batch: int = BATCH, attempts: int = 10) -> None:
        self._store = store
        self._clock = clock
        self._batch = batch
        self._attempts = attempts
        self._ledger = Ledger(host)
        self._holdings = Holdings(store, self._ledger, clock)
        self._queue: deque[_Job] = deque()
        self._work = asyncio.Event()
        self._low = asyncio.Event()
        self._no_claim_before = dict.fromkeys(_FAMILIES, float("-inf"))
        self._committer: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False

    # --- life -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Read what the store holds, mend what a crash left, begin to serve. Unavailable."""
        await self._holdings.load()
        await self._holdings.mend_all()
        self._committer = asyncio.create_task(self._commit_for_ever(), name="ipam-commit")
        self._keeper = asyncio.create_task(self._keep_ahead(), name="ipam-claim-ahead")
        self._low.set()

    async def close(self) -> None:
        """Let the commit under way finish; what waits gets Unavailable. Closing twice is fine."""
        self._closed = True
        self._work.set()
        if self._keeper is not None:
            self._keeper.cancel()
        await asyncio.gather(
            *(task for task in (self._keeper, self._committer) if task is not None), return_exceptions=True
        )
        self._fail(self._queue, _stopped())
        self._queue.clear()

    # --- the calls ------------------------------------------------------------------------------------------------

    async def allocate(self, request: Request) -> Assignment:
        """All addresses asked for, with the request's other writes, in one commit.

        UserError, Refused, Conflict (a compare of `writes` failed): then nothing of it is in the store. After Unavailable it may
        be there, when only the store's answer was lost: to be sure, release the handle.
        """
        job = _Allocation(request, asyncio.get_running_loop().create_future())
        self._enqueue(job)
        try:
            return await job.future
        except asyncio.CancelledError:
            if job.future.done() and not job.future.cancelled() and job.future.exception() is None:
                self._undo(request, job.future.result().addresses)
            raise

    async def release(
        self, handle: str, also: Sequence[Delete] = (), *, only: tuple[Addr, ...] | None = None
    ) -> tuple[Addr, ...]:
        """Free whatever the handle owns (of `only` these, when given) and delete the given keys, in one commit; the addresses.

        A handle that owns nothing is a success. Unavailable: the store is locked, gone, or keeps changing.
        """
        job = _Release(handle, tuple(also), asyncio.get_running_loop().create_future(), only)
        self._enqueue(job)
        return await job.future

    def serving(self, family: int, wanted: tuple[str, ...] = ()) -> tuple[Pool, ...]:
        """The pools that such a request would be served from. UserError, Refused: what it would be answered."""
        return self._ledger.serving(family, wanted)

    def held(self) -> Iterator[Held]:
        """Every address in use by this host, with its owner: in its own blocks, and borrowed ones."""
        return self._ledger.held()

    @property
    def locked(self) -> bool:
        """The datastore is: nothing is given or taken back."""
        return self._ledger.locked

    def addresses_of(self, handle: str) -> tuple[Addr, ...]:
        """What the handle owns in this host's blocks, and has borrowed from others, in order."""
        return tuple(
            sorted(cidr.nth(ordinal) for cidr, block in self._ledger.used() for ordinal in ordinals_of(block, handle))
        )

    def observe(self, key: str, value: bytes | None, revision: int) -> None:
        """An update of the datastore, as the watch brings it. Any key; never raises."""
        was_locked = self._ledger.locked
        self._ledger.observe(key, value, revision)
        pools_changed = key.startswith((keys.POOLS, keys.RESERVATIONS))
        if pools_changed:
            self._no_claim_before = dict.fromkeys(_FAMILIES, float("-inf"))
        if pools_changed or (was_locked and not self._ledger.locked):
            self._low.set()

    def set_locked(self, locked: bool) -> None:
        """Refuse, or serve, from now on. The revision in every transaction holds a lock that we have not heard of yet."""
        self._ledger.locked = locked
        if not locked:
            self._low.set()

    # --- the commits ----------------------------------------------------------------------------------------------

    def _enqueue(self, job: _Job) -> None:
        if self._closed:
            raise _stopped()
        self._queue.append(job)
        self._work.set()

    async def _commit_for_ever(self) -> None:
        while not self._closed:
            await self._work.wait()
            self._work.clear()
            while self._queue and not self._closed:
                await self._serve_safely(self._next_batch())

    def _next_batch(self) -> list[_Job]:
        """From the front of the queue; those whose caller went away are not even tried."""
        batch: list[_Job] = []
        while self._queue and len(batch) < self._batch:
            job = self._queue.popleft()
            if not job.future.done():
                batch.append(job)
        return batch

    async def _serve_safely(self, jobs: list[_Job]) -> None:
        """No job is ever left without an answer, not even by a mistake of ours. Where one spoils a commit, each gets its own."""
        try:
            await self._serve(jobs)
        except _Rejected as rejected:
            if len(jobs) == 1:
                self._fail(jobs, _ours(rejected.__cause__))
                return
            for job in jobs:
                await self._serve_safely([job])
        except Exception as error:
            self._fail(jobs, _ours(error))

    async def _serve(self, jobs: list[_Job]) -> None:
        """One commit for these jobs; those it cannot hold together go back to the front of the queue."""
        for _ in range(self._attempts):
            self._refuse_locked(jobs)
            await self._look_up(jobs)
            plan = await self._plan(jobs)
            if not plan.outcome:
                return
            if await self._commit(plan):
                return
        names = ", ".join(job.handle for job in jobs if not job.future.done())
        raise Unavailable(f"the addresses of {names} kept changing under {self._attempts} attempts", hint="try again")

    def _refuse_locked(self, jobs: list[_Job]) -> None:
        if not self._ledger.locked:
            return
        self._fail(
            [job for job in jobs if isinstance(job, _Allocation)], Refused("the datastore is locked", hint=UNLOCK)
        )
        self._fail(jobs, Unavailable("the datastore is locked: nothing can be released now", hint=UNLOCK))

    async def _look_up(self, jobs: list[_Job]) -> None:
        """Read what the releases name and we do not know: handles, and blocks that are not ours."""
        for job in jobs:
            if job.future.done():
                continue
            try:
                for leaving in job.request.takes_over if isinstance(job, _Allocation) else (job.handle,):
                    await self._look_up_handle(leaving)
                    await self._look_up_blocks(leaving)
            except UserError as error:
                self._fail([job], error)

    async def _look_up_handle(self, handle: str) -> None:
        if handle not in self._ledger.handles:
            found = await self._store.get(keys.handle(handle))
            if found is not None:
                self._ledger.learn_handle(handle, found.value, found.modified)

    async def _look_up_blocks(self, handle: str) -> None:
        for cidr in blocks_of(self._ledger, handle):
            known = self._ledger.blocks.get(cidr)
            if known is not None and known.value is not None:
                continue  # should it be out of date, the compare will tell
            found = await self._store.get(keys.block(cidr))
            if found is not None:
                self._ledger.learn_block(cidr, found.value, found.modified)

    async def _plan(self, jobs: list[_Job]) -> _Plan:
        """Draft until no job lacks a block. Jobs that cannot be served get their error here."""
        self._holdings.look_afresh()
        while True:
            plan = _Plan(Draft(self._ledger))
            for place, job in enumerate(jobs):
                if job.future.done():
                    continue
                try:
                    plan.outcome.append((job, self._add(plan.draft, job)))
                except Overlap:
                    self._queue.extendleft(reversed(jobs[place:]))
                    del jobs[place:]
                    return plan
                except NeedsBlock as need:
                    await self._claim_for(job, need)
                    break
                except Exception as error:
                    self._fail([job], _ours(error))
            else:
                return plan

    @staticmethod
    def _add(draft: Draft, job: _Job) -> tuple[Addr, ...]:
        if isinstance(job, _Allocation):
            return draft.allocate(job.request)
        return draft.release(job.handle, job.also, job.only)

    async def _claim_for(self, job: _Job, need: NeedsBlock) -> None:
        """A block more, or the job's error."""
        try:
            if need.exactly is not None:
                await self._holdings.claim_exactly(need.exactly, need.serving[0])
            else:
                await self._holdings.claim_or_borrow(need.serving)
        except OcicatError as error:
            self._fail([job], error)

    async def _commit(self, plan: _Plan) -> bool:
        """False: something had changed, and the ledger knows now; draft again."""
        finished = plan.draft.finished()
        try:
            compares, operations = plan.draft.transaction(finished)
            revision = await self._store.commit(compares, operations)
        except Conflict:
            await self._look_again(plan, compares)
            return False
        except Unavailable:
            raise
        except Exception as error:
            raise _Rejected from error
        for cidr, block in finished.items():
            self._ledger.wrote_block(cidr, block, revision)
        for handle, value in plan.draft.handles.items():
            self._ledger.wrote_handle(handle, value, revision)
        self._ledger.forget_foreign()
        self._answer(plan, revision)
        if any(self._wants_block(family) for family in {cidr.family for cidr in finished}):
            self._low.set()
        return True

    async def _look_again(self, plan: _Plan, compares: Sequence[Compare]) -> None:
        """Learn what changed. Where a request's own compare failed, that request has failed."""
        found = await asyncio.gather(*(self._store.get(compare.key) for compare in compares))
        for compare, item in zip(compares, found, strict=True):
            if (item.modified if item is not None else 0) == compare.modified:
                continue
            guarding = plan.draft.guards.get(compare.key)
            if guarding is None:
                self._ledger.look_again(compare, item)
            else:
                said = "exists already" if compare.modified == 0 else "was changed or deleted by somebody else"
                failed = [job for job, _ in plan.outcome if job.handle in guarding]
                self._fail(failed, Conflict(f"{compare.key} {said}", hint="read it again and decide again"))

    def _answer(self, plan: _Plan, revision: int) -> None:
        for job, addresses in plan.outcome:
            if isinstance(job, _Release):
                if not job.future.done():
                    job.future.set_result(addresses)
            elif job.future.done():
                self._undo(job.request, addresses)
            else:
                job.future.set_result(Assignment(addresses, revision))

    def _undo(self, request: Request, addresses: tuple[Addr, ...]) -> None:
        """Nobody waits for these addresses any more: release them, with what was created beside them."""
        made = [Delete(put.key) for compare, put in request.writes(addresses) if compare == Compare(put.key, 0)]
        future: asyncio.Future[tuple[Addr, ...]] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_log_failed_undo)
        job = _Release(request.handle, tuple(made), future, only=addresses)
        if self._closed:
            self._fail([job], _stopped())
        self._queue.appendleft(job)
        self._work.set()

    @staticmethod
    def _fail(jobs: Sequence[_Job] | deque[_Job], error: OcicatError) -> None:
        for job in jobs:
            if not job.future.done():
                job.future.set_exception(error)

    # --- blocks ahead of need ---------------------------------------------------------------------------------------

    async def _keep_ahead(self) -> None:
        while True:
            await self._low.wait()
            self._low.clear()
            try:
                await self._holdings.mend_all()
                for family in _FAMILIES:
                    await self._claim_ahead(family)
            except OcicatError as error:
                _LOG.warning("no block claimed ahead of need: %s", error)
            except Exception:
                _LOG.exception("claiming ahead of need failed")

    def _wants_block(self, family: int) -> bool:
        if self._ledger.locked or self._clock.monotonic() < self._no_claim_before[family]:
            return False
        try:
            serving = self._ledger.serving(family)
        except OcicatError:
            return False  # no pool serves this family by itself
        return self._ledger.free(family, serving) < _quarter(serving[0].cidr.family, serving[0].block_length)

    async def _claim_ahead(self, family: int) -> None:
        if not self._wants_block(family):
            return
        serving = self._ledger.serving(family)
        try:
            await self._holdings.claim(serving, at_least=_quarter(family, serving[0].block_length))
        except OcicatError as error:
            self._no_claim_before[family] = self._clock.monotonic() + _CLAIM_PAUSE_S
            _LOG.debug("no IPv%d block ahead of need: %s", family, error)


def _ours(error: BaseException | None) -> OcicatError:
    """What nobody foresaw becomes a `Bug`, and is logged with its trace."""
    if isinstance(error, OcicatError):
        return error
    _LOG.error("the allocator failed", exc_info=error)
    bug = Bug(f"the allocator failed: {error!r}")
    bug.__cause__ = error
    return bug


def _stopped() -> Unavailable:
    return Unavailable("the address allocator has stopped", hint="try again")


def _quarter(family: int, block_length: int) -> int:
    """The reserve: a quarter of a block's addresses, one at least."""
    return max(1, Cidr(family, 0, block_length).size // 4)


def _log_failed_undo(future: asyncio.Future[tuple[Addr, ...]]) -> None:
    if not future.cancelled() and (error := future.exception()) is not None:
        _LOG.warning("addresses of a request nobody waits for are not released yet: %s", error)
