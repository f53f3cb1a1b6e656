"""Health checks that the executor asks within the task's container: what they are, and when an answer changes anything. PURE.

1. The first answer that counts is told, and after that every change. Failures do not count while `grace_s` lasts, but for a task
   that has been healthy.
2. After `failures` failures in a row the task is to end; 0 is never.

Every check is a program: a TCP or HTTP check is one of ours. Source: the HealthCheck of mesos.proto of Mesos 1.11.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

from ocicat.lab.mesos.executor.messages import Command, Json, object_in, text_in

_CONNECT = """
import sys, socket
port, path = int(sys.argv[1]), sys.argv[2]
with socket.create_connection(("127.0.0.1", port), float(sys.argv[3])) as connection:
    if path:
        connection.sendall(f"GET {path} HTTP/1.0\\r\\nHost: 127.0.0.1:{port}\\r\\n\\r\\n".encode())
        words = connection.makefile("rb").readline().split()
        sys.exit(not (len(words) > 1 and words[1][:1] in (b"2", b"3")))
"""


class Check(NamedTuple):
    """Times in seconds."""

    command: Command
    delay_s: float
    interval_s: float
    timeout_s: float
    grace_s: float
    failures: int


def read_check(info: Json) -> Check | None:
    """A HealthCheck as a program; None for a kind that is none of COMMAND, HTTP and TCP, or lacks what it needs."""
    timeout_s = _number(info, "timeout_seconds", 20.0)
    command = _command(info, timeout_s)
    if command is None:
        return None
    return Check(
        command,
        _number(info, "delay_seconds", 15.0),
        _number(info, "interval_seconds", 10.0),
        timeout_s,
        _number(info, "grace_period_seconds", 10.0),
        int(_number(info, "consecutive_failures", 3)),
    )


def _command(info: Json, timeout_s: float) -> Command | None:
    kind = text_in(info, "type")
    if kind == "COMMAND":
        value = text_in(object_in(info, "command"), "value")
        return Command("/bin/sh", ("sh", "-c", value), {}) if value else None
    if kind not in ("HTTP", "TCP"):
        return None
    asked = object_in(info, kind.lower())
    port = asked.get("port")
    path = (text_in(asked, "path") or "/") if kind == "HTTP" else ""
    if not isinstance(port, int) or text_in(asked, "scheme") == "https":
        return None
    return Command(sys.executable, (sys.executable, "-ISc", _CONNECT, str(port), path, str(timeout_s)), {})


def _number(info: Json, name: str, default: float) -> float:
    value = info.get(name, default)
    return float(value) if isinstance(value, int | float) else default


class Health:
    """What the answers to a check amount to. `started`: when the task began to run, by the clock of `heard`."""

    def __init__(self, check: Check, started: float) -> None:
        self.check = check
        self._started = started
        self._in_row = 0
        self.healthy: bool | None = None

    @property
    def hopeless(self) -> bool:
        return 0 < self.check.failures <= self._in_row

    def heard(self, success: bool, now: float) -> bool:
        """Whether there is something new to tell."""
        before = self.healthy
        if success:
            self._in_row, self.healthy = 0, True
        elif self.healthy is not None or now >= self._started + self.check.grace_s:
            self._in_row, self.healthy = self._in_row + 1, False
        return self.healthy != before
