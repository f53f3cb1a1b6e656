"""The back ends under contract. A further one joins by one line here: a function from an empty folder to the address of a store."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from etcd_cluster import CLUSTER
from etcd_server import FRESH, FRESH_NEWER

from ocicat.store.base import Datastore
from ocicat.store.open import open_store

# Programs that a test starts can be interrupted, also where the runner was started in the background: with these ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

BACK_ENDS: dict[str, Callable[[Path], str]] = {
    "memory": lambda _folder: "memory://",
    "sqlite": lambda folder: f"sqlite://{folder}/store.db",
    "etcd": FRESH.url,
    "etcd-newer": FRESH_NEWER.url,
    "etcd-cluster": CLUSTER.url,  # three members, TLS, a user; emptied for each test
}
WITHOUT_PAST = [name for name in BACK_ENDS if name != "etcd-cluster"]  # whose history begins with the test
SHARED = [name for name in BACK_ENDS if name != "memory"]  # those that several processes can open

BOUND_S = 30.0
OTHERS = Path(__file__).with_name("other_process.py")

Scenario = Callable[[Datastore], Awaitable[None]]
Spawn = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module", autouse=True)
def servers_end_with_the_file() -> Iterator[None]:
    """The tests of other files want the processors that idle servers take."""
    yield
    for each in (CLUSTER, FRESH, FRESH_NEWER):
        each.remove()


def play(url: str, scenario: Scenario) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(BOUND_S):
            store = await open_store(url)
            try:
                await scenario(store)
            finally:
                await store.close()

    asyncio.run(bounded())


@pytest.fixture(params=list(BACK_ENDS))
def url(request, tmp_path) -> str:
    return BACK_ENDS[request.param](tmp_path)


@pytest.fixture(params=WITHOUT_PAST)
def on_new_store(request, tmp_path) -> Callable[[Scenario], None]:
    return lambda scenario: play(BACK_ENDS[request.param](tmp_path), scenario)


@pytest.fixture(params=SHARED)
def shared_url(request, tmp_path) -> str:
    return BACK_ENDS[request.param](tmp_path)


@pytest.fixture
def on_store(url) -> Callable[[Scenario], None]:
    """Plays the decorated scenario at once, on a new store of each back end."""
    return lambda scenario: play(url, scenario)


@pytest.fixture
def on_shared_store(shared_url) -> Callable[[Scenario], None]:
    return lambda scenario: play(shared_url, scenario)


@pytest.fixture
def other_process(shared_url) -> Iterator[Spawn]:
    """Starts a command of `other_process.py` on the shared store; nothing outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def spawn(command: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(OTHERS), command, shared_url, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield spawn
    for process in started:
        process.kill()
        process.communicate()
