"""Holding a lease: what is a loss, what is not, and what its owner is told. tests/contract has the stores' part."""

from __future__ import annotations

import asyncio
import time

import pytest

from ocicat.errors import Bug, Unavailable
from ocicat.store.base import Lease
from ocicat.store.lease import held


class Store:
    """Only leases. `answers`: what `renew` does each time, the last one for ever: None, an error, or seconds to be silent."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.renewed = 0
        self.revoked = []

    async def grant(self, ttl_s):
        return Lease(7, ttl_s)

    async def renew(self, lease):
        assert lease == 7
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        await asyncio.sleep(answer or 0)
        self.renewed += 1

    async def revoke(self, lease):
        self.revoked.append(lease)


def reason_of_loss(store, within_s=5.0):
    """Empty when it was not lost within that time."""

    async def scenario():
        async with held(store, 1) as lease:
            try:
                async with asyncio.timeout(within_s):
                    return await lease.lost()
            except TimeoutError:
                return ""

    return asyncio.run(scenario())


def test_a_store_that_fails_for_the_life_of_a_lease_is_a_loss_with_the_reason():
    started = time.monotonic()
    assert "lease 7: was not renewed for 1.0 s: no leader" in reason_of_loss(Store(Unavailable("no leader")))
    assert 1 <= time.monotonic() - started < 2


def test_a_store_that_does_not_answer_for_the_life_of_a_lease_is_a_loss():
    assert reason_of_loss(Store(None, 100.0)).endswith("s: no answer")


def test_a_store_that_fails_for_a_while_is_none():
    store = Store(Unavailable("busy"), Unavailable("busy"), None)
    assert reason_of_loss(store, within_s=1.5) == ""
    assert store.renewed >= 2


def test_an_answer_that_took_longer_than_the_lease_is_a_loss():
    """It was good when the store gave it: the lease counts from then, and that is over."""

    class Paused(Store):
        async def renew(self, lease):
            time.sleep(1.2)  # noqa: ASYNC251 - the whole process stands still

    assert reason_of_loss(Paused(None)).startswith("lease 7: was not renewed for 1.")


def test_a_process_that_did_not_run_for_the_life_of_a_lease_has_lost_it():
    store = Store(None)

    async def scenario():
        async with held(store, 1) as lease:
            await asyncio.sleep(0)
            time.sleep(1.1)  # noqa: ASYNC251 - the whole process stands still
            return await lease.lost()

    assert asyncio.run(scenario()).startswith("lease 7: was not renewed for 1.")
    assert store.renewed == 0


def test_the_end_of_the_block_revokes_also_when_it_fails():
    store = Store(None)

    async def scenario():
        async with held(store, 1):
            raise KeyError("anything")

    with pytest.raises(KeyError):
        asyncio.run(scenario())
    assert store.revoked == [7]


def test_a_bug_is_told_to_the_owner():
    with pytest.raises(Bug, match="unheard of"):
        reason_of_loss(Store(Bug("unheard of")))
