"""A service of this host started, stopped and looked at: by systemd, by a supervisor of ours, or by a container engine.

Errors: Refused with the words of who was asked.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ocicat.errors import Refused, UserError
from ocicat.model.base import Struct, field
from ocicat.model.codec import decode_json, pretty_json
from ocicat.services import items
from ocicat.services.pki.openssl import mend
from ocicat.services.spec import RUN, Service
from ocicat.supervise import detached
from ocicat.supervise.detached import Job

LOG_LINES = 60  # a trace is long
_LONGEST_S = 180.0
_PULL_S = 1800.0
_GRACE_S = 30.0
_SYSTEMD = Path("/run/systemd/system")
_REMOVE = ("docker", "rm", "--force", "--volumes")  # an image may ask for volumes that nobody uses
_ABSENT = re.compile("no such (container|object|image)", re.IGNORECASE)


class Running(Struct, frozen=True, kw_only=True):
    """`state`: a word; `since`: seconds since the epoch, 0 when it is not known; `last_exit`: in words, where we were told."""

    is_running: bool
    state: str
    pid: int = 0
    since: float = 0.0
    restarts: int = 0
    last_exit: str = ""


class _Begin(Struct, frozen=True):
    """When it was started, in seconds since the epoch, and how long its log was then."""

    at_s: float = 0.0
    log_bytes: int = 0


class _Container(Struct, frozen=True):
    """What an engine says of one."""

    status: str = field(name="Status", default="")
    running: bool = field(name="Running", default=False)
    restarting: bool = field(name="Restarting", default=False)
    pid: int = field(name="Pid", default=0)
    exit_code: int = field(name="ExitCode", default=0)


def has_systemd() -> bool:
    return _SYSTEMD.is_dir()


def start(service: Service) -> None:
    """It is on its way on return, and comes back when it ends; with systemd or an engine after a reboot, too."""
    _mark(service)
    match service.how:
        case "systemd":
            _run("systemctl", "daemon-reload")
            _run("systemctl", "enable", service.unit)
            _run("systemctl", "--no-block", "restart", service.unit)
        case "supervised":
            job = Job(service.service, items.argv(service), service.log, service.user, _GRACE_S, items.OPEN_FILES)
            detached.start(job, Path(RUN))
        case "docker":
            _run(*_REMOVE, service.unit, may_fail=True)
            _run(*_engine(service, "up"))


def stop(service: Service) -> None:
    """Gone on return, and not coming back. Nothing to do when it is not there. Refused: who would know that does not answer."""
    match service.how:
        case "systemd":
            if _known("systemctl", "list-unit-files", "--quiet", f"{service.unit}.service"):
                _run("systemctl", "disable", "--now", service.unit)
        case "supervised":
            detached.stop(Path(RUN), service.service)
        case "docker":
            _known("docker", "stop", service.unit)
            _known(*_REMOVE, service.unit)
    _mark_of(service).unlink(missing_ok=True)


def has_image(service: Service) -> bool:
    """True also for one that needs none."""
    return service.how != "docker" or bool(_known("docker", "image", "inspect", "--format={{.Id}}", service.image))


def fetch_image(service: Service, say: Callable[[str], None]) -> None:
    """Of a container; nothing to do when the engine has it. Refused: it has not, and cannot get it."""
    if has_image(service):
        return
    say(f"docker pull {service.image}")
    try:
        _output(line := ("docker", "pull", "--quiet", service.image), _done(line, _PULL_S))
    except Refused as error:
        raise Refused(
            f"the image {service.image} is not on this host, and cannot be fetched: {error.message}",
            hint="--image names another one; docker load and docker import bring one without a registry",
        ) from error


def forget() -> None:
    """Units whose files are gone."""
    _run("systemctl", "daemon-reload")


def look(service: Service) -> Running:
    """Refused: the engine does not answer."""
    match service.how:
        case "systemd":
            names = "ActiveState,SubState,MainPID,NRestarts,ActiveEnterTimestampMonotonic,ExecMainStatus"
            return _of_systemd(_run("systemctl", "show", f"--property={names}", service.unit, may_fail=True))
        case "supervised":
            return _of_supervisor(service)
        case "docker":
            line = (
                "docker",
                "inspect",
                "--type=container",
                "--format={{json .State}}\n{{.RestartCount}}",
                service.unit,
            )
            return _of_engine(_known(*line))


def log_end(service: Service) -> str:
    """The end of its log, since it was started; a former start may have failed by something else."""
    began = _begin(service)
    match service.how:
        case "systemd":
            unit = f"_SYSTEMD_UNIT={service.unit}.service"  # what it says itself, and nothing of systemd's about it
            options = ("--quiet", "--no-pager", "--output=cat", f"--lines={LOG_LINES}", f"--since=@{began.at_s:.6f}")
            return _run("journalctl", *options, unit, may_fail=True)
        case "supervised":
            return detached.last_lines(service.log, LOG_LINES, after_bytes=began.log_bytes)
        case "docker":  # a container is made anew for each start
            return _run("docker", "logs", f"--tail={LOG_LINES}", service.unit, may_fail=True)


def _mark(service: Service) -> None:
    """Where its log begins that is of this start."""
    log, mark = Path(service.log), _mark_of(service)
    try:
        began = _Begin(time.time(), log.stat().st_size if log.exists() else 0)
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.write_text(pretty_json(began))
    except OSError as error:
        raise Refused(f"{mark} cannot be written: {error.strerror}", hint=mend(error)) from error


def _begin(service: Service) -> _Begin:
    """The beginning of everything where it is not known: after a reboot it is systemd that has started it."""
    try:
        return decode_json(_Begin, _mark_of(service).read_bytes(), what=service.service)
    except (OSError, UserError):
        return _Begin()


def _mark_of(service: Service) -> Path:
    return Path(RUN, f"{service.service}.start")


def log_hint(service: Service) -> str:
    return {
        "systemd": f"journalctl -u {service.unit}",
        "supervised": f"see {service.log}",
        "docker": f"docker logs {service.unit}",
    }[service.how]


def user_ids(user: str) -> tuple[int, int]:
    """Of a name, or of UID:GID. UserError: this host has no such user."""
    uid, colon, gid = user.partition(":")
    if colon and uid.isdecimal() and gid.isdecimal():
        return int(uid), int(gid)
    try:
        found = pwd.getpwnam(user)
    except KeyError as error:
        raise UserError(f"this host has no user {user}", hint="name another one with --user") from error
    return found.pw_uid, found.pw_gid


def has_user(user: str) -> bool:
    try:
        user_ids(user)
    except UserError:
        return False
    return True


def engine_user(user: str) -> str:
    """As a container engine takes it: names are those of the image, numbers those of this host."""
    uid, gid = user_ids(user)
    return f"{uid}:{gid}"


def _engine(service: Service, verb: str) -> Sequence[str]:
    """By whichever tool is there; what they do is the same."""
    options = ("--project-name", "ocicat-services", "--file", items.compose_path(service), verb, "--detach")
    if _run("docker", "compose", "version", may_fail=True):
        return ("docker", "compose", *options)
    if shutil.which("docker-compose"):
        return ("docker-compose", *options)
    return ("docker", *items.run(service, engine_user(service.user)))


def _of_systemd(text: str) -> Running:
    told = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    entered_s = int(told.get("ActiveEnterTimestampMonotonic", "0")) / 1e6
    active = told.get("ActiveState") == "active"
    return Running(
        is_running=active,
        state=f"{told.get('ActiveState', 'unknown')} ({told.get('SubState', 'unknown')})",
        pid=int(told.get("MainPID", "0")),
        since=time.time() - time.monotonic() + entered_s if active else 0.0,
        restarts=int(told.get("NRestarts", "0")),
        last_exit="" if told.get("ExecMainStatus", "0") == "0" else f"ended with status {told['ExecMainStatus']}",
    )


def _of_supervisor(service: Service) -> Running:
    seen = detached.look(Path(RUN), service.service)
    if not seen:
        return Running(is_running=False, state="stopped")
    run = seen.run
    return Running(
        is_running=run.identity is not None,
        state="running" if run.identity else "waiting to be started again",
        pid=run.identity.pid if run.identity else 0,
        since=run.since,
        restarts=run.restarts,
        last_exit=run.last_exit,
    )


def _of_engine(text: str) -> Running:
    state, _, restarts = text.partition("\n")
    if not state:
        return Running(is_running=False, state="no container")
    told = decode_json(_Container, state, what="docker inspect")
    return Running(
        is_running=told.running and not told.restarting,
        state=told.status,
        pid=told.pid,
        restarts=int(restarts or "0"),
        last_exit=f"ended with status {told.exit_code}" if told.exit_code else "",
    )


def _known(*line: str) -> str:
    """Its output; empty when what it is about is not there, and for no other reason."""
    done = _done(line)
    said = done.stderr.strip()
    absent = not said if line[0] == "systemctl" else bool(_ABSENT.search(said))
    return "" if done.returncode and absent else _output(line, done)


def _run(*line: str, may_fail: bool = False) -> str:
    """Its output; what it says when it fails is the error. `may_fail`: then nothing is said, and the output is empty."""
    try:
        return _output(line, _done(line))
    except Refused:
        if may_fail:
            return ""
        raise


def _done(line: Sequence[str], longest_s: float = _LONGEST_S) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        return subprocess.run(line, capture_output=True, text=True, timeout=longest_s, check=False, env=environment)
    except FileNotFoundError as error:
        raise Refused(f"{line[0]} is not installed on this host") from error
    except subprocess.TimeoutExpired as error:
        raise Refused(f"{' '.join(line[:3])}: did not end within {longest_s:.0f} s") from error


def _output(line: Sequence[str], done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        raise Refused(f"{' '.join(line[:3])}: {said[-1]}")
    return done.stdout.strip() or done.stderr.strip()
