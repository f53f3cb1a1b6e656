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
            in_force = InForce()
            await scenario(in_force)
            assert not in_force._expected  # nothing is remembered of what nobody expects

    asyncio.run(bounded())


def test_a_report_that_comes_before_anybody_waits_still_counts():
    async def scenario(in_force):
        with in_force.expected(KEY, 7) as reached:
            in_force.reached(KEY, 7)
            await reached

    run(scenario)


def test_a_refusal_that_comes_before_anybody_waits_is_not_lost():
    async def scenario(in_force):
        with in_force.expected(KEY, 7) as reached:
            in_force.failed(KEY, "no such chain")
            with pytest.raises(Refused, match="no such chain"):
                await reached

    run(scenario)


def test_a_refusal_that_nobody_comes_to_await_is_forgotten():
    async def scenario(in_force):
        with in_force.expected(KEY, 7):
            in_force.failed(KEY, "no such chain")

    run(scenario)


def test_an_older_revision_does_not_count():
    async def scenario(in_force):
        with in_force.expected(KEY, 7) as reached:
            in_force.reached(KEY, 6)
            assert not reached.done()
            in_force.reached(KEY, 8)
            await reached

    run(scenario)


def test_what_was_in_force_before_says_nothing_about_its_successor():
    async def scenario(in_force):
        in_force.reached(KEY, 9)
        with in_force.expected(KEY, 5) as reached:
            assert not reached.done()

    run(scenario)


def test_one_who_gave_up_does_not_disturb_the_others():
    async def scenario(in_force):
        with in_force.expected(KEY, 1) as second:
            with in_force.expected(KEY, 1):
                pass
            in_force.reached(KEY, 1)
            await second

    run(scenario)
