"""Arithmetic on one block: who gets which of its 2^n addresses. Every function makes a new record. Pure.

An address inside a block is its *ordinal*, from 0. Invariants, which `check` verifies:

1. `allocations` has one entry per address; an entry is None (free) or an index into `attributes`.
2. `unallocated` holds every free ordinal exactly once, and nothing else. It is a queue: taken at the front, given back at the end,
   so that an address rests as long as possible before it is used again.
3. No two attributes are equal, and none is without an address: it goes with the last address that points to it.
4. An allocated ordinal carries the block's sequence number of the write that allocated it. Who releases may say which number he
   means; if the address has changed hands since, the number differs and nothing is released (ABA).

An attribute without a handle is legal: an address that nobody owns and that is not free either (cooling down, or reserved).
Source of the layout: projectcalico/calico, libcalico-go/lib/backend/model/block.go.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from functools import lru_cache
from itertools import islice

from ocicat.errors import Conflict, Refused, UserError
from ocicat.model.net import Addr, Cidr
from ocicat.model.resources import AllocationAttribute, Block

_HOST = "host:"
NODE = "node"  # attribute: the host whose workload has the address


class InUse(Refused):
    """An address that is wished for is somebody's, or not free yet."""

    def __init__(self, address: Addr, owner: str | None) -> None:
        text = f"{address} is in use by {owner or 'nobody, but not free yet'}"
        super().__init__(text, hint="choose another address, or release this one")
        self.address = address


def new(cidr: Cidr, host: str, sequence: int) -> Block:
    """An empty block affine to `host`.

    `sequence` is the time in nanoseconds: a block that is deleted and made again must not repeat its numbers.
    """
    return Block(
        cidr=str(cidr),
        affinity=_HOST + host,
        allocations=(None,) * cidr.size,
        unallocated=tuple(range(cidr.size)),
        attributes=(),
        sequence_number=sequence,
    )


def host_of(block: Block) -> str | None:
    """The host to which the block is affine; None: to none."""
    affinity = block.affinity or ""
    return affinity.removeprefix(_HOST) if affinity.startswith(_HOST) else None


def borrows(block: Block, host: str) -> bool:
    """Has that host an address of this block, which is another's, or nobody's?"""
    return host_of(block) != host and any(each.secondary.get(NODE) == host for each in block.attributes)


def used(block: Block) -> int:
    """How many addresses are not free."""
    return len(block.allocations) - len(block.unallocated)


def written(block: Block) -> Block:
    """The record as it goes into the store: each write has its own sequence number."""
    return block.__replace__(sequence_number=block.sequence_number + 1)


def take(
    block: Block, handle: str, attributes: Mapping[str, str], count: int = 1, reserved: Container[int] = ()
) -> tuple[Block, tuple[int, ...]]:
    """The next `count` ordinals of the queue for `handle`, none of the reserved; fewer when the block has no more."""
    ordinals = tuple(islice((each for each in block.unallocated if each not in reserved), count))
    if not ordinals:
        return block, ()
    rest = tuple(each for each in block.unallocated if each not in ordinals)
    return _allot(block, ordinals, rest, handle, attributes), ordinals


def take_at(block: Block, ordinal: int, handle: str, attributes: Mapping[str, str]) -> Block:
    """Exactly this ordinal for `handle`. InUse; the message names its owner."""
    if block.allocations[ordinal] is not None:
        raise InUse(address(block, ordinal), owner(block, ordinal))
    rest = tuple(free for free in block.unallocated if free != ordinal)
    return _allot(block, (ordinal,), rest, handle, attributes)


def _allot(
    block: Block, ordinals: Sequence[int], rest: tuple[int, ...], handle: str, attributes: Mapping[str, str]
) -> Block:
    attribute = AllocationAttribute(handle_id=handle, secondary=dict(attributes))
    known = block.attributes if attribute in block.attributes else (*block.attributes, attribute)
    index = known.index(attribute)
    allocations = list(block.allocations)
    sequences = dict(block.sequence_number_for_allocation)
    for ordinal in ordinals:
        allocations[ordinal] = index
        sequences[str(ordinal)] = block.sequence_number
    return block.__replace__(
        allocations=tuple(allocations),
        unallocated=rest,
        attributes=known,
        sequence_number_for_allocation=sequences,
    )


def release(block: Block, ordinals: Sequence[int]) -> Block:
    """Give these ordinals back, at the end of the queue and in this order. Those that are free already stay as they are."""
    freed = tuple(ordinal for ordinal in dict.fromkeys(ordinals) if block.allocations[ordinal] is not None)
    if not freed:
        return block
    allocations = list(block.allocations)
    sequences = dict(block.sequence_number_for_allocation)
    for ordinal in freed:
        allocations[ordinal] = None
        sequences.pop(str(ordinal), None)
    kept, renumbered = _without_unused(block.attributes, allocations)
    return block.__replace__(
        allocations=renumbered,
        unallocated=(*block.unallocated, *freed),
        attributes=kept,
        sequence_number_for_allocation=sequences,
    )


