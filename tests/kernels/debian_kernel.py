"""Debian's own kernels, fetched by apt from where this machine gets its packages, and unpacked beside the venv: never installed.

`make test-kernels` fetches those that are missing (`python tests/kernels/debian_kernel.py`); a test only takes what is there.
Lists of other releases than this machine's are kept apart from apt's own.
"""

import fcntl
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / ".venv" / ".made" / "kernels"
LIMIT_S = 600
# name: the package that depends on the newest of its kind, and the release that has it, where that is not this machine's.
PACKAGES = {
    "6.1": ("linux-image-amd64", ""),
    "6.12": ("linux-image-6.12-amd64", ""),
    "5.10": ("linux-image-amd64", "bullseye"),
}


class NoKernel(Exception):
    """It is not here, and why."""


@dataclass(frozen=True)
class Kernel:
    """`release`: as `uname -r` says it. `image`: what is booted. `modules`: its folder of /lib/modules."""

    name: str
    release: str
    image: Path
    modules: Path


def kernel(name):
    """One that was fetched; NoKernel when it was not."""
    images = sorted((FOLDER / name).glob("boot/vmlinuz-*"))
    if not images:
        raise NoKernel(f"Debian's kernel {name} is not here: make test-kernels fetches it")
    release = images[-1].name.removeprefix("vmlinuz-")
    return Kernel(name, release, images[-1], FOLDER / name / "lib" / "modules" / release)


def fetch(name):
    """The newest of that name that apt knows of; one that is here already stays."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    package, suite = PACKAGES[name]
    with _locked():
        if (FOLDER / name).exists():
            return
        making = FOLDER / f"making-{name}"
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir()
        options = _lists_of(suite) if suite else []
        image = _image(package, options) or _updated(options, package)
        _run("apt-get", *options, "-q=2", "-o", "APT::Sandbox::User=root", "download", image, cwd=making)
        (archive,) = making.glob("*.deb")
        _run("dpkg-deb", "--extract", str(archive), str(making))
        archive.unlink()
        shutil.rmtree(making / "usr/share", ignore_errors=True)
        (modules,) = (making / "lib/modules").iterdir()
        _run("depmod", "--basedir", str(making), modules.name)
        making.rename(FOLDER / name)


def _updated(options, package):
    _run("apt-get", *options, "-q=2", "update")
    image = _image(package, options)
    if not image:
        raise NoKernel(f"apt knows no {package}")
    return image


def _image(package, options):
    """What the package stands for: linux-image-6.1.0-56-amd64."""
    done = subprocess.run(["apt-cache", *options, "depends", package], capture_output=True, text=True, check=False)
    found = re.search(r"Depends: (linux-image-\d\S+)", done.stdout)
    return found[1] if found else ""


def _lists_of(suite):
    """apt's options for the packages of another release, of the same mirror as this machine's."""
    folder = FOLDER / f"lists-{suite}"
    (folder / "partial").mkdir(parents=True, exist_ok=True)
    sources = FOLDER / f"{suite}.list"  # not among the lists: `update` removes there what it does not know
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    sources.write_text("".join(f"deb [signed-by={keys}] {uri} {suite} main\n" for uri in _mirror()))
    at = {"Etc::SourceList": sources, "Etc::SourceParts": "/dev/null", "State::Lists": folder, "Cache": folder}
    return [word for name, path in at.items() for word in ("-o", f"Dir::{name}={path}")]


def _mirror():
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    return [uri for uri in found if re.search(r"/debian/?$", uri)][:1]


@contextmanager
def _locked():
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(*command, cwd=None):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode:
        raise NoKernel(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[-2000:]}")


if __name__ == "__main__":
    for each in sys.argv[1:] or PACKAGES:
        fetch(each)
