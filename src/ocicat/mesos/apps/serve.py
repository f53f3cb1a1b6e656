"""To be the framework for as long as one may: wait for the lead, take over what is there, and begin again after what passes.

1. The framework's id is written before anything is launched under it. When Mesos has given that framework up, its instances are
   dead: they are forgotten, and a new framework begins.
2. Leaving ends no instance: Mesos keeps them for `FAILOVER_S`.
3. Who cannot read what the store holds of the framework or its instances does not lead: they would be started a second time.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import NoReturn

from ocicat.clock import SystemClock
from ocicat.errors import Bug, Conflict, OcicatError, Refused, Unavailable
from ocicat.mesos.apps.book import Book, changes, read_all
from ocicat.mesos.apps.leader import TTL_S, Leadership, leading
from ocicat.mesos.apps.records import Keys, Leader
from ocicat.mesos.apps.resident import Resident, known_tasks
from ocicat.mesos.framework import Framework, Life, Timing
from ocicat.model.base import Struct
from ocicat.model.codec import encode_json
from ocicat.store.base import Datastore

FAILOVER_S = 7 * 24 * 3600.0
_PAUSE_S = 1.0  # before another life after a failure that may pass
_TAKEN = "Framework failed over"  # to one whose id another process has subscribed with, and if it was for a moment only
_TAKEN_MOST, _TAKEN_S = 3, 300.0  # so often in that time: somebody else means to stay
_REMOVED = "Framework has been removed"  # Mesos 1.11's words to a framework that was torn down, or away for too long


class Options(Struct, frozen=True, kw_only=True):
    """`ttl_s`: how soon after the death of a leader another one may follow."""

    master: str
    name: str
    role: str = "*"
    user: str = "root"
    ttl_s: int = TTL_S


async def serve(store: Datastore, options: Options, report: Callable[[str], None]) -> NoReturn:
    """For ever. Raises what does not pass: a master that refuses us, a store that is full."""
    keys = Keys(options.name)
    taken: deque[float] = deque(maxlen=_TAKEN_MOST)
    while True:
        me = Leader(socket.gethostname(), os.getpid(), SystemClock().now())
        try:
            async with leading(store, keys, me, report, options.ttl_s) as leadership:
                await _until_one_ends(_live(store, keys, options, leadership, report), _deposed(leadership))
        except (Unavailable, Conflict) as error:
            report(f"begins again: {error.message}")
        except Refused as error:
            if not await _was_deposed(store, keys, me) and not _passes(error, taken):
                raise
            report(f"begins again: {error.message}")
        await asyncio.sleep(_PAUSE_S)


async def _live(
    store: Datastore, keys: Keys, options: Options, leadership: Leadership, report: Callable[[str], None]
) -> NoReturn:
    book = Book(store, keys, leadership.mine)
    while True:
        contents = await read_all(store, keys, report)
        if contents.unreadable:
            hint = "written by a newer release? Run that one; without the key its instances are ended, or started a second time"
            raise Refused(f"does not lead {options.name}: {'; '.join(contents.unreadable)}", hint=hint)
        for app_id in sorted(contents.held):
            report(f"{app_id}: cannot be read; its instances are left as they are until it is defined anew")
        life = Life(contents.framework_id, known_tasks(contents), exclusive=True)
        timing = Timing(placement_s=None, failover_s=FAILOVER_S)
        try:
            async with Framework.connect(
                options.master,
                name=options.name,
                role=options.role,
                user=options.user,
                timing=timing,
                leave_running=True,
                report=report,
                life=life,
            ) as framework:
                if framework.id != contents.framework_id:
                    await book.framework(framework.id)
                resident = Resident(framework, book, contents, report)
                hearing = _hear(store, keys, contents.revision, resident, report)
                await _until_one_ends(resident.run(), hearing, _given_up(framework))
        except Refused as error:
            if _REMOVED not in error.message:
                raise
            report(f"{error.message}: its instances are gone, a new framework begins")
            await book.forget_all(list(contents.tasks))


async def _hear(store: Datastore, keys: Keys, revision: int, resident: Resident, report: Callable[[str], None]) -> None:
    async with aclosing(changes(store, keys, revision + 1, report)) as batches:
        async for batch in batches:
            resident.hear(batch)


async def _given_up(framework: Framework) -> NoReturn:
    raise await framework.failure()


async def _deposed(leadership: Leadership) -> NoReturn:
    raise Unavailable(f"the lead is lost: {await leadership.lost()}")


def _passes(error: Refused, taken: deque[float]) -> bool:
    """A predecessor that has not heard yet that it was deposed may take the framework for a moment."""
    if _TAKEN not in error.message:
        return False
    taken.append(SystemClock().monotonic())
    return len(taken) < _TAKEN_MOST or taken[-1] - taken[0] > _TAKEN_S


async def _was_deposed(store: Datastore, keys: Keys, me: Leader) -> bool:
    found = await store.get(keys.leader)
    return found is not None and found.value != encode_json(me)


async def _until_one_ends(*jobs: Coroutine[None, None, None]) -> NoReturn:
    """Run `jobs` together; the first that fails ends the others, and its error is the one that counts."""
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        raise Bug("one of the framework's jobs ended without an error")
    except BaseExceptionGroup as failed:
        raise _first(failed) from None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _first(failed: BaseExceptionGroup[BaseException]) -> BaseException:
    """An error of ours, if there is one among them."""
    inner = [_first(one) if isinstance(one, BaseExceptionGroup) else one for one in failed.exceptions]
    return next((one for one in inner if isinstance(one, OcicatError)), inner[0])
