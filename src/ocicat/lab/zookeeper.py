"""`python -m ocicat.lab.zookeeper CONFIGURATION READY_FILE`: a ZooKeeper server in the foreground, Debian's, in a small JVM.

Promises: this process becomes the JVM, so that signals reach it; the ready file appears when the server serves, which in an
ensemble it does once there is a quorum. Whatever it writes lies beside its configuration.
Must not: use more memory than `HEAP_MB` and what a JVM needs beside its heap.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ocicat.errors import OcicatError, Unavailable
from ocicat.lab.mesos.ready import announce
from ocicat.model.base import Struct
from ocicat.services import spec as services
from ocicat.services import zookeeper_api
from ocicat.services.network import Access
from ocicat.services.spec import CLIENT_PORTS
from ocicat.services.zookeeper_config import JARS, LOGGING, MAIN, server_line
from ocicat.supervise import proc

PORT = CLIENT_PORTS["zookeeper"]
CONFIGURATION = "zoo.cfg"  # the name of the file
HEAP_MB = 48
TICK_MS = 200  # a session lasts at least two ticks: 0.4 s

_JVM = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    "-Xss256k",
    f"-Xmx{HEAP_MB}m",
    "-XX:MaxMetaspaceSize=48m",
)
_POLL_S = 0.05
_ANSWER_S = 1.0


class Member(Struct, frozen=True):
    """One server of an ensemble; `number` is unique in it. The ports between servers are not for clients."""

    number: int
    ip: str
    port: int = PORT
    peer_port: int = 2888
    election_port: int = 3888

    @property
    def line(self) -> str:
        return server_line(self.number, services.Member(str(self.number), self.ip), self.peer_port, self.election_port)


def write(directory: Path, member: Member, ensemble: Sequence[Member]) -> Path:
    """The configuration of one member, below `directory`; its path."""
    data = directory / "data"
    data.mkdir(parents=True, exist_ok=True)
    (data / "myid").write_text(f"{member.number}\n")
    lines = [f"dataDir={data}", f"clientPort={member.port}", f"clientPortAddress={member.ip}", f"tickTime={TICK_MS}"]
    lines += [
        "initLimit=50",
        "syncLimit=25",
        "admin.enableServer=false",
        "maxSessionTimeout=40000",
        "maxClientCnxns=0",
        "forceSync=no",
    ]
    lines += [other.line for other in ensemble] if len(ensemble) > 1 else []
    file = directory / CONFIGURATION
    file.write_text("\n".join([*lines, ""]))
    return file


def argv(configuration: Path) -> list[str]:
    return ["java", *_JVM, *LOGGING, "-cp", ":".join(JARS), MAIN, str(configuration)]


def serves(ip: str, port: int) -> bool:
    """Does the server there answer, as one of a quorum?"""
    try:
        return zookeeper_api.ask(ip, port, "srvr", Access(timeout_s=_ANSWER_S)).startswith("Zookeeper version")
    except Unavailable:
        return False


def main(configuration: Path, ready_file: str) -> None:
    """Become the server. A grandchild, for which nobody has to wait, says when it serves."""
    settings = dict(line.split("=", 1) for line in configuration.read_text().splitlines())
    server = proc.myself()
    if os.fork() == 0:
        if os.fork() == 0:
            _announce(server, settings["clientPortAddress"], int(settings["clientPort"]), ready_file)
        os._exit(0)
    os.wait()
    line = argv(configuration)
    os.execvp(line[0], line)


def _announce(server: proc.Identity, ip: str, port: int, ready_file: str) -> None:
    while proc.alive(server):
        if serves(ip, port):
            announce(ready_file, f"zookeeper {ip}:{port}")
            return
        time.sleep(_POLL_S)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), sys.argv[2])
    except OcicatError as error:
        sys.exit(f"zookeeper: {error}")
