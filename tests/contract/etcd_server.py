"""Real etcd for tests: on loopback, in temporary folders, dead at the latest with the process that started it."""

from __future__ import annotations

import asyncio
import atexit
import random
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ocicat.errors import Unavailable
from ocicat.store.open import open_store

STARTS_IN_S = 20.0
_FAST = ("--unsafe-no-fsync", "--heartbeat-interval=10", "--election-timeout=100", "--log-level=error")


def free_port() -> int:
    """Below those that the kernel gives to clients: a server that restarts must find its own free."""
    while True:
        port = random.randrange(16_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@dataclass
class EtcdProcess:
    """One member, alone or of a cluster. `url`: at which it can be opened by itself."""

    name: str = "only"
    scheme: str = "http"
    options: tuple[str, ...] = ()
    client_port: int = field(default_factory=free_port)
    peer_port: int = field(default_factory=free_port)

    def __post_init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="oct-etcd-"))
        self.process: subprocess.Popen[bytes] | None = None
        atexit.register(self.remove)

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.client_port}"

    @property
    def peer(self) -> str:
        return f"{self.name}={self.scheme}://127.0.0.1:{self.peer_port}"

    def start(self, *cluster: str) -> None:
        """Again, too, on the same data."""
        client, peer = f"{self.scheme}://{self.endpoint}", self.peer.partition("=")[2]
        options = {
            "name": self.name,
            "data-dir": self.folder / "data",
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": ",".join(cluster or [self.peer]),
        }
        arguments = [*(f"--{name}={value}" for name, value in options.items()), *_FAST, *self.options]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "etcd", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
        atexit.unregister(self.remove)

    def log(self) -> str:
        return (self.folder / "log").read_text()[-2000:]


def wait_until_up(url: str, *members: EtcdProcess) -> None:
    """Until it takes a commit; fails with what etcd has to say."""
    ends = time.monotonic() + STARTS_IN_S
    while True:
        try:
            return asyncio.run(_use(url))
        except Unavailable as error:
            dead = [member.log() for member in members if member.process.poll() is not None]
            if dead or time.monotonic() > ends:
                pytest.fail(f"etcd does not start: {error}\n{dead}")
            time.sleep(0.01)


async def _use(url: str) -> None:
    store = await open_store(url)
    try:
        await store.commit([], [])
    finally:
        await store.close()


class Fresh:
    """A new etcd for each folder. The next one starts while the present one is in use, so that a test hardly waits."""

    def __init__(self):
        self.folder: Path | None = None
        self.present: EtcdProcess | None = None
        self.next: EtcdProcess | None = None

    def url(self, folder: Path) -> str:
        if not shutil.which("etcd"):
            pytest.skip("etcd is not installed (Debian: etcd-server)")
        if folder != self.folder:
            self._change(folder)
        return f"etcd://{self.present.endpoint}"

    def _change(self, folder: Path) -> None:
        if self.present:
            self.present.remove()
        self.folder, self.present = folder, self.next or self._started()
        self.next = self._started()
        wait_until_up(f"etcd://{self.present.endpoint}", self.present)

    def _started(self) -> EtcdProcess:
        made = EtcdProcess()
        made.start()
        return made


FRESH = Fresh()
