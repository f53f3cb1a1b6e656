"""What the kernel refuses, as one error that says what was asked and why not."""

from __future__ import annotations

import errno as codes
import os

from ocicat.errors import OcicatError
from ocicat.netlink.wire import Outcome, Request

_MISSING = frozenset({codes.ENOENT, codes.ESRCH, codes.ENODEV, codes.ENXIO, codes.EADDRNOTAVAIL})
_HINTS = {
    codes.EPERM: "CAP_NET_ADMIN is needed in that network namespace",
    codes.ENOBUFS: "the kernel's socket memory is short: see net.core.rmem_max",
}


class NetlinkError(OcicatError):
    """The kernel refused a request. `text` is its extended acknowledgement, often empty; `offset` points into the
    message at what it objects to (0: not said); `index` is the place of the request in its batch or
    transaction; -1 is the transaction as a whole."""

    def __init__(self, errno: int, text: str, asked: str, *, offset: int = 0, index: int = 0) -> None:
        name = codes.errorcode.get(errno, str(errno))
        cause = f"{text}, {name}" if text else f"{os.strerror(errno)}, {name}"
        super().__init__(f"cannot {asked}: {cause}", hint=_HINTS.get(errno, ""))
        self.errno = errno
        self.text = text
        self.asked = asked
        self.offset = offset
        self.index = index

    @property
    def missing(self) -> bool:
        """The object (or the interface it stands on) is not there: for a deletion, as good as done."""
        return self.errno in _MISSING

    @property
    def exists(self) -> bool:
        """Something with that key is there already."""
        return self.errno == codes.EEXIST


def refusal(outcome: Outcome, request: Request, index: int = 0) -> NetlinkError:
    """The error for an outcome whose errno is not 0."""
    return NetlinkError(outcome.errno, outcome.text, str(request), offset=outcome.offset, index=index)
