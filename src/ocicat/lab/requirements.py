"""What a machine needs before a lab can be started on it, looked at all at once, so that one message names all that is missing.

Promises: `check` changes nothing. Must not: install anything.
"""

from __future__ import annotations

import ctypes.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from ocicat.errors import Refused, UserError
from ocicat.lab.spec import DEFAULT_PARENT, check_name
from ocicat.services.zookeeper_config import JARS

# Debian's package for each program, and for each shared library the Mesos library is linked with.
PROGRAMS = {"nft": "nftables", "nsenter": "util-linux", "setsid": "util-linux"}
LIBRARIES = {"svn_delta-1": "libsvn1", "apr-1": "libapr1", "curl": "libcurl4", "sasl2": "libsasl2-2"}

_FREEZER = Path("/sys/fs/cgroup/freezer/cgroup.procs")


def check(directory: Path, *, zookeeper: bool = False) -> None:
    """UserError or Refused with everything that is in the way of a lab in `directory`, with a ZooKeeper or without."""
    check_root()
    packages = sorted(missing_packages() + (missing_for_zookeeper() if zookeeper else []))
    if packages:
        raise Refused("software is missing for a lab", hint=f"apt-get install {' '.join(packages)}")
    if not _FREEZER.exists():
        raise Refused(
            f"{_FREEZER.parent}: the cgroup v1 freezer is not mounted, and Mesos's containers need it",
            hint=f"mkdir -p {_FREEZER.parent} && mount -t cgroup -o freezer freezer {_FREEZER.parent}",
        )
    if not may_execute(directory):
        raise UserError(
            f"{directory}: its file system is mounted noexec, and plugins are run from there",
            hint="choose another: --dir",
        )


def check_root() -> None:
    """UserError for anybody else."""
    if os.geteuid() != 0:
        raise UserError("a lab needs root: it makes network namespaces and cgroups", hint="run it with sudo")


def missing_packages(
    program: Callable[[str], str | None] = shutil.which,
    library: Callable[[str], str | None] = ctypes.util.find_library,
) -> list[str]:
    """The Debian packages to install, sorted; the two functions find a program and a library, or None."""
    missing = {package for name, package in PROGRAMS.items() if program(name) is None}
    missing |= {package for name, package in LIBRARIES.items() if library(name) is None}
    return sorted(missing)


def missing_for_zookeeper(
    program: Callable[[str], str | None] = shutil.which, exists: Callable[[str], bool] = os.path.exists
) -> list[str]:
    """The Debian packages to install beside those."""
    packages = [] if all(map(exists, JARS)) else ["libzookeeper-java"]
    return packages if program("java") else ["default-jre-headless", *packages]


def default_directory(name: str) -> Path:
    """Below /run, which is empty after a reboot as the lab is; not where /run is mounted noexec (as on a plain Debian)."""
    base = Path("/run") if may_execute(Path("/run")) else Path("/var/lib")
    return base / DEFAULT_PARENT / check_name(name)


def may_execute(directory: Path) -> bool:
    """May files be executed that lie there, or will, if the directory is yet to be made?"""
    while not directory.exists():
        directory = directory.parent
    return not os.statvfs(directory).f_flag & os.ST_NOEXEC
