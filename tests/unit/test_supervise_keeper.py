"""A process is kept running while it is wanted, and only then. Real processes, which live for milliseconds."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

from ocicat.clock import ManualClock
from ocicat.supervise import keeper as module
from ocicat.supervise import proc
from ocicat.supervise.keeper import Keeper, ProcessSpec, Run, describe_exit

PATIENCE_S = 10.0


class Watched:
    """A keeper of `command`, and everything it has told."""

    def __init__(self, directory: Path, *command: str, final: int = 0) -> None:
        self.told: list[Run] = []
        self.news = asyncio.Event()
        self.spec = ProcessSpec("p", "h1", command, str(directory / "log"), str(directory / "ready"), final)
        self.keeper = Keeper(self.spec, self.note, ManualClock())

    def note(self, run: Run) -> None:
        self.told.append(run)
        self.news.set()

    async def until(self, holds: Callable[[Run], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not holds(self.keeper.run):
                self.news.clear()
                await self.news.wait()


def kept(directory: Path, *command: str, scenario: Callable[[Watched], Awaitable[None]], final: int = 0) -> Watched:
    """Run the scenario with a keeper, which is stopped at the end."""

    async def run() -> Watched:
        watched = Watched(directory, *command, final=final)
        await watched.keeper.start()
        try:
            await scenario(watched)
        finally:
            await watched.keeper.stop()
        return watched

    return asyncio.run(run())


async def nothing(_watched: Watched) -> None:
    """No scenario: start and stop."""


def test_a_started_process_lives_and_is_known(tmp_path: Path) -> None:
    async def scenario(watched: Watched) -> None:
        who = watched.keeper.run.identity
        assert who is not None
        assert proc.alive(who)

    run = kept(tmp_path, "sleep", "60", scenario=scenario).keeper.run
    assert (run.wanted, run.identity, run.last_exit) == (False, None, "ended by SIGTERM")


def test_what_ends_is_started_again_and_counted(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.001)

    async def scenario(watched: Watched) -> None:
        await watched.until(lambda run: run.restarts == 3)
        assert watched.keeper.run.last_exit == "ended with status 7"

    kept(tmp_path, "sh", "-c", "exit 7", scenario=scenario)


def test_after_a_stop_it_stays_down(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.001)

    async def scenario(watched: Watched) -> None:
        await watched.until(lambda run: run.restarts == 1)
        await watched.keeper.stop()
        assert "keep p" not in {task.get_name() for task in asyncio.all_tasks()}
        await watched.keeper.start()
        await watched.until(lambda run: run.wanted)

    kept(tmp_path, "false", scenario=scenario)


def test_a_second_start_changes_nothing(tmp_path: Path) -> None:
    async def scenario(watched: Watched) -> None:
        before = watched.keeper.run
        await watched.keeper.start()
        assert watched.keeper.run == before

    kept(tmp_path, "sleep", "60", scenario=scenario)


def test_a_restart_gives_another_process(tmp_path: Path) -> None:
    async def scenario(watched: Watched) -> None:
        before = watched.keeper.run.identity
        await watched.keeper.restart(kill=True)
        after = watched.keeper.run
        assert after.identity not in {before, None}
        assert (after.restarts, after.last_exit) == (1, "ended by SIGKILL")

    kept(tmp_path, "sleep", "60", scenario=scenario)


def test_who_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "GRACE_S", 0.05)
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what a parent ignores, its children do
    try:
        watched = kept(tmp_path, "sleep", "60", scenario=nothing)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert watched.keeper.run.last_exit == "ended by SIGKILL"


def test_a_former_sign_of_readiness_is_removed(tmp_path: Path) -> None:
    (tmp_path / "ready").touch()
    kept(tmp_path, "true", scenario=lambda watched: watched.until(lambda run: run.last_exit != ""))
    assert not (tmp_path / "ready").exists()


def test_what_it_says_is_in_its_log(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.001)

    async def scenario(watched: Watched) -> None:
        await watched.until(lambda run: run.restarts == 1)

    kept(tmp_path, "sh", "-c", "echo to out; echo to err >&2", scenario=scenario)
    assert (tmp_path / "log").read_text().startswith("to out\nto err\n")


def test_a_program_that_does_not_exist_is_told_and_tried_again(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.001)

    async def scenario(watched: Watched) -> None:
        await watched.until(lambda run: run.restarts == 2)
        assert "cannot be started" in watched.keeper.run.last_exit

    kept(tmp_path, "/no/such/program", scenario=scenario)


def test_an_exit_in_words() -> None:
    assert describe_exit(3) == "ended with status 3"
    assert describe_exit(-signal.SIGSEGV) == "ended by SIGSEGV"


def test_the_final_status_is_the_last_one_and_a_start_by_hand_counts_again(tmp_path: Path) -> None:
    async def scenario(watched: Watched) -> None:
        await watched.until(lambda run: run.given_up == 78)
        assert (watched.keeper.run.identity, watched.keeper.run.wanted) == (None, True)
        assert watched.keeper.run.last_exit == "ended with status 78"
        await watched.keeper.start()
        assert watched.keeper.run.given_up == 0
        await watched.until(lambda run: run.given_up == 78)

    count = tmp_path / "count"
    watched = kept(tmp_path, "sh", "-c", f"echo >>{count}; exit 78", scenario=scenario, final=78)
    assert watched.keeper.run.restarts == 0
    assert count.read_text().count("\n") == 2


def test_any_other_status_is_not_final(tmp_path: Path) -> None:
    async def scenario(watched: Watched) -> None:
        await watched.until(lambda run: run.restarts > 1)

    for status in ("0", "1"):
        kept(tmp_path, "sh", "-c", f"exit {status}", scenario=scenario, final=78)
