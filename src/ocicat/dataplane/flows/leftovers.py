"""Addresses that were a container's which went while no agent ran, and left nothing of itself but its connections.

A kernel before Linux 6.16 takes everything of an interface along when that goes. So when an agent starts and knows all endpoints,
the connections of its blocks are listed once: an address that nobody has must not pass them on to its next owner.

Invariant: an address that is the host's own, or another host's that it borrowed of ours, is none. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ocicat.model.wanted import LocalBlock, RemoteBlock
from ocicat.netlink.conntrack import Flow
from ocicat.netlink.inet import Prefix


def nets(blocks: Mapping[Prefix, LocalBlock | RemoteBlock]) -> tuple[Prefix, ...]:
    """Where this host gives addresses from."""
    return tuple(dst for dst, block in blocks.items() if isinstance(block, LocalBlock))


def addresses(
    flows: Iterable[Flow],
    blocks: Mapping[Prefix, LocalBlock | RemoteBlock],
    is_local: Callable[[bytes], bool | None],
) -> set[bytes]:
    """Those (packed) of the host's own blocks that these flows go from or to. `is_local`, None: an address of many."""
    found = {each for flow in flows for way in (flow.original, flow.reply) for each in (way.src, way.dst)}
    lengths = sorted({dst.length for dst in blocks}, reverse=True)
    ours = (each for each in found if isinstance(_block(each, blocks, lengths), LocalBlock))
    return {each for each in ours if is_local(each) is False}


def _block(
    address: bytes, blocks: Mapping[Prefix, LocalBlock | RemoteBlock], lengths: Iterable[int]
) -> LocalBlock | RemoteBlock | None:
    """The longest that holds it."""
    size = 8 * len(address)
    for length in lengths:
        if length <= size:
            network = int.from_bytes(address, "big") >> size - length << size - length
            if block := blocks.get(Prefix(network.to_bytes(len(address), "big"), length)):
                return block
    return None
