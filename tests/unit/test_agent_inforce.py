"""ADD waits until its endpoint is in the kernel, at its revision, and not for an older one."""

from __future__ import annotations

import asyncio

import pytest

from ocicat.agent.inforce import InForce
from ocicat.errors import Refused

KEY = "/calico/x"


def run(scenario):
    async def bounded():
        async with asyncio.timeout(5):
            await scenario(InForce())

    asyncio.run(bounded())


def test_returns_at_once_when_it_is_in_force_already():
    async def scenario(in_force):
        in_force.reached(KEY, 7)
        await in_force.wait(KEY, 7)

    run(scenario)


def test_an_older_revision_does_not_count():
    async def scenario(in_force):
        in_force.reached(KEY, 6)
        waiting = asyncio.create_task(in_force.wait(KEY, 7))
        await asyncio.sleep(0)
        in_force.reached(KEY, 6)
        await asyncio.sleep(0)
        assert not waiting.done()
        in_force.reached(KEY, 8)
        await waiting

    run(scenario)


def test_a_refusal_by_the_kernel_reaches_who_waits():
    async def scenario(in_force):
        waiting = asyncio.create_task(in_force.wait(KEY, 1))
        await asyncio.sleep(0)
        in_force.failed(KEY, "no such chain")
        with pytest.raises(Refused, match="no such chain"):
            await waiting

    run(scenario)


def test_what_was_in_force_before_a_removal_says_nothing_about_its_successor():
    async def scenario(in_force):
        in_force.reached(KEY, 9)
        in_force.forget(KEY)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await in_force.wait(KEY, 5)

    run(scenario)


def test_one_who_gave_up_does_not_disturb_the_others():
    async def scenario(in_force):
        first = asyncio.create_task(in_force.wait(KEY, 1))
        second = asyncio.create_task(in_force.wait(KEY, 1))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        in_force.reached(KEY, 1)
        await second

    run(scenario)
