"""Real ZooKeeper for tests: on loopback, in temporary folders, dead at the latest with the process that started it.

`Standing` is what a Mesos master does there: it keeps a node with its address for as long as its session lives.
"""

from __future__ import annotations

import atexit
import json
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from etcd_server import free_port

from ocicat.lab import zookeeper
from ocicat.services.zookeeper_config import JARS

STARTS_IN_S = 60.0
MISSING = "" if Path(JARS[0]).exists() and shutil.which("java") else "no ZooKeeper: Debian's libzookeeper-java"


@dataclass
class ZooKeeperProcess:
    """One member, alone or of an ensemble."""

    number: int = 1
    ip: str = "127.0.0.1"
    member: zookeeper.Member = field(init=False)

    def __post_init__(self):
        self.member = zookeeper.Member(self.number, self.ip, free_port(), free_port(), free_port())
        self.folder = Path(tempfile.mkdtemp(prefix="oct-zk-"))
        self.process: subprocess.Popen[bytes] | None = None
        self.ensemble = (self.member,)
        atexit.register(self.remove)

    @property
    def address(self) -> str:
        return f"[{self.ip}]:{self.member.port}" if ":" in self.ip else f"{self.ip}:{self.member.port}"

    def start(self) -> None:
        """Again, too, on the same data."""
        configuration = zookeeper.write(self.folder, self.member, self.ensemble)
        line = ["setpriv", "--pdeathsig", "KILL", *zookeeper.argv(configuration)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait_until_up(self) -> None:
        ends = time.monotonic() + STARTS_IN_S
        while not zookeeper.serves(self.ip, self.member.port):
            if self.process.poll() is not None or time.monotonic() > ends:
                pytest.fail(f"ZooKeeper does not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.02)

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
        atexit.unregister(self.remove)


class Standing:
    """A master that stands for election, until `leave` (in good order) or for ever (the session of the client)."""

    def __init__(self, client, path: str, ip: str, *, label: str = "json.info_", data: bytes | None = None):
        info = {
            "address": {"ip": ip, "port": 5050, "hostname": ip},
            "pid": f"master@{ip}:5050",
            "id": "x",
            "ip": 1,
            "port": 5050,
        }
        self._client = client
        self.node = client.create(
            f"{path}/{label}",
            json.dumps(info).encode() if data is None else data,
            sequence=True,
            ephemeral=True,
            makepath=True,
        )

    def leave(self) -> None:
        self._client.delete(self.node)
