"""A packet, as far as policy asks about it. Pure."""

from __future__ import annotations

from ocicat.model.base import Struct
from ocicat.model.net import Addr

ICMP, ICMPV6 = 1, 58
ICMP_OF = {4: ICMP, 6: ICMPV6}
"""By family."""


class Packet(Struct, frozen=True, gc=False):
    """The first packet of a new flow. `protocol` is the IP protocol number; fields that the protocol does not have are 0."""

    protocol: int
    source: Addr
    destination: Addr
    source_port: int = 0
    destination_port: int = 0
    icmp_type: int = 0
    icmp_code: int = 0

    @property
    def family(self) -> int:
        return self.destination.family

    @property
    def is_icmp(self) -> bool:
        return self.protocol == ICMP_OF[self.family]
