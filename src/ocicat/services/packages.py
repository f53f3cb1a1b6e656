"""What a service needs from the distribution, and having it installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from ocicat.errors import Refused
from ocicat.services.running import has_systemd, has_user
from ocicat.services.spec import PROGRAMS, Service
from ocicat.services.zookeeper_config import JARS

Say = Callable[[str], None]

LOCKED_S = 300.0  # for as long another one may be at work: Debian's own, each day, takes minutes
_LONGEST_S = 900.0
_POLL_S = 0.5
_LOCKED = re.compile(r"Could not get lock|Unable to (acquire|lock)")
_THEIR_SERVICES = {"etcd-server": "etcd"}
"""What Debian starts by itself as soon as the package is there, on the ports of ours."""


def is_of_the_distribution(service: Service) -> bool:
    """Or a program of one's own, or in an image."""
    return service.how == "docker" or service.program == PROGRAMS[service.service]


def missing(service: Service) -> list[str]:
    """Debian's packages without which it cannot be started. A program of one's own is not replaced by any."""
    if service.how == "docker":
        return [] if shutil.which("docker") else ["docker.io"]
    has_program = not is_of_the_distribution(service) or shutil.which(service.program)
    if service.service == "etcd":
        return [] if has_program else ["etcd-server"]
    packages = [] if all(Path(jar).exists() for jar in JARS) else ["libzookeeper-java"]
    return packages if has_program else ["default-jre-headless", *packages]


def wanted(service: Service) -> list[str]:
    """To be installed: what is missing, and what copies of its data are made with."""
    needs_tool = service.service == "etcd" and service.how != "docker" and is_of_the_distribution(service)
    tool = ["etcd-client"] if needs_tool and not shutil.which("etcdctl") else []
    return [*missing(service), *tool]


def install(packages: list[str], say: Say, locked_s: float = LOCKED_S) -> None:
    """By apt-get, each thing that is done said before. What their packages start by themselves is stopped again.

    Refused: apt-get's own words. A list that cannot be fetched is no end: what is known may do.
    """
    if not shutil.which("apt-get"):
        raise Refused("this host has no apt-get", hint=f"install what Debian calls {' '.join(packages)}")
    try:
        _unlocked(["apt-get", "update", "-q=2"], say, locked_s)
    except Refused as error:
        say(f"{error.message}; going on with the lists that are there")
    _unlocked(["apt-get", "install", "-q=2", "--yes", "--no-install-recommends", *packages], say, locked_s)
    for name in (_THEIR_SERVICES[package] for package in packages if package in _THEIR_SERVICES):
        if has_systemd():
            _do(["systemctl", "disable", "--now", f"{name}.service"], say)
        elif Path(f"/etc/init.d/{name}").exists():
            _do([f"/etc/init.d/{name}", "stop"], say)
            _do(["update-rc.d", name, "disable"], say)


def make_user(user: str, home: str, say: Say) -> None:
    """A user of the system, unless there is one."""
    if not has_user(user):
        line = [
            "useradd",
            "--system",
            "--user-group",
            "--home-dir",
            home,
            "--no-create-home",
            "--shell",
            "/usr/sbin/nologin",
        ]
        _do([*line, "--", user], say)


def _unlocked(line: list[str], say: Say, locked_s: float) -> None:
    """While another one holds a lock of the package manager, again."""
    ends, told = time.monotonic() + locked_s, False
    say(" ".join(line))
    while True:
        try:
            return _run(line)
        except Refused as error:
            if not _LOCKED.search(error.message) or time.monotonic() >= ends:
                raise
            if not told:
                say(f"{error.message}; waiting for that, {locked_s:.0f} s at most")
            told = True
        time.sleep(_POLL_S)


def _do(line: list[str], say: Say) -> None:
    say(" ".join(line))
    _run(line)


def _run(line: list[str]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=_LONGEST_S, check=False, env=environment)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refused(f"{line[0]}: {error}") from error
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        errors = [text.removeprefix("E: ") for text in said if text.startswith("E: ")] or said[-1:]
        raise Refused(f"{' '.join(line[:2])}: {'; '.join(errors)}", hint="mend that, or install the packages yourself")
