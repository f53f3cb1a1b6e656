"""What to do about an affinity and a block that do not agree: what a crash, or another tool, left half done. Pure.

An affinity says "this host may use this block", the block says the same from its side. We write both in one transaction, other
tools one after the other: first the affinity as pending, then the block, then the affinity as confirmed; and backwards to give
one up, as pendingDeletion. So every combination can be found. The block decides, since it holds the addresses.
"""

from __future__ import annotations

from enum import Enum

from ocicat.ipam.block import host_of, used
from ocicat.model.resources import Block, BlockAffinity

CONFIRMED = BlockAffinity(state="confirmed")


class Mend(Enum):
    NOTHING = "nothing"
    CONFIRM = "write the affinity as confirmed"
    REBUILD = "make the block, and write the affinity as confirmed"
    FORGET = "delete the affinity"
    DROP = "delete the affinity and the empty block"


def mend(host: str, affinity: BlockAffinity | None, block: Block | None, *, in_pool: bool) -> Mend:
    """What brings the two together, seen from `host`. `in_pool`: some pool still has a place for the block."""
    if block is None:
        return _without_block(affinity, in_pool=in_pool)
    if host_of(block) != host:
        return Mend.NOTHING if affinity is None else Mend.FORGET
    leaving = block.deleted or (affinity is not None and (affinity.deleted or affinity.state == "pendingDeletion"))
    if leaving and not used(block):
        return Mend.DROP
    return Mend.NOTHING if affinity == CONFIRMED and not block.deleted else Mend.CONFIRM


def _without_block(affinity: BlockAffinity | None, *, in_pool: bool) -> Mend:
    if affinity is None:
        return Mend.NOTHING
    leaving = affinity.deleted or affinity.state == "pendingDeletion"
    return Mend.FORGET if leaving or not in_pool else Mend.REBUILD
