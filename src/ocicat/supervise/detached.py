"""One process kept running without systemd, beyond the end of the command that started it.

1. Its supervisor holds a lock for as long as it lives: of one name there is never a second one, and whoever asks is told the truth,
   also after the supervisor was killed.
2. The supervisor's end is that of the process: nothing runs that nobody watches.
3. What is known lies in `DIRECTORY/NAME.json`, for all to read; it is gone when the process was stopped.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import subprocess
import time
from pathlib import Path

from ocicat.errors import Bug, Refused, UserError
from ocicat.model.base import Struct
from ocicat.model.codec import decode_json, pretty_json
from ocicat.supervise import proc
from ocicat.supervise.interpreter import module_line
from ocicat.supervise.keeper import Run
from ocicat.supervise.proc import Identity

_STARTS_IN_S = 20.0
_POLL_S = 0.02
_LAST_LINES = 5
_OURS = __name__.rpartition(".")[0]  # the loggers of this package
_BEYOND_GRACE_S = 10.0  # for the supervisor itself


class Job(Struct, frozen=True):
    """`user`: as whom; empty for the caller. `grace_s`: between SIGTERM and SIGKILL when it is stopped. `open_files`: how many it
    may have open, 0 for as many as the caller may. `final`: the exit status after which it is not started again; 0: none."""

    name: str
    argv: tuple[str, ...]
    log: str
    user: str = ""
    grace_s: float = 30.0
    open_files: int = 0
    final: int = 0


class Sight(Struct, frozen=True):
    """`run.identity` None: it has ended, and is about to be started again unless `run.given_up`."""

    job: Job
    supervisor: Identity
    run: Run


def start(job: Job, directory: Path) -> Sight:
    """The supervisor runs on return, the process perhaps. Refused: it does already; the log or directory cannot be written."""
    if look(directory, job.name):
        raise Refused(f"{job.name} runs already", hint="stop it first")
    line = ["setsid", "--fork", *module_line("ocicat.supervise.daemon", str(directory), job.name)]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        Path(job.log).parent.mkdir(parents=True, exist_ok=True)
        _file(directory, job.name, "job").write_text(pretty_json(job))
        with Path(job.log).open("ab") as output:
            subprocess.run(line, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", check=True)
    except OSError as error:
        raise Refused(f"{job.name} cannot be started: {error}", hint="run it as root") from error
    except subprocess.CalledProcessError as error:
        raise Refused(f"{job.name} cannot be started: setsid ended with {error.returncode}") from error
    return _appeared(job, directory)


def stop(directory: Path, name: str) -> bool:
    """The process and its supervisor are gone on return. False: there was none."""
    seen = look(directory, name)
    if seen:
        present = [seen.supervisor, *([seen.run.identity] if seen.run.identity else [])]
        proc.end([seen.supervisor], grace_s=seen.job.grace_s + _BEYOND_GRACE_S)
        proc.end(present, grace_s=0)
    for kind in ("json", "job", "lock"):
        _file(directory, name, kind).unlink(missing_ok=True)
    return seen is not None


def look(directory: Path, name: str) -> Sight | None:
    """None while no supervisor of that name lives."""
    try:
        found = decode_json(Sight, _file(directory, name, "json").read_bytes(), what=name)
    except (FileNotFoundError, UserError):
        return None
    return found if proc.alive(found.supervisor) else None


def job_of(directory: Path, name: str) -> Job:
    """What a supervisor is to do."""
    return decode_json(Job, _file(directory, name, "job").read_bytes(), what=f"{directory}/{name}.job")


def claim(directory: Path, name: str) -> int:
    """The lock of that name, for as long as the descriptor is open. Refused: another supervisor has it."""
    fd = os.open(_file(directory, name, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise Refused(f"{name} has a supervisor already") from error
    return fd


def save(directory: Path, sight: Sight) -> None:
    """In one step: who reads finds a whole one."""
    fresh = _file(directory, sight.job.name, f"{os.getpid()}.new")
    fresh.write_text(pretty_json(sight))
    fresh.replace(_file(directory, sight.job.name, "json"))


def command(job: Job) -> tuple[str, ...]:
    """The process as its user, ended by the kernel when the supervisor is killed."""
    line: tuple[str, ...] = ("setpriv", "--pdeathsig", "TERM")
    if job.user:
        group = pwd.getpwnam(job.user).pw_gid
        line = (*line, f"--reuid={job.user}", f"--regid={group}", "--init-groups")
    if not shutil.which("setpriv"):
        raise Bug("setpriv is not there, and it belongs to every Linux (Debian: util-linux)")
    return (*line, "--", *job.argv)


def last_lines(log: str, lines: int = _LAST_LINES, *, after_bytes: int = 0) -> str:
    """Of a log, without what the supervisor itself says there; empty when there is none. `after_bytes`: not of its beginning."""
    try:
        content = Path(log).read_bytes()
    except OSError:
        return ""
    begin = after_bytes if after_bytes <= len(content) else 0  # it was rotated since
    found = content[begin:].decode(errors="replace").splitlines()
    return "\n".join([line for line in found if f" {_OURS}." not in line][-lines:])


def _appeared(job: Job, directory: Path) -> Sight:
    ends = time.monotonic() + _STARTS_IN_S
    while time.monotonic() < ends:
        if seen := look(directory, job.name):
            return seen
        time.sleep(_POLL_S)
    raise Refused(f"{job.name} was not started: {last_lines(job.log, 1)}", hint=f"its log is {job.log}")


def _file(directory: Path, name: str, kind: str) -> Path:
    return directory / f"{name}.{kind}"
