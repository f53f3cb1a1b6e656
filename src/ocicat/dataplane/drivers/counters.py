"""What the counters of our table have counted, by raw netlink.

Invariant: only reads.
"""

from __future__ import annotations

import errno

from ocicat.dataplane.ownership import TABLE
from ocicat.dataplane.ruleset.objects import Counter
from ocicat.errors import OcicatError, Refused, Unavailable
from ocicat.netlink import nftcounter
from ocicat.netlink.errors import NetlinkError
from ocicat.netlink.socket import NetfilterSocket


def is_there(sock: NetfilterSocket) -> bool:
    """Is there a table of ours? Unavailable, Refused."""
    try:
        sock.get(nftcounter.table(TABLE))
    except NetlinkError as error:
        if error.missing:
            return False
        raise _mapped(error) from error
    return True


def read(sock: NetfilterSocket) -> list[Counter]:
    """All that there are; none if there is no table. Unavailable, Refused."""
    try:
        found = sock.dump(nftcounter.dump(TABLE))
    except NetlinkError as error:
        raise _mapped(error) from error
    return [Counter(each.name, each.comment, each.packets, each.bytes) for each in found]


def _mapped(error: NetlinkError) -> OcicatError:
    kind = Refused if error.errno == errno.EPERM else Unavailable
    return kind(error.message, hint=error.hint)
