"""umount2(2), which Python does not have.

Promises: the mount is out of the tree afterwards: at once, or, when somebody uses it, lazily (it goes with its last user).
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

from ocicat.errors import Refused

_MNT_DETACH = 2
_UMOUNT_NOFOLLOW = 8
_GONE = (errno.EINVAL, errno.ENOENT)  # no mount (any more), no such path


def umount(point: Path) -> None:
    """Unmount what is mounted last at `point`; no error when nothing is. Refused without the right to."""
    error = _umount2(point, _UMOUNT_NOFOLLOW)
    if error == errno.EBUSY:
        error = _umount2(point, _UMOUNT_NOFOLLOW | _MNT_DETACH)
    if error and error not in _GONE:
        raise Refused(f"{point} cannot be unmounted: {os.strerror(error)}", hint="this needs root")


def _umount2(point: Path, flags: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    failed = libc.umount2(os.fsencode(point), flags)
    return ctypes.get_errno() if failed else 0
