"""The block core against the plainest model there is: a dictionary from ordinal to owner, and a list of what is free."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ocicat.errors import Conflict, Refused
from ocicat.ipam import block as arithmetic
from ocicat.model.codec import decode_json, encode_json
from ocicat.model.net import Cidr
from ocicat.model.resources import Block

ORDINALS = st.integers(0, 7)
HANDLES = st.sampled_from("abc")
ATTRIBUTES = st.sampled_from([{}, {"node": "h"}])


class BlockMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.block = arithmetic.new(Cidr.parse("10.0.0.0/29"), "h", 1)
        self.owners: dict[int, str] = {}
        self.queue = list(range(8))
        self.stale: dict[int, int] = {}

    @rule(handle=HANDLES, attributes=ATTRIBUTES, count=st.integers(0, 9))
    def take(self, handle, attributes, count):
        expected, self.queue = self.queue[:count], self.queue[count:]
        self.block, got = arithmetic.take(self.block, handle, attributes, count)
        assert list(got) == expected
        self.owners |= dict.fromkeys(expected, handle)

    @rule(handle=HANDLES, attributes=ATTRIBUTES, ordinal=ORDINALS)
    def take_at(self, handle, attributes, ordinal):
        if ordinal in self.owners:
            with pytest.raises(Refused):
                arithmetic.take_at(self.block, ordinal, handle, attributes)
            return
        self.block = arithmetic.take_at(self.block, ordinal, handle, attributes)
        self.owners[ordinal] = handle
        self.queue.remove(ordinal)

    @rule(ordinals=st.lists(ORDINALS, max_size=4))
    def release(self, ordinals):
        self.block = arithmetic.release(self.block, ordinals)
        self._freed(dict.fromkeys(ordinals))

    @rule(handle=HANDLES)
    def release_handle(self, handle):
        expected = sorted(ordinal for ordinal, owner in self.owners.items() if owner == handle)
        self.block, got = arithmetic.release_handle(self.block, handle)
        assert list(got) == expected
        self._freed(expected)

    @rule(ordinal=ORDINALS)
    def remember_the_sequence_number(self, ordinal):
        self.stale[ordinal] = arithmetic.sequence_of(self.block, ordinal)

    @rule(ordinal=ORDINALS)
    def release_exactly_what_was_remembered(self, ordinal):
        expected = self.stale.get(ordinal, -1)
        if ordinal in self.owners and expected == arithmetic.sequence_of(self.block, ordinal):
            self.block = arithmetic.release_exact(self.block, {ordinal: expected})
            self._freed([ordinal])
        elif expected != 0:
            with pytest.raises(Conflict):
                arithmetic.release_exact(self.block, {ordinal: expected})

    @rule()
    def write(self):
        self.block = decode_json(Block, encode_json(arithmetic.written(self.block)))

    def _freed(self, ordinals):
        for ordinal in ordinals:
            if self.owners.pop(ordinal, None) is not None:
                self.queue.append(ordinal)

    @invariant()
    def block_and_model_agree(self):
        assert arithmetic.check(self.block) == []
        assert list(self.block.unallocated) == self.queue
        owners = {o: arithmetic.owner(self.block, o) for o in range(8) if arithmetic.owner(self.block, o) is not None}
        assert owners == self.owners
        assert arithmetic.used(self.block) == len(self.owners)


TestBlock = BlockMachine.TestCase
