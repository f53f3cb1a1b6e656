"""The walk through a pool: complete, cheap, and different for each host."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocicat.ipam.plan import edges, fnv1a, walk
from ocicat.model.net import Cidr


@pytest.mark.parametrize(("text", "value"), [("", 0x811C9DC5), ("a", 0xE40C292C), ("foobar", 0xBF9CF968)])
def test_the_hash_is_fnv1a(text, value):
    assert fnv1a(text) == value


@pytest.mark.parametrize("pool", ["10.0.0.0/16", "10.0.0.0/25", "10.0.0.0/26"])
def test_the_walk_visits_every_block_once(pool):
    cidr = Cidr.parse(pool)
    visited = list(walk(cidr, 26, "host-1"))
    assert len(visited) == len(set(visited)) == cidr.size // 64
    assert all(cidr.covers(block) for block in visited)


@pytest.mark.parametrize(("pool", "length"), [("10.0.0.0/8", 26), ("fd00::/48", 122), ("::/0", 128)])
def test_a_huge_pool_is_not_enumerated(pool, length):
    cidr = Cidr.parse(pool)
    visited = list(islice(walk(cidr, length, "host-1"), 1000))
    assert len(set(visited)) == 1000
    assert all(cidr.covers(block) and block.length == length for block in visited)


def test_a_host_finds_its_own_way_again():
    cidr = Cidr.parse("10.0.0.0/16")
    assert list(walk(cidr, 26, "a")) == list(walk(cidr, 26, "a"))


def test_a_thousand_hosts_start_apart():
    cidr = Cidr.parse("10.0.0.0/8")
    starts = {next(walk(cidr, 26, f"host-{number}.example.org")) for number in range(1000)}
    assert len(starts) > 990


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 63), st.integers(26, 32)), max_size=6),
    st.lists(st.integers(0, 15), max_size=16),
)
def test_one_of_the_edges_is_free_if_any_block_is(reserved, taken):
    """A pool of 16 blocks of 4 addresses: taken ones, and reserved prefixes of any length that lie anywhere."""
    pool = Cidr.parse("10.0.0.0/26")
    blocks = list(walk(pool, 30, "h"))
    gone = [Cidr.of(pool.nth(place), length) for place, length in reserved]
    used = {Cidr.of(pool.nth(4 * place), 30) for place in taken}

    def is_free(block):
        return block not in used and not all(any(block.nth(n) in cidr for cidr in gone) for n in range(4))

    assert any(map(is_free, edges(pool, 30, [*used, *gone]))) == any(map(is_free, blocks))
