"""The agent kept by a supervisor of ours, where neither Docker nor systemd is wanted. It does not come back after a boot."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ocicat.errors import Misconfigured, NotFound, Unavailable
from ocicat.node import words
from ocicat.supervise.interpreter import module_line

if TYPE_CHECKING:  # asyncio is behind it, and whoever asks how the agent is has no use for that
    from ocicat.supervise.detached import Job, Sight

NAME = "agent"
DIRECTORY = Path("/run/ocicat/node")
LOG = Path("/var/log/ocicat/agent.log")


def job(arguments: Sequence[str]) -> Job:
    from ocicat.supervise.detached import Job

    line = module_line("ocicat", "agent", *arguments)
    return Job(NAME, tuple(line), str(LOG), final=Misconfigured.exit_code)


def sight() -> Sight | None:
    """None: it is not kept here."""
    if not DIRECTORY.exists():
        return None
    from ocicat.supervise import detached

    return detached.look(DIRECTORY, NAME)


def start(wanted: Job) -> None:
    """One that was told something else is replaced. Refused."""
    from ocicat.supervise import detached

    if sight():
        detached.stop(DIRECTORY, NAME)
    detached.start(wanted, DIRECTORY)


def stop() -> bool:
    """False: there was none."""
    from ocicat.supervise import detached

    return detached.stop(DIRECTORY, NAME)


def ended() -> str:
    """Why it will not serve; "" while it may."""
    found = sight()
    if found is None:
        return "its supervisor is gone"
    if found.run.given_up:
        return words.ended(found.run.given_up)
    return found.run.last_exit if found.run.restarts else ""


def last_lines(lines: int = 5) -> list[str]:
    from ocicat.supervise import detached

    return detached.last_lines(str(LOG), lines).splitlines()


def logged_at() -> float:
    """When its log was last written, in seconds since the epoch; 0.0: never."""
    try:
        return LOG.stat().st_mtime
    except OSError:
        return 0.0


def logs(*, follow: bool, lines: int) -> None:
    """This process becomes that command."""
    if not LOG.exists():
        raise NotFound(f"there is no {LOG}")
    command = ["tail", "-n", str(lines), *(["-F"] if follow else []), str(LOG)]
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise Unavailable("there is no program tail on this host") from error
