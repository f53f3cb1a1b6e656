"""How many chains deep the ruleset may lead: the kernel refuses a whole batch in which one leads too deep."""

import re
from functools import cache

import pytest

from ocicat.dataplane.api import DataplaneConfig
from ocicat.dataplane.managers.router import Managers
from ocicat.dataplane.reconcile.ledger import Ledger
from ocicat.model.base import replace
from ocicat.model.net import Addr
from ocicat.model.wanted import AddressSet, Endpoint, HostEndpoint, Match, PolicyRules, Tier, WantedRule

LEVELS = 15
"""Below a base chain; a jump, a goto and an element of a verdict map lead one level down. The kernel takes 16 with the base chain
(NFT_JUMP_STACK_SIZE), and refuses the next as "Too many links"."""

X = Match(sets=("s:x",))
HIGH = ((1024, 65535),)
KEY = "/calico/resources/v3/projectcalico.org/globalnetworkpolicies/deep"
TIER = Tier("t", "Deny", (KEY,))  # nothing passes, so blocks of peers come back


def rule(action, peer, *, egress, protocol=6, port=None):
    """What asks for the port that a packet comes from is never sure to match: there must be a way on behind it."""
    ports = ((port, port),) if port else ()
    source, destination = (Match(), peer) if egress else (peer, Match())
    from_high = HIGH if protocol == 6 else ()
    return WantedRule(
        action,
        protocol=protocol,
        source=replace(source, ports=from_high),
        destination=replace(destination, ports=ports),
    )


def deep(*, egress):
    """Enough for X and for everybody that protocol and port are looked up for both, and rules without ports left after that. One
    shuts X out, so X has open rules of its own."""
    return (
        *(rule("Allow", X, egress=egress, port=port) for port in range(100, 112)),
        rule("Allow", X, egress=egress),
        *(rule("Allow", Match(), egress=egress, port=port) for port in range(200, 212)),
        rule("Allow", Match(), egress=egress),
        rule("Deny", Match(not_sets=("s:x",)), egress=egress, protocol=17),
    )


@pytest.fixture
def ledger():
    """A host endpoint and a workload, with such a tier in both directions."""
    ledger = Ledger()
    managers = Managers(DataplaneConfig(), ledger)
    managers.endpoints.link_there("ocia", 1)
    for message in (
        AddressSet("s:x", frozenset(map(Addr.parse, ("10.66.0.1", "fd66::1")))),
        PolicyRules(KEY, deep(egress=False), deep(egress=True)),
        Endpoint("/a", "ocia", (Addr.parse("10.65.0.2"),), (), (TIER,), (TIER,)),
        HostEndpoint("/h", "up0", ingress=(TIER,), egress=(TIER,), forward_ingress=(TIER,), forward_egress=(TIER,)),
    ):
        managers.apply(message)
    managers.settle()
    return ledger


def below(ledger, name):
    """The chains that this one leads to."""
    for each in ledger.chain(name).rules:
        yield from re.findall(r"\b(?:jump|goto) (\S+)", each.text)
        for looked_in in re.findall(r"\bvmap @(\S+)", each.text):
            elements = ledger.elements[looked_in]
            for key in elements.all_wanted():
                yield elements.wanted(key).data.chain


def deepest(ledger):
    """Of each base chain the longest way down: the chains on it, itself first."""

    @cache
    def way(name):
        return (name, *max((way(each) for each in below(ledger, name) if each), key=len, default=()))

    return {name: way(name) for name in ledger.chains.updates() if ledger.chain(name).hook}


def test_nothing_leads_deeper_than_the_kernel_takes(ledger):
    levels = {base: len(way) - 1 for base, way in deepest(ledger).items()}
    assert {base: count for base, count in levels.items() if count > LEVELS} == {}
    deep = {base for base, count in levels.items() if count >= 12}
    assert deep == {"input", "forward", "forward-host-in", "forward-host-out", "output", "postrouting"}
