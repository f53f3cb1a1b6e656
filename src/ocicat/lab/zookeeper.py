"""`python -m ocicat.lab.zookeeper CONFIGURATION READY_FILE`: a ZooKeeper server in the foreground, Debian's, in a small JVM.

Promises: this process becomes the JVM, so that signals reach it; the ready file appears when the server serves, which in an
ensemble it does once there is a quorum. Whatever it writes lies beside its configuration.
Must not: use more memory than `HEAP_MB` and what a JVM needs beside its heap.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ocicat.errors import OcicatError
from ocicat.lab.mesos.ready import announce
from ocicat.model.base import Struct
from ocicat.supervise import proc

JARS = ("/usr/share/java/zookeeper.jar", "/usr/share/java/slf4j-simple.jar")
PORT = 2181
CONFIGURATION = "zoo.cfg"  # the name of the file
HEAP_MB = 48
TICK_MS = 200  # a session lasts at least two ticks: 0.4 s

_MAIN = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
_JVM = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    "-Xss256k",
    f"-Xmx{HEAP_MB}m",
    "-XX:MaxMetaspaceSize=48m",
)
_LOG = ("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true")
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
        host = f"[{self.ip}]" if ":" in self.ip else self.ip
        return f"server.{self.number}={host}:{self.peer_port}:{self.election_port}"


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
    return ["java", *_JVM, *_LOG, "-cp", ":".join(JARS), _MAIN, str(configuration)]


def serves(ip: str, port: int) -> bool:
    """Does the server there answer, as one of a quorum?"""
    try:
        with socket.create_connection((ip, port), timeout=_ANSWER_S) as connection:
            connection.sendall(b"srvr")
            with connection.makefile("rb") as reader:
                return reader.read().startswith(b"Zookeeper version")
    except OSError:
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
