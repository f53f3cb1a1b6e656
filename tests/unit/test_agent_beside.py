"""Work beside the agent's own is begun again whatever ended it, at growing intervals, and told."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from ocicat.agent import beside


def test_what_fails_or_ends_is_begun_again_and_nobody_else_notices(monkeypatch, caplog):
    monkeypatch.setattr(beside, "FIRST_PAUSE_S", 0.001)
    outcomes = iter((ValueError("boom"), None, KeyError("x")))

    async def scenario():
        going_on = asyncio.Event()

        async def work():
            outcome = next(outcomes, going_on)
            if isinstance(outcome, Exception):
                raise outcome
            if outcome is going_on:
                going_on.set()
                await asyncio.Event().wait()

        async with AsyncExitStack() as stack:
            beside.beside(stack, "labels", work)
            await asyncio.wait_for(going_on.wait(), 10)

    asyncio.run(scenario())
    told = [record.message for record in caplog.records]
    assert told == [
        "labels: failed, begins again in 0.001 s",
        "labels: ended, begins again in 0.002 s",
        "labels: failed, begins again in 0.004 s",
    ]
    assert "boom" in caplog.text
