"""Tiers that are looked up decide, count and log as the same tiers in chains, whatever else stands between, before and after."""

from __future__ import annotations

import os
import random
import time
from unittest.mock import patch

from nft_walk import Packet, walk

from ocicat.dataplane.api import DataplaneConfig
from ocicat.dataplane.managers.router import Managers
from ocicat.dataplane.reconcile.ledger import Ledger
from ocicat.dataplane.ruleset.flat import blocks
from ocicat.model.base import replace
from ocicat.model.net import Addr, Cidr
from ocicat.model.wanted import AddressSet, Endpoint, Match, PolicyRules, ProfileRules, Tier, WantedRule

_SECONDS = float(os.environ.get("OCICAT_FUZZ_S", "4"))
KEY = "/calico/resources/v3/projectcalico.org/networkpolicies/prod/"
STAGED = "/calico/resources/v3/projectcalico.org/stagednetworkpolicies/prod/"
HOSTS = [Addr.parse(f"10.0.0.{number}") for number in range(6)] + [Addr.parse(f"fd00::{number}") for number in range(3)]
NETS = [Cidr.parse(text) for text in ("10.0.0.0/30", "10.0.0.4/31", "0.0.0.0/0", "fd00::/127")]
SETS = ("s:x", "s:y", "s:z")
NOWHERE = 10**9


def test_what_is_looked_up_does_what_chains_do():
    seed = int(os.environ.get("OCICAT_SEED", time.time_ns() % 1_000_000 * 1000))
    end, asked = time.monotonic() + _SECONDS, 0
    while time.monotonic() < end:
        choose = random.Random(seed)
        messages = [*state(choose)]
        with patch.object(blocks, "SHORT", choose.choice((0, 1, 8))):
            looked_up = ledger(messages, flat_from=choose.choice((1, 1, 2, 4)))
        in_chains = ledger(messages, flat_from=NOWHERE)
        for packet in (any_packet(choose) for _ in range(12)):
            for way in ("in-", "out-"):
                found, expected = (walk(each, chain(each, way), packet) for each in (looked_up, in_chains))
                assert found == expected, f"OCICAT_SEED={seed}: {way} {packet} of {messages}"
                asked += 1
        seed += 1
    assert asked > 100


def ledger(messages, flat_from):
    made = Ledger()
    managers = Managers(DataplaneConfig(flat_from=flat_from), made)
    for message in messages:
        managers.apply(message)
    managers.settle()
    return made


def chain(ledger, prefix):
    (name,) = (name for name in ledger.chains.all_wanted() if name.startswith(prefix) and len(name) > 20)
    return name


def state(choose):
    for each in SETS:
        nets = frozenset(choose.sample(NETS, choose.choice((0, 0, 1))))
        yield AddressSet(each, frozenset(choose.sample(HOSTS, choose.randint(0, 5))), nets_added=nets)
    tiers = [Tier(name, choose.choice(("Deny", "Pass")), tuple(policies(choose, name))) for name in ("t", "u")]
    for tier in tiers:
        for name in tier.policies:
            yield PolicyRules(name, rules(choose), rules(choose), staged=name.startswith(STAGED))
    yield ProfileRules("open", (WantedRule("Allow"),), (WantedRule("Allow"),))
    yield Endpoint("/a", "ocia", (HOSTS[0],), choose.choice((("open",), ())), tuple(tiers))


def policies(choose, tier):
    for number in range(choose.randint(1, 4)):
        yield f"{STAGED if choose.random() < 0.15 else KEY}{tier}{number}"


def rules(choose):
    return tuple(rule(choose) for _ in range(choose.randint(0, 5)))


def rule(choose):
    ports = tuple((port, port) for port in choose.sample(range(80, 84), choose.choice((0, 0, 1))))
    return WantedRule(
        choose.choice(
            ("Allow", "Allow", "Deny", "Deny", "Pass", "Log") if choose.random() < 0.3 else ("Allow", "Deny")
        ),
        protocol=choose.choice((6, 17)) if ports or choose.random() < 0.2 else None,
        source=side(choose),
        destination=Match(ports=ports) if choose.random() < 0.6 else replace(side(choose), ports=ports),
    )


def side(choose):
    return choose.choice((
        Match(), Match(sets=(choose.choice(SETS),)), Match(sets=SETS[:2]), Match(not_sets=(choose.choice(SETS),)),
        Match(nets=(choose.choice(NETS),)), Match(not_nets=(choose.choice(NETS[:2]),)),
    ))  # fmt: skip


def any_packet(choose):
    family = choose.choice((4, 4, 6))
    source, destination = choose.choices([each for each in HOSTS if each.family == family], k=2)
    return Packet(source, destination, choose.choice((6, 6, 17, 1)), choose.randint(79, 84))
