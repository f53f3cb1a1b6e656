"""The task's process: started as the leader of its own session, signalled as a whole group, reaped once.

Promises: signals that Python ignores are back to their defaults in the task; no descriptor of ours but the three standard ones is
passed on. What leaves the group (by a session of its own) is ended with the container, by the agent.
Invariant: the group is signalled only while its leader is not reaped, so that its number cannot belong to somebody else.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import suppress

from ocicat.errors import Refused
from ocicat.lab.mesos.executor.messages import Command

_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


def redirect(sandbox: str) -> None:
    """Standard output and error go to the sandbox from here on, standard input is empty; every other descriptor is closed.

    An agent in this library's "local" mode gives its containers its own terminal, whatever it may have open.
    """
    for number, (path, flags) in enumerate((("/dev/null", os.O_RDONLY), ("stdout", _APPEND), ("stderr", _APPEND))):
        try:
            descriptor = os.open(os.path.join(sandbox, path), flags, 0o644)  # noqa: PTH118 - importing pathlib would slow every start
        except OSError as error:
            raise Refused(f"{sandbox}/{path}: {error.strerror}") from error
        os.dup2(descriptor, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))


class Process:
    """A running task. `fileno` becomes readable when it has ended."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._handle = os.pidfd_open(pid)

    def fileno(self) -> int:
        return self._handle

    def signal(self, number: int) -> None:
        """Send a signal to the whole group."""
        with suppress(ProcessLookupError, PermissionError):  # gone; or it changed its user and is left to the agent
            os.killpg(self._pid, number)

    def reap(self) -> tuple[bool, str]:
        """Whether it succeeded, and how it ended in words; whatever is left of its group is killed."""
        self.signal(signal.SIGKILL)
        _pid, status = os.waitpid(self._pid, 0)
        os.close(self._handle)
        return status == 0, describe(status)


def start(command: Command, environment: Mapping[str, str]) -> Process:
    """Start the task. `environment` is the executor's own; the command's variables come on top. Refused when it cannot start."""
    merged = {**environment, **command.environment}
    try:
        pid = os.posix_spawnp(
            command.program, command.argv, merged, setsid=True, setsigmask=(), setsigdef=_IGNORED_BY_PYTHON
        )
    except (OSError, ValueError) as error:
        raise Refused(f"{command.program}: {getattr(error, 'strerror', None) or error}") from error
    return Process(pid)


def describe(status: int) -> str:
    """A wait status in Mesos's words."""
    if os.WIFSIGNALED(status):
        return f"Command terminated with signal {signal.strsignal(os.WTERMSIG(status))}"
    return f"Command exited with status {os.WEXITSTATUS(status)}"
