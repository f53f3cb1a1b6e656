"""Block arithmetic: the record before and after, in the words of the datastore."""

from __future__ import annotations

import pytest

from ocicat.errors import Conflict, Refused
from ocicat.ipam import block as arithmetic
from ocicat.model.codec import decode_json, encode_json
from ocicat.model.net import Addr, Cidr
from ocicat.model.resources import AllocationAttribute, Block

CIDR = Cidr.parse("10.0.0.0/29")
OWNER = {"node": "h"}


def empty() -> Block:
    return arithmetic.new(CIDR, "h", 100)


def two_owners() -> Block:
    """a has 0 and 1, b has 2."""
    block, _ = arithmetic.take(empty(), "a", OWNER, 2)
    block, _ = arithmetic.take(block, "b", OWNER)
    return block


def test_a_new_block_is_all_free_and_ours():
    block = empty()
    assert block.affinity == "host:h"
    assert block.unallocated == tuple(range(8))
    assert (arithmetic.host_of(block), arithmetic.used(block), arithmetic.check(block)) == ("h", 0, [])


def test_addresses_are_taken_from_the_front_of_the_queue():
    block, ordinals = arithmetic.take(empty(), "a", OWNER, 3)
    assert ordinals == (0, 1, 2)
    assert block.unallocated == (3, 4, 5, 6, 7)
    assert block.allocations[:4] == (0, 0, 0, None)
    assert block.attributes == (AllocationAttribute(handle_id="a", secondary=OWNER),)


def test_a_block_gives_what_it_has_and_no_more():
    block, ordinals = arithmetic.take(empty(), "a", OWNER, 9)
    assert len(ordinals) == 8
    assert arithmetic.take(block, "b", OWNER) == (block, ())


def test_freed_addresses_wait_at_the_end_of_the_queue():
    block, _ = arithmetic.release_handle(two_owners(), "a")
    assert block.unallocated == (3, 4, 5, 6, 7, 0, 1)
    assert arithmetic.check(block) == []


def test_equal_attributes_are_stored_once():
    block, _ = arithmetic.take(two_owners(), "a", OWNER)
    assert [attribute.handle_id for attribute in block.attributes] == ["a", "b"]
    assert block.allocations[3] == 0


def test_an_attribute_goes_with_its_last_address_and_the_rest_are_renumbered():
    half = arithmetic.release(two_owners(), [0])
    assert [attribute.handle_id for attribute in half.attributes] == ["a", "b"]
    gone = arithmetic.release(half, [1])
    assert [attribute.handle_id for attribute in gone.attributes] == ["b"]
    assert gone.allocations[2] == 0


def test_a_given_address_is_assigned_once():
    block = arithmetic.take_at(empty(), 5, "a", OWNER)
    assert 5 not in block.unallocated
    with pytest.raises(Refused, match=r"10\.0\.0\.5 is in use by a"):
        arithmetic.take_at(block, 5, "b", OWNER)


def test_an_address_without_an_owner_is_not_free():
    block = two_owners().__replace__(
        attributes=(AllocationAttribute(handle_id=None), AllocationAttribute(handle_id="b", secondary=OWNER))
    )
    assert arithmetic.check(block) == []
    with pytest.raises(Refused, match="not free yet"):
        arithmetic.take_at(block, 0, "c", OWNER)


def test_releasing_by_handle_leaves_other_owners_alone():
    block, ordinals = arithmetic.release_handle(two_owners(), "a")
    assert ordinals == (0, 1)
    assert arithmetic.ordinals_of(block, "b") == (2,)
    assert arithmetic.release_handle(block, "a") == (block, ())


def test_releasing_what_is_free_changes_nothing():
    block = two_owners()
    assert arithmetic.release(block, [7]) == block


def test_a_release_with_the_present_sequence_number_succeeds():
    block = two_owners()
    assert arithmetic.used(arithmetic.release_exact(block, {0: 100})) == 2


def test_a_release_with_a_stale_sequence_number_is_a_conflict_and_frees_nothing():
    before = arithmetic.written(arithmetic.release(two_owners(), [0]))
    again = arithmetic.take_at(before, 0, "c", OWNER)
    with pytest.raises(Conflict, match=r"10\.0\.0\.0 has changed hands: allocation 100 is meant, it is 101 now"):
        arithmetic.release_exact(again, {0: 100})
    with pytest.raises(Conflict, match="it is free now"):
        arithmetic.release_exact(before, {0: 100})


def test_every_write_has_its_own_sequence_number_and_allocations_keep_theirs():
    first, _ = arithmetic.take(empty(), "a", OWNER)
    second, _ = arithmetic.take(arithmetic.written(first), "b", OWNER)
    assert second.sequence_number == 101
    assert second.sequence_number_for_allocation == {"0": 100, "1": 101}
    assert arithmetic.release(second, [0]).sequence_number_for_allocation == {"1": 101}


def test_the_json_has_the_names_and_shapes_of_calico():
    block, _ = arithmetic.take(arithmetic.new(Cidr.parse("10.0.0.0/31"), "h", 7), "a", OWNER)
    assert encode_json(block) == (
        b'{"cidr":"10.0.0.0/31","affinity":"host:h","allocations":[0,null],"unallocated":[1],'
        b'"attributes":[{"handle_id":"a","secondary":{"node":"h"}}],"deleted":false,"sequenceNumber":7,'
        b'"sequenceNumberForAllocation":{"0":7}}'
    )
    assert decode_json(Block, encode_json(block)) == block


def test_ordinals_are_addresses_in_ipv6_too():
    block = arithmetic.new(Cidr.parse("fd00::40/122"), "h", 0)
    assert arithmetic.address(block, 63) == Addr.parse("fd00::7f")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"cidr": "nonsense"}, "not an IP address"),
        ({"allocations": (None,)}, "1 allocations for 8 addresses"),
        ({"allocations": (9,) + (None,) * 7, "unallocated": tuple(range(1, 8))}, "points to attribute 9 of 2"),
        ({"unallocated": (3, 4, 5, 6)}, "ordinal 7 is free but not queued"),
        ({"unallocated": (2, 3, 4, 5, 6, 7)}, "ordinal 2 is queued as free but is not"),
        ({"unallocated": (3, 4, 5, 6, 7, 7)}, "queued twice"),
        ({"attributes": (AllocationAttribute("a"),) * 2}, "attribute 1 is there twice"),
        ({"attributes": tuple(AllocationAttribute(c) for c in "abc")}, "attribute 2 has no address"),
        ({"sequence_number_for_allocation": {"7": 1}}, "ordinal 7 has sequence number 1, but is free"),
        ({"sequence_number_for_allocation": {"0": 101}}, "later than the block's 100"),
    ],
)
def test_check_names_what_is_wrong(changes, problem):
    assert any(problem in said for said in arithmetic.check(two_owners().__replace__(**changes)))
