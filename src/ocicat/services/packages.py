"""What a service needs from the distribution, and having it installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from ocicat.errors import Refused
from ocicat.services.running import has_systemd, has_user
from ocicat.services.spec import Service
from ocicat.services.zookeeper_config import JARS

Say = Callable[[str], None]

_LONGEST_S = 900.0
_THEIR_UNITS = {"etcd-server": "etcd.service"}
"""What Debian starts by itself as soon as the package is there, on the ports of ours."""


def missing(service: Service) -> list[str]:
    """Debian's packages that have to be installed first."""
    if service.how == "docker":
        return [] if shutil.which("docker") else ["docker.io"]
    if service.service == "etcd":
        return [] if shutil.which(service.program) else ["etcd-server"]
    packages = [] if all(Path(jar).exists() for jar in JARS) else ["libzookeeper-java"]
    return packages if shutil.which(service.program) else ["default-jre-headless", *packages]


def install(packages: list[str], say: Say) -> None:
    """By apt-get, each thing that is done said before. What their packages start by themselves is stopped again."""
    if not shutil.which("apt-get"):
        raise Refused("this host has no apt-get", hint=f"install what Debian calls {' '.join(packages)}")
    _do(["apt-get", "update", "-q=2"], say)
    _do(["apt-get", "install", "-q=2", "--yes", "--no-install-recommends", *packages], say)
    for unit in (_THEIR_UNITS[name] for name in packages if name in _THEIR_UNITS):
        if has_systemd():
            _do(["systemctl", "disable", "--now", unit], say)


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
        _do([*line, user], say)


def _do(line: list[str], say: Say) -> None:
    say(" ".join(line))
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=_LONGEST_S, check=False, env=environment)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refused(f"{line[0]}: {error}") from error
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        raise Refused(f"{' '.join(line[:2])}: {said[-1]}", hint="mend that, or install the packages yourself")
