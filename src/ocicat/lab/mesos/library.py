"""The one file everything here runs on: libmesos 1.11.0, obtained by package name and made to load on Debian 12.

Promises: `ensure` returns the path of a library whose every byte is known: the download, or what was made of it, is compared with
SHA-256 constants, because `native` uses addresses inside it. It is instantaneous when the file is there (one stat), safe under
several processes at once (a lock file), and leaves nothing half-written (temporary file, fsync, rename).
Must not: name a package index. pip's own settings decide where the package comes from.

Invariants:
1. A file of the final name is complete and patched: it is only ever created by rename. The name carries the patch's version.
2. Whatever was downloaded is removed, also after a failure.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ocicat.errors import OcicatError, Refused, Unavailable
from ocicat.lab.mesos.elfpatch import patch
from ocicat.supervise.interpreter import module_line

VERSION = "1.11.0"
REQUIREMENT = f"mesos.scheduler==={VERSION}.linux-x86_64"
DOWNLOADER = "pip>=22,<24.1"  # later ones do not see a version that PEP 440 does not allow, as "1.11.0.linux-x86_64"
ORIGINAL_SHA256 = "84d7ee9af27e912636b139de40257df1ee4f56c201de6bba834278aa1e8fd64c"
PATCHED_SHA256 = "b4c42eac577d6262d868c65cbb4d3d3ba6ff60595965bc464f4496a99d428395"
SIZE_BYTES = 122_540_776
PATCH_VERSION = 1

_MEMBER = "_scheduler.so"
_ROOM_BYTES = 600_000_000  # archive, unpacked archive and the library itself, all at once
_DOWNLOAD_S = 600
_FULL = os.strerror(errno.ENOSPC)

Report = Callable[[str], None]


def default_cache() -> Path:
    """`$OCICAT_CACHE`, else `/var/cache/ocicat`: readable by every user, because containers run as any."""
    return Path(os.environ.get("OCICAT_CACHE") or "/var/cache/ocicat")


def library_path(cache_dir: Path) -> Path:
    """Where `ensure` puts the library; the file need not exist."""
    return cache_dir / f"libmesos-{VERSION}-p{PATCH_VERSION}.so"


def ensure(cache_dir: Path, report: Report) -> Path:
    """The patched library, downloaded and made if it is not there yet. `report` gets one line per step that takes time.

    Raises Unavailable (no answer from the package index) or Refused (wrong content, no room, no permission).
    """
    target = library_path(cache_dir)
    if _complete(target):
        return target
    with _mapped_os_errors(cache_dir):
        cache_dir.mkdir(parents=True, exist_ok=True, mode=0o755)
        with _locked(cache_dir):
            if not _complete(target):  # else another process made it while we waited
                _remove_leftovers(cache_dir)
                _make(cache_dir, target, report)
    return target


def _complete(target: Path) -> bool:
    try:
        return target.stat().st_size == SIZE_BYTES
    except OSError:
        return False


def _remove_leftovers(cache_dir: Path) -> None:
    """What a killed process was downloading: we hold the lock, so nobody uses it."""
    for leftover in cache_dir.glob("download-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _make(cache_dir: Path, target: Path, report: Report) -> None:
    free = shutil.disk_usage(cache_dir).free
    if free < _ROOM_BYTES:
        raise _no_room(cache_dir, f"{free // 1_000_000} MB free, {_ROOM_BYTES // 1_000_000} MB needed")
    with tempfile.TemporaryDirectory(prefix="download-", dir=cache_dir) as scratch:
        report(f"downloading Apache Mesos {VERSION} (27 MB, once)")
        original = download(Path(scratch))
        report("checking and patching the library")
        image = bytearray(original.read_bytes())
        _check(image, ORIGINAL_SHA256, "downloaded")
        patch(image)
        _check(image, PATCHED_SHA256, "patched")
        _write(target, image, Path(scratch))
    report(f"{target} is ready")


def download(scratch: Path) -> Path:
    """Fetch and unpack the archive into `scratch`; the path of the library in it.

    pip ends with an error, because the archive holds files to install and no project to build; `--no-clean` leaves what it
    unpacked. So only the file counts, not pip's exit status.
    """
    old_pip = scratch / "pip"
    made = _pip(scratch, {}, "install", "--no-deps", "--target", str(old_pip), DOWNLOADER)
    if made.returncode:
        raise _failed_download(DOWNLOADER, made.stderr, scratch)
    where = {"PYTHONPATH": str(old_pip)}
    done = _pip(scratch, where, "download", "--no-deps", "--no-clean", "--dest", str(scratch / "out"), REQUIREMENT)
    found = next(iter(scratch.rglob(_MEMBER)), None)
    if found is None or _FULL in done.stderr:  # pip leaves what it could write
        raise _failed_download(REQUIREMENT, done.stderr, scratch)
    return found


def _pip(scratch: Path, variables: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = module_line("pip", "--disable-pip-version-check", "--no-input", "--quiet", *arguments)
    environment = {**os.environ, "TMPDIR": str(scratch), **variables}
    try:
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_DOWNLOAD_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{arguments[-1]}: no download within {_DOWNLOAD_S} s", hint="try again later") from error


def _failed_download(what: str, stderr: str, scratch: Path) -> OcicatError:
    if _FULL in stderr:
        return _no_room(scratch, "the download did not fit")
    lines = [line for line in stderr.splitlines() if line.strip()]
    cause = next((line for line in reversed(lines) if "ERROR" in line), lines[-1] if lines else "pip said nothing")
    hint = "check the network and pip's index settings: 'pip config list'"
    return Unavailable(f"{what} could not be downloaded: {cause.removeprefix('ERROR: ')}", hint=hint)


def _check(image: bytearray, expected: str, which: str) -> None:
    actual = hashlib.sha256(image).hexdigest()
    if actual != expected:
        raise Refused(
            f"the {which} library has SHA-256 {actual}, expected {expected}",
            hint="the package index served another file than Apache Mesos released; nothing was installed",
        )


def _write(target: Path, image: bytearray, scratch: Path) -> None:
    fresh = scratch / "patched.so"  # same file system as the target: the rename is atomic
    with fresh.open("wb") as file:
        file.write(image)
        file.flush()
        os.fsync(file.fileno())
    fresh.chmod(0o755)
    fresh.rename(target)


@contextmanager
def _locked(cache_dir: Path) -> Iterator[None]:
    with (cache_dir / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released when the file closes, also when the process dies
        yield


@contextmanager
def _mapped_os_errors(cache_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _no_room(cache_dir, str(error.strerror)) from error
        raise Refused(
            f"{cache_dir}: {error.strerror}", hint="set OCICAT_CACHE to a directory that can be written"
        ) from error


def _no_room(where: Path, cause: str) -> Refused:
    return Refused(
        f"{where}: no room for the Mesos library: {cause}", hint="free some space or set OCICAT_CACHE to another disk"
    )
