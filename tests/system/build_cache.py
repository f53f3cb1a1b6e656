"""What takes long to make from the checkout, made once for all runners and runs that see the same sources.

What a killed run left half made is removed by the next one; of what was made from other sources the latest few are kept.
"""

import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

CACHE = Path("/var/tmp/ocicat-test")


def once(kind, name, make, kept):
    """The path of what `make(folder)` has made, and returned, in an empty folder. `kept`: how many of a kind stay here."""
    CACHE.mkdir(parents=True, exist_ok=True)
    target = CACHE / f"{kind}-{name}"
    if not target.exists():
        with locked(kind):
            if not target.exists():  # nor has another runner made it meanwhile
                remove_old(kind, kept)
                _made(kind, target, make)
    os.utime(target)
    return target


@contextmanager
def locked(kind):
    with (CACHE / f"{kind}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def remove_old(kind, kept):
    for left in CACHE.glob(f"building-{kind}-*"):
        shutil.rmtree(left)
    for old in sorted(CACHE.glob(f"{kind}-*"), key=lambda path: path.stat().st_mtime)[:-kept]:
        shutil.rmtree(old) if old.is_dir() else old.unlink()


def _made(kind, target, make):
    folder = Path(tempfile.mkdtemp(prefix=f"building-{kind}-", dir=CACHE))
    try:
        make(folder).rename(target)
    finally:
        shutil.rmtree(folder)
