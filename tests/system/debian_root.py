"""A Debian of this machine's release as a tar file, made by debootstrap: once for all test runs of a week, and all runners.

What a killed run left half made is removed by the next one. Nothing of the machine but the folder of the cache is touched.
"""

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from datetime import date
from hashlib import sha256
from pathlib import Path

CACHE = Path("/var/tmp/ocicat-test")
DEFAULT = ("iproute2", "nftables", "python3", "tini")
LIMIT_S = 600
UNUSED_S = 24 * 3600.0
# Own mounts and processes: whatever a package's script starts or mounts ends with it, also when the test run is killed.
APART = [
    "setpriv",
    "--pdeathsig",
    "KILL",
    "unshare",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--propagation",
    "private",
]


def missing():
    """Why there can be none here; "" when there can."""
    return "" if shutil.which("debootstrap") else "debootstrap is not installed"


def tarball(include=DEFAULT):
    """The path of a minimal system with these packages; no package lists and no packages are kept in it."""
    CACHE.mkdir(parents=True, exist_ok=True)
    suite, packages = _suite(), sorted(include)
    year, week, _ = date.today().isocalendar()
    name = f"{suite}-{year}w{week:02}-{sha256(' '.join(packages).encode()).hexdigest()[:12]}.tar"
    with _locked():
        if not (CACHE / name).exists():
            remove_old()
            _make(CACHE / name, suite, packages)
        os.utime(CACHE / name)
    return CACHE / name


def unpack(root, include=DEFAULT):
    """The same, unpacked into a folder, which may be there."""
    root.mkdir(parents=True, exist_ok=True)
    subprocess.run(["tar", "--extract", "--file", str(tarball(include)), "--directory", str(root)], check=True)


@contextmanager
def _locked():
    with (CACHE / "roots.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def remove_old():
    """Not what somebody has asked for of late: at the change of a week another runner may be about to unpack it."""
    for left in CACHE.glob("making-*"):
        shutil.rmtree(left)
    for old in CACHE.glob("*.tar"):
        if re.search(r"-\d+w\d\d-", old.name) and time.time() - old.stat().st_mtime > UNUSED_S:
            old.unlink()


def _make(target, suite, packages):
    folder = Path(tempfile.mkdtemp(prefix="making-", dir=CACHE))
    try:
        root, new = folder / "root", folder / "root.tar"
        _run(
            *APART, "debootstrap", "--variant=minbase", f"--include={','.join(packages)}", suite, str(root), *_mirror()
        )
        for kept in (root / "var/cache/apt/archives", root / "var/lib/apt/lists"):
            for entry in kept.iterdir():
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        _run("tar", "--create", "--file", str(new), "--directory", str(root), "--one-file-system", ".")
        new.rename(target)
    finally:
        shutil.rmtree(folder)


def _run(*command):
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"


def _suite():
    words = dict(line.partition("=")[::2] for line in Path("/etc/os-release").read_text().splitlines())
    return words["VERSION_CODENAME"].strip('"')


def _mirror():
    """Where this machine itself gets its packages from; none: debootstrap's own choice."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    return [uri for uri in found if uri.startswith("http") and not re.search(r"security|backports", uri)][:1]


if __name__ == "__main__":
    assert os.geteuid() == 0, "needs root"
    print(tarball())