def _without_unused(
    attributes: tuple[AllocationAttribute, ...], allocations: Sequence[int | None]
) -> tuple[tuple[AllocationAttribute, ...], tuple[int | None, ...]]:
    """Drop the attributes no address points to any more; the others close ranks and keep their order."""
    in_use = sorted({index for index in allocations if index is not None})
    place = {old: new_index for new_index, old in enumerate(in_use)}
    renumbered = tuple(None if index is None else place[index] for index in allocations)
    return tuple(attributes[index] for index in in_use), renumbered


def release_exact(block: Block, expected: Mapping[int, int]) -> Block:
    """Release ordinals of which each must still carry the sequence number that is given with it; if one does not: Conflict."""
    for ordinal, sequence in expected.items():
        present = sequence_of(block, ordinal)
        if present != sequence:
            raise Conflict(
                f"{address(block, ordinal)} has changed hands: allocation {sequence} is meant, it is {present or 'free'} now",
                hint="read the block again and decide again",
            )
    return release(block, tuple(expected))


def release_handle(block: Block, handle: str, among: Container[int] | None = None) -> tuple[Block, tuple[int, ...]]:
    """Release whatever `handle` owns here (`among` these ordinals, when given), and only that. The ordinals, lowest first."""
    ordinals = tuple(ordinal for ordinal in ordinals_of(block, handle) if among is None or ordinal in among)
    return release(block, ordinals), ordinals


def ordinals_of(block: Block, handle: str) -> tuple[int, ...]:
    """What `handle` owns here, lowest ordinal first."""
    mine = {index for index, attribute in enumerate(block.attributes) if attribute.handle_id == handle}
    if not mine:
        return ()
    return tuple(ordinal for ordinal, index in enumerate(block.allocations) if index in mine)


def owner(block: Block, ordinal: int) -> str | None:
    """The handle that owns this ordinal; None when it is free, or nobody's."""
    index = block.allocations[ordinal]
    return None if index is None else block.attributes[index].handle_id


def sequence_of(block: Block, ordinal: int) -> int:
    """The number to give back to `release_exact`; 0 when the address is free, or was allocated by a tool too old to number it."""
    return block.sequence_number_for_allocation.get(str(ordinal), 0)


def address(block: Block, ordinal: int) -> Addr:
    return cidr_of(block).nth(ordinal)


@lru_cache(maxsize=1024)
def parse_cidr(text: str) -> Cidr:
    """The few blocks of a host come up in every request. UserError."""
    return Cidr.parse(text)


def cidr_of(block: Block) -> Cidr:
    """UserError when it is none."""
    return parse_cidr(block.cidr)


# --- invariants -------------------------------------------------------------------------------------------------


def check(block: Block) -> list[str]:
    """What is wrong with a record that came from outside; empty when its invariants hold. Never raises."""
    return unusable(block) or [*_untidy_attributes(block), *_wrong_sequences(block)]


def unusable(block: Block) -> list[str]:
    """Of that, what makes it unsafe to allocate or release here: it is not clear which address is whose, or free.

    The rest other tools leave behind at times (Go takes an owner without attributes and one with none for two); it does no harm.
    """
    try:
        size = cidr_of(block).size
    except UserError as error:
        return [error.message]
    if len(block.allocations) != size:
        return [f"{len(block.allocations)} allocations for {size} addresses"]
    return [*_wrong_indexes(block), *_wrong_queue(block)]


def _wrong_indexes(block: Block) -> list[str]:
    return [
        f"ordinal {ordinal} points to attribute {index} of {len(block.attributes)}"
        for ordinal, index in enumerate(block.allocations)
        if index is not None and not 0 <= index < len(block.attributes)
    ]


def _untidy_attributes(block: Block) -> list[str]:
    in_use = set(block.allocations)
    problems = [f"attribute {index} has no address" for index in range(len(block.attributes)) if index not in in_use]
    problems += [
        f"attribute {index} is there twice"
        for index, attribute in enumerate(block.attributes)
        if attribute in block.attributes[:index]
    ]
    return problems


def _wrong_queue(block: Block) -> list[str]:
    free = {ordinal for ordinal, index in enumerate(block.allocations) if index is None}
    queued = set(block.unallocated)
    problems = [f"ordinal {ordinal} is queued as free but is not" for ordinal in sorted(queued - free)]
    problems += [f"ordinal {ordinal} is free but not queued" for ordinal in sorted(free - queued)]
    if len(queued) != len(block.unallocated):
        problems.append("an ordinal is queued twice")
    return problems


def _wrong_sequences(block: Block) -> list[str]:
    allocated = {str(ordinal) for ordinal, index in enumerate(block.allocations) if index is not None}
    return [
        f"ordinal {ordinal} has sequence number {sequence}, "
        + ("but is free" if ordinal not in allocated else f"later than the block's {block.sequence_number}")
        for ordinal, sequence in block.sequence_number_for_allocation.items()
        if ordinal not in allocated or sequence > block.sequence_number
    ]
