"""Rules compiled to lookups decide as the first one that matches, and say which it was; also after members have come and gone."""

from __future__ import annotations

import os
import time
from unittest.mock import patch

from flat_naive import ADDRESSES, SETS, Asked, Random

from ocicat.dataplane.ruleset.flat import blocks, peers
from ocicat.dataplane.ruleset.flat.compiled import Compiled
from ocicat.dataplane.ruleset.rules import action

_SECONDS = float(os.environ.get("OCICAT_FUZZ_S", "4"))


def cases():
    """As many as there is time for: random numbers, and what is asked of them."""
    seed = int(os.environ.get("OCICAT_SEED", time.time_ns() % 1_000_000 * 1000))
    print(f"OCICAT_SEED={seed}")
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        random = Random(seed)
        direction, family = random.choice(("ingress", "egress")), random.choice((4, 6))
        asked = Asked(random.world(), random.rules(), direction, family, returns=random.random() < 0.5)
        with patch.object(blocks, "SHORT", random.choice((0, 1, 3, 8))):  # lookups also in lists that are not long
            yield f"OCICAT_SEED={seed}", random, asked
        seed += 1


def compiled(asked):
    return Compiled(asked.listed(), asked.family, asked.members, asked.make, returns=asked.returns)


def test_the_first_rule_that_matches_decides():
    for case, random, asked in cases():
        found = compiled(asked)
        for _ in range(20):
            packet = random.packet(asked.family)
            assert asked.found(found, packet) == asked.world.first(asked.rules, packet), (case, packet)


def test_with_little_room_the_verdict_is_still_exact():
    for case, random, asked in cases():
        room = patch.multiple(peers, _ROOM_EACH=random.randint(0, 2), _ROOM=random.randint(0, 20))
        with room:
            found = compiled(asked)
        for _ in range(20):
            packet = random.packet(asked.family)
            index, expected = asked.found(found, packet), asked.world.first(asked.rules, packet)
            assert verdict(asked, index) == verdict(asked, expected), (case, packet)


def verdict(asked, index):
    return None if index is None else action(asked.rules[index])


def test_members_that_move_find_what_a_list_made_anew_says():
    for case, random, asked in cases():
        found = compiled(asked)
        for _ in range(random.randint(1, 4)):
            move(random, asked, found)
        again = compiled(asked)
        assert words(asked, found) == words(asked, again), case
        for _ in range(10):
            packet = random.packet(asked.family)
            assert asked.found(found, packet) == asked.world.first(asked.rules, packet), (case, packet)


def move(random, asked, found):
    set_id, addresses = random.choice(SETS), ADDRESSES[asked.family]
    come = set(random.sample(addresses, random.randint(0, 4)))
    gone = set(random.sample(addresses, random.randint(0, 4))) - come
    hosts, _ = asked.world.sets[set_id]
    hosts |= come
    hosts -= gone
    before = dict(found.hosts)
    changes = found.moved(set_id, [each.value for each in come], [each.value for each in gone])
    after = {host: now for host, now in found.hosts.items() if before.get(host) != now}
    assert {host: now for host, (_, now) in changes.items()} == after | dict.fromkeys(
        before.keys() - found.hosts.keys()
    )
    assert all(before.get(host) == was for host, (was, _) in changes.items())


def words(asked, compiled):
    return {host: asked.spelled(place) for host, place in compiled.hosts.items()}
