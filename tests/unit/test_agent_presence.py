"""The agent's presence in the datastore: there while the agent is, told when it cannot be, and in nobody's way."""

from __future__ import annotations

import asyncio
import os

import pytest

from ocicat import __version__
from ocicat.agent.presence import AGENTS, Presence, keep, present
from ocicat.clock import ManualClock
from ocicat.errors import Refused, Unavailable
from ocicat.model.codec import decode_json
from ocicat.store.memory import MemoryStore

KEY = AGENTS + "h1"
H1 = Presence(host="h1", version="1", pid=7, started="2026-01-31T12:00:00Z")


def play(scenario, store=None):
    """Runs `scenario(store, task that keeps the presence)`, and ends the task."""

    async def bounded():
        async with asyncio.timeout(10):
            here = store or MemoryStore()
            keeping = asyncio.create_task(keep(here, H1, ttl_s=1, pause_s=0.01))
            try:
                await scenario(here, keeping)
            finally:
                keeping.cancel()
                await asyncio.gather(keeping, return_exceptions=True)
                await here.close()

    asyncio.run(bounded())


async def told(store, start=1):
    """The next event of the key."""
    batch = await anext(store.watch(KEY, start))
    return batch.events[0]


def test_it_says_who_and_since_when():
    found = present("h1", ManualClock(now=1_000_000.0))
    assert found == Presence(host="h1", version=__version__, pid=os.getpid(), started="1970-01-12T13:46:40Z")


def test_it_is_there_under_a_lease_and_goes_with_the_agent():
    async def scenario(store, keeping):
        event = await told(store)
        assert decode_json(Presence, event.value, what=KEY) == H1
        assert (await store.get(KEY)).lease
        keeping.cancel()
        assert (await told(store, event.revision + 1)).value is None

    play(scenario)


def test_a_lost_lease_is_replaced(caplog):
    async def scenario(store, keeping):
        first = await told(store)
        await store.revoke((await store.get(KEY)).lease)
        gone = await told(store, first.revision + 1)
        again = await told(store, gone.revision + 1)
        assert (gone.value, again.value) == (None, first.value)

    play(scenario)


class Moody(MemoryStore):
    """Grants no lease at first."""

    def __init__(self, error):
        super().__init__()
        self.error = error
        self.asked = 0

    async def grant(self, ttl_s):
        self.asked += 1
        if self.asked < 5:
            raise self.error
        return await super().grant(ttl_s)


@pytest.mark.parametrize("error", [Unavailable("no answer"), Refused("permission denied")])
def test_a_store_that_says_no_is_told_once_and_asked_again(caplog, error):
    caplog.set_level("INFO")

    async def scenario(store, keeping):
        assert (await told(store)).value
        assert not keeping.done()

    play(scenario, Moody(error))
    assert caplog.text.count(f"others cannot see that this agent is connected: {error}") == 1
    assert "presence: told again" in caplog.text


class Mute(MemoryStore):
    """Never answers what is about leases."""

    async def grant(self, ttl_s):
        await asyncio.Event().wait()

    async def revoke(self, lease):
        await asyncio.Event().wait()


def test_an_agent_can_stop_while_the_store_does_not_answer():
    async def scenario(store, keeping):
        store.grant = MemoryStore.grant.__get__(store)
        await told(store)
        keeping.cancel()
        await asyncio.wait({keeping}, timeout=3)
        assert keeping.done()

    play(scenario, Mute())
