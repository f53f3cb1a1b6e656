"""Rules compiled to lookups decide as the first one that matches, and say which it was; also after members have come and gone."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from flat_naive import ADDRESSES, SETS, Asked, packets, rules, worlds
from hypothesis import given, settings
from hypothesis import strategies as st

from ocicat.dataplane.flat import blocks, peers
from ocicat.dataplane.flat.blocks import TooMuch
from ocicat.dataplane.flat.compiled import Compiled
from ocicat.dataplane.rules import action

lists = st.lists(rules(), min_size=1, max_size=14)
directions = st.sampled_from(["ingress", "egress"])
families = st.sampled_from([4, 6])
short = st.sampled_from([0, 1, 3, 8])


def small(size, room=(4, 256)):
    """Lookups also in lists that are not long, and little room."""
    return (
        patch.object(blocks, "SHORT", size),
        patch.object(peers, "_ROOM_EACH", room[0]),
        patch.object(peers, "_ROOM", room[1]),
    )


def compiled(asked):
    return Compiled(asked.listed(), asked.family, asked.members, asked.make)


@settings(max_examples=400, deadline=None)
@given(worlds, lists, directions, families, short, st.data())
def test_the_first_rule_that_matches_decides(world, listed, direction, family, size, data):
    asked = Asked(world, listed, direction, family)
    with small(size)[0]:
        found = compiled(asked)
    for packet in data.draw(st.lists(packets(family), min_size=1, max_size=12)):
        assert asked.found(found, packet) == world.first(listed, packet), packet


@settings(max_examples=400, deadline=None)
@given(worlds, lists, directions, families, short, st.tuples(st.integers(0, 2), st.integers(0, 20)), st.data())
def test_with_little_room_the_verdict_is_still_exact(world, listed, direction, family, size, room, data):
    asked = Asked(world, listed, direction, family)
    first, second, third = small(size, room)
    with first, second, third:
        found = compiled(asked)
    for packet in data.draw(st.lists(packets(family), min_size=1, max_size=12)):
        index, expected = asked.found(found, packet), world.first(listed, packet)
        assert verdict(listed, index) == verdict(listed, expected), packet


def verdict(listed, index):
    return None if index is None else action(listed[index])


moves = st.lists(
    st.tuples(st.sampled_from(SETS), st.frozensets(st.integers(0, 7)), st.frozensets(st.integers(0, 7))), max_size=4
)


@settings(max_examples=250, deadline=None)
@given(worlds, lists, directions, families, short, moves, st.data())
def test_members_that_move_find_what_a_list_made_anew_would_say(world, listed, direction, family, size, moved, data):
    asked = Asked(world, listed, direction, family)
    with small(size)[0]:
        found = compiled(asked)
        for set_id, added, removed in moved:
            come = [ADDRESSES[family][each] for each in added]
            gone = [ADDRESSES[family][each] for each in removed - added]
            world.sets[set_id][0].update(come)
            world.sets[set_id][0].difference_update(gone)
            found.moved(set_id, [each.value for each in come], [each.value for each in gone])
        again = compiled(asked)
    assert {host: asked.blocks[place] for host, place in found.hosts.items()}.keys() == again.hosts.keys()
    for packet in data.draw(st.lists(packets(family), min_size=1, max_size=12)):
        assert asked.found(found, packet) == world.first(listed, packet) == asked.found(again, packet)
