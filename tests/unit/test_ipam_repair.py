"""Every combination of affinity and block that a crash or another tool can leave, and what is done about it."""

from __future__ import annotations

import pytest

from ocicat.ipam import block as arithmetic
from ocicat.ipam.repair import Mend, mend
from ocicat.model.net import Cidr
from ocicat.model.resources import Block, BlockAffinity

EMPTY = arithmetic.new(Cidr.parse("10.0.0.0/26"), "h", 1)
USED = arithmetic.take(EMPTY, "c", {})[0]
THEIRS = USED.__replace__(affinity="host:x")
NOBODYS = USED.__replace__(affinity=None)


def affinity(state, *, deleted=False) -> BlockAffinity:
    return BlockAffinity(state=state, deleted=deleted)


@pytest.mark.parametrize(
    ("found", "block", "wanted"),
    [
        (None, None, Mend.NOTHING),
        (affinity("confirmed"), EMPTY, Mend.NOTHING),
        (affinity("pending"), EMPTY, Mend.CONFIRM),
        (affinity(""), USED, Mend.CONFIRM),
        (None, EMPTY, Mend.CONFIRM),
        (None, USED, Mend.CONFIRM),
        (affinity("pending"), None, Mend.REBUILD),
        (affinity("confirmed"), None, Mend.REBUILD),
        (affinity("pendingDeletion"), None, Mend.FORGET),
        (affinity("confirmed", deleted=True), None, Mend.FORGET),
        (affinity("pending"), THEIRS, Mend.FORGET),
        (affinity("confirmed"), NOBODYS, Mend.FORGET),
        (None, THEIRS, Mend.NOTHING),
        (affinity("pendingDeletion"), EMPTY, Mend.DROP),
        (affinity("confirmed"), EMPTY.__replace__(deleted=True), Mend.DROP),
        (affinity("pendingDeletion"), USED, Mend.CONFIRM),
        (affinity("confirmed"), USED.__replace__(deleted=True), Mend.CONFIRM),
    ],
)
def test_the_block_decides(found: BlockAffinity | None, block: Block | None, wanted: Mend):
    assert mend("h", found, block, in_pool=True) is wanted


def test_a_block_is_not_rebuilt_outside_every_pool():
    assert mend("h", affinity("confirmed"), None, in_pool=False) is Mend.FORGET
