"""Wanted messages to kernel objects: what the ledger wants after them, whatever their order."""

import random

import pytest

from ocicat.dataplane.api import DataplaneConfig
from ocicat.dataplane.managers.router import Managers
from ocicat.dataplane.reconcile.ledger import Claims, Ledger
from ocicat.dataplane.ruleset import identity
from ocicat.dataplane.ruleset.guards import CLOSED, Guard
from ocicat.dataplane.ruleset.identity import Decider, counter
from ocicat.dataplane.ruleset.objects import SetSpec
from ocicat.dataplane.ruleset.skeleton import FROM_WORKLOAD, SETS, TO_WORKLOAD
from ocicat.model.net import Addr, Cidr
from ocicat.model.wanted import (
    AddressSet,
    AddressSetGone,
    BlockGone,
    Endpoint,
    EndpointGone,
    HostEndpoint,
    HostEndpointGone,
    InSync,
    LocalBlock,
    Match,
    PolicyRules,
    ProfileGone,
    ProfileRules,
    RemoteBlock,
    Revision,
    Tier,
    WantedRule,
)
from ocicat.netlink.inet import prefix
from ocicat.netlink.nftset import Element, key_ifname
from ocicat.netlink.route import BLACKHOLE

A, B = Addr.parse("10.65.0.2"), Addr.parse("10.65.0.3")
ENDED = f'counter name "{counter(Decider("profiles", "", "ingress", "Deny")).name}" drop'
PORTS = WantedRule("Allow", protocol=6, destination=Match(ports=((80, 80), (90, 91))))


def endpoint(name="a", *addresses, interface=None, profiles=("p",)):
    return Endpoint(f"/{name}", interface or f"oci{name}", addresses or (A,), tuple(profiles))


@pytest.fixture
def ledger():
    return Ledger()


@pytest.fixture
def managers(ledger):
    return Managers(DataplaneConfig(), ledger)


def apply(managers, *messages):
    for message in messages:
        managers.apply(message)


def wanted(ledger):
    """All that is wanted, as one comparable value."""
    live = set(ledger.sets.updates())
    elements = {name: delta.updates() for name, delta in ledger.elements.items() if name in live and delta.updates()}
    return ledger.chains.updates(), ledger.sets.updates(), elements, ledger.routes.updates()


def chains(ledger, prefix):
    return [ledger.chain(name) for name in ledger.chains.updates() if name.startswith(prefix)]


def routes(ledger):
    return {str(dst): route for dst, route in ledger.routes.updates().items()}


FROM_X = ProfileRules("from-x", (WantedRule("Allow", source=Match(sets=("s:x",))),), ())


def test_long_prefix_is_known_while_some_hook_uses_it(managers):
    """A policy that goes from one hook to another has the same prefix at both."""
    policy_id = f"/calico/resources/v3/projectcalico.org/globalnetworkpolicies/{'x' * 80}"
    asked = (Tier("t", "Deny", (policy_id,)),)
    apply(managers, PolicyRules(policy_id, (WantedRule("Deny"),), ()))
    for hook, host in (
        ("normal", HostEndpoint("/h", "up0", (), ingress=asked)),
        ("untracked", HostEndpoint("/h", "up0", (), untracked_ingress=asked)),
        ("normal", HostEndpoint("/h", "up0", (), ingress=asked)),
    ):
        apply(managers, host)
        decider = Decider("policy", f"gnp/{'x' * 80}", "ingress", "Deny", 0, hook)
        assert managers.policy.deciders.get(identity.prefix(decider)) == decider
    apply(managers, HostEndpointGone("up0"))
    assert not managers.policy.deciders


def test_members_go_to_the_set_of_their_family(managers, ledger):
    apply(managers, AddressSet("s:x", frozenset([A, Addr.parse("fd00::2")])), FROM_X)
    apply(managers, AddressSet("s:x", removed=frozenset([A])))
    assert set(ledger.sets.updates()) >= {"s4-x", "s6-x"}
    assert list(ledger.elements["s4-x"].updates()) == []
    assert list(ledger.elements["s6-x"].updates()) == [Addr.parse("fd00::2").pack()]


def test_a_set_that_comes_back_loses_what_left_it_before_it_went():
    """In the kernel too, which still has it."""
    ledger, spec, element = Ledger(), SetSpec("s4-x", "ipv4_addr"), Element(bytes(4))
    ledger.want_set(spec, [element])
    ledger.sets.now_there(spec.name, spec)
    ledger.changed_elements(spec.name, (), [element])
    ledger.dirty.clear()
    ledger.unwant_element(spec.name, element.key)
    ledger.unwant_set(spec.name)
    ledger.want_set(spec)
    assert spec.name in ledger.dirty
    assert ledger.elements[spec.name].deletes(sweep=False) == [element.key]


def test_a_set_that_comes_back_starts_empty(managers, ledger):
    apply(managers, AddressSet("s:x", frozenset([A])), FROM_X, AddressSetGone("s:x"), AddressSet("s:x", frozenset([B])))
    assert list(ledger.elements["s4-x"].updates()) == [B.pack()]


def test_an_endpoint_without_interface_has_chains_only(managers, ledger):
    apply(managers, endpoint())
    assert len(chains(ledger, "in-")) == len(chains(ledger, "out-")) == 1
    assert not ledger.elements[FROM_WORKLOAD].updates()
    assert not ledger.routes.updates()
    assert not managers.endpoints.settled("/a")


def test_an_interface_brings_dispatch_sources_and_routes(managers, ledger):
    apply(managers, endpoint("a", A, B))
    managers.endpoints.link_there("ocia", 7)
    for name, list_prefix in ((FROM_WORKLOAD, "out-"), (TO_WORKLOAD, "in-")):
        verdict = ledger.elements[name].updates()[key_ifname("ocia")].data
        assert verdict.chain == chains(ledger, list_prefix)[0].name
    assert ledger.guards.updates() == {"ocia": Guard((A.pack(), B.pack()))}
    assert {dst: route.oif for dst, route in routes(ledger).items()} == {"10.65.0.2/32": 7, "10.65.0.3/32": 7}


def test_an_interface_that_goes_takes_them_along(managers, ledger):
    managers.endpoints.link_there("ocia", 7)
    apply(managers, endpoint())
    managers.endpoints.link_gone("ocia")
    assert not ledger.elements[FROM_WORKLOAD].updates()
    assert not ledger.guards.updates()
    assert not ledger.routes.updates()


def test_an_interface_made_for_another_endpoint_is_not_taken(managers, ledger):
    apply(managers, endpoint("a", A), endpoint("b", B, interface="ocia"))
    managers.endpoints.link_there("ocia", 7, "/b")
    assert set(routes(ledger)) == {"10.65.0.3/32"}
    assert managers.endpoints.fault("/a") == "interface ocia was made for /b"
    assert managers.endpoints.fault("/b") == ""
    assert managers.endpoints.find("ocia").key == "/b"


def test_who_lost_an_address_to_another_endpoint_is_told(managers):
    for index, name in enumerate("ab", 1):
        managers.endpoints.link_there(f"oci{name}", index)
    apply(managers, endpoint("a", A), endpoint("b", A))
    assert managers.endpoints.fault("/a") == ""
    assert managers.endpoints.fault("/b") == "10.65.0.2/32 is the address of /a"
    apply(managers, EndpointGone("/a"))
    assert managers.endpoints.fault("/b") == ""


def test_an_address_is_held_from_its_next_owner_until_it_is_released(managers, ledger):
    for index, name in enumerate("ab", 1):
        managers.endpoints.link_there(f"oci{name}", index)
    apply(managers, endpoint("a", A), EndpointGone("/a"), endpoint("b", A))
    assert managers.endpoints.held == {A.pack()}
    assert not routes(ledger)
    managers.endpoints.release(A.pack())
    assert routes(ledger)["10.65.0.2/32"].oif == 2
    assert managers.endpoints.held == set()


def test_an_address_that_an_endpoint_keeps_is_not_held(managers):
    managers.endpoints.link_there("ocia", 1)
    apply(managers, endpoint("a", A, B), endpoint("a", A, profiles=["q"]))
    managers.endpoints.link_there("ocia", 2)
    assert managers.endpoints.held == {B.pack()}


def test_endpoints_with_the_same_profiles_share_chains(managers, ledger):
    apply(managers, endpoint("a", A), endpoint("b", B), endpoint("c", B, profiles=["p", "q"]))
    assert len(chains(ledger, "in-")) == 2
    apply(managers, EndpointGone("/a"), EndpointGone("/c"))
    assert len(chains(ledger, "in-")) == 1
    apply(managers, EndpointGone("/b"))
    assert chains(ledger, "in-") == []


def test_a_list_ends_where_a_profile_is_missing(managers, ledger):
    apply(managers, endpoint(profiles=["p", "q"]), ProfileRules("q", (), ()))
    assert [rule.note for rule in chains(ledger, "in-")[0].rules] == ["profile p does not exist"]
    apply(managers, ProfileRules("p", (), ()))
    jumps = [rule.text for rule in chains(ledger, "in-")[0].rules]
    names = {chain.comment: chain.name for chain in chains(ledger, "pri-")}
    assert jumps == [f"jump {names['ingress of profile p']}", f"jump {names['ingress of profile q']}", ENDED]
    apply(managers, ProfileGone("p"), ProfileGone("q"))
    assert [rule.text for rule in chains(ledger, "in-")[0].rules] == [ENDED]


def test_an_interval_set_lives_as_long_as_a_rule_looks_in_it(managers, ledger):
    apply(managers, ProfileRules("p", (PORTS,), (PORTS,)), ProfileRules("q", (PORTS,), ()))
    (name,) = [name for name in ledger.sets.updates() if name.startswith("p-")]
    apply(managers, ProfileGone("p"))
    assert name in ledger.sets.updates()
    apply(managers, ProfileRules("q", (), ()))
    assert name not in ledger.sets.updates()


def test_what_a_profile_cannot_do_is_its_problem_until_it_changes(managers):
    apply(
        managers, ProfileRules("p", (WantedRule("Allow"), WantedRule("Deny", destination=Match(ports=((1, 2),)))), ())
    )
    assert managers.policy.problems == {"profile p": "ingress rule 2: ports need a protocol that has them, not None"}
    apply(managers, ProfileRules("p", (), ()))
    assert managers.policy.problems == {}


def test_blocks_are_routes(managers, ledger):
    remote, local = Cidr.parse("10.65.1.0/26"), Cidr.parse("10.65.0.0/26")
    apply(managers, RemoteBlock(remote, Addr.parse("10.0.0.2")), LocalBlock(local))
    assert routes(ledger)["10.65.1.0/26"].gateway == bytes([10, 0, 0, 2])
    assert routes(ledger)["10.65.0.0/26"].kind == BLACKHOLE
    apply(managers, RemoteBlock(local, Addr.parse("10.0.0.3")), BlockGone(remote))
    assert {dst: route.gateway[-1] for dst, route in routes(ledger).items()} == {"10.65.0.0/26": 3}


def test_an_address_that_moves_between_endpoints_is_never_lost(managers, ledger):
    for index, name in enumerate("ab", 1):
        managers.endpoints.link_there(f"oci{name}", index)
    for messages in ([endpoint("a", A), endpoint("b", A)], [EndpointGone("/a")]):
        apply(managers, *messages)
        assert "10.65.0.2/32" in routes(ledger)
    assert ledger.routes.wanted(prefix("10.65.0.2/32")).oif == 2


def test_a_block_of_one_address_yields_to_the_endpoint_that_has_it(managers, ledger):
    managers.endpoints.link_there("ocia", 1)
    apply(managers, endpoint("a", A), LocalBlock(A.cidr()))
    assert routes(ledger)["10.65.0.2/32"].oif == 1
    apply(managers, EndpointGone("/a"))
    assert routes(ledger)["10.65.0.2/32"].kind == BLACKHOLE


def test_applying_twice_changes_nothing(managers, ledger):
    managers.endpoints.link_there("ocia", 1)
    messages = [AddressSet("s:x", frozenset([A])), ProfileRules("p", (PORTS,), ()), endpoint(), LocalBlock(A.cidr())]
    apply(managers, *messages)
    once = wanted(ledger)
    apply(managers, *messages)
    assert wanted(ledger) == once


STATE = [
    *(AddressSet(f"s:{name}", frozenset([A, B])) for name in "xy"),
    *(ProfileRules(name, (PORTS, WantedRule("Allow", source=Match(sets=("s:x",)))), ()) for name in "pq"),
    *(
        endpoint(name, Addr(4, i), profiles=profiles)
        for i, (name, profiles) in enumerate(zip("abc", ("p", "pq", "x"), strict=True))
    ),
    LocalBlock(Cidr.parse("10.65.0.0/26")),
    RemoteBlock(Cidr.parse("10.65.1.0/26"), B),
]
LINKS = [("ocia", 3), ("ocib", 4)]


@pytest.mark.parametrize("seed", range(20))
def test_the_order_of_messages_and_interfaces_does_not_matter(seed):
    def state(steps):
        ledger = Ledger()
        managers = Managers(DataplaneConfig(), ledger)
        for step in steps:
            managers.endpoints.link_there(*step) if isinstance(step, tuple) else managers.apply(step)
        return wanted(ledger)

    steps = [*STATE, *LINKS]
    assert state(random.Random(seed).sample(steps, len(steps))) == state(steps)


GOVERNED = HostEndpoint(
    "/h",
    "up0",
    (),
    untracked_ingress=(Tier("t", "Deny", ("x",)),),
    pre_dnat=(Tier("t", "Deny", ("x",)),),
)
STAGES = {"prerouting", "pre-dnat", "forward-host-in", "forward-host-out", "untracked-out", "postrouting"}


def base_chains(ledger):
    return {name for name, shape in ledger.chains.updates().items() if shape.hook}


def loaded(ledger):
    for name, shape in ledger.chains.updates().items():
        ledger.chains.now_there(name, shape)


def test_the_stages_of_host_endpoints_are_wanted_with_the_first_of_these(managers, ledger):
    workloads = base_chains(ledger)
    apply(managers, GOVERNED)
    assert base_chains(ledger) - workloads == STAGES
    apply(managers, HostEndpointGone("up0"))
    assert (base_chains(ledger), ledger.idle) == (workloads, set())


def test_a_stage_that_is_there_loses_its_rules_before_it_goes(managers, ledger):
    apply(managers, GOVERNED)
    loaded(ledger)
    apply(managers, HostEndpointGone("up0"))
    assert ledger.idle == STAGES
    assert all(not ledger.chains.updates()[name].marks for name in STAGES)
    apply(managers, GOVERNED)
    assert not ledger.idle
    assert not ledger.chains.pending


def test_everything_gone_leaves_the_skeleton(managers, ledger):
    before = wanted(ledger)
    managers.endpoints.link_there("ocia", 1)
    apply(managers, *STATE)
    apply(managers, *(EndpointGone(f"/{name}") for name in "abc"), ProfileGone("p"), ProfileGone("q"))
    apply(managers, AddressSetGone("s:x"), AddressSetGone("s:y"))
    apply(managers, BlockGone(Cidr.parse("10.65.0.0/26")), BlockGone(Cidr.parse("10.65.1.0/26")))
    assert wanted(ledger) == before
    assert set(ledger.sets.updates()) == {spec.name for spec in SETS}


def test_sync_and_revision_are_noted(managers):
    apply(managers, InSync(), Revision(7), Revision(9))
    assert (managers.in_sync, managers.revision) == (True, 9)


def test_the_first_owner_by_name_wins_and_the_last_releases():
    claims = Claims()
    assert claims.claim("b", "key", 2) == 2
    assert claims.claim("a", "key", 1) == 1
    assert claims.release("a", "key") == 2
    assert claims.release("b", "key") is None
    assert claims.release("b", "key") is None


def test_an_endpoint_that_goes_has_its_flows_ended_though_its_interface_went_before_anybody_looked(managers):
    apply(managers, endpoint("a", A), EndpointGone("/a"))
    assert managers.endpoints.held == {A.pack()}


def test_what_nobody_has_is_closed_when_all_is_known_and_a_dying_interface_at_once(managers, ledger):
    apply(managers, endpoint("a", A))
    for name in ("ocia", "ocix"):
        managers.endpoints.link_there(name, 7)
    assert ledger.guards.updates() == {"ocia": Guard((A.pack(),))}
    managers.endpoints.link_dying("ocid")
    apply(managers, InSync())
    managers.endpoints.link_there("ociy", 8)
    assert ledger.guards.updates() == {"ocia": Guard((A.pack(),)), "ocid": CLOSED, "ocix": CLOSED, "ociy": CLOSED}
    apply(managers, EndpointGone("/a"))
    managers.endpoints.link_gone("ocix")
    assert ledger.guards.updates() == {"ocia": CLOSED, "ocid": CLOSED, "ociy": CLOSED}


def test_an_endpoint_is_not_in_force_without_its_guard(managers, ledger):
    managers.endpoints.link_there("ocia", 7)
    apply(managers, ProfileRules("p", (), ()), endpoint("a", A))
    loaded(ledger)
    for name in (FROM_WORKLOAD, TO_WORKLOAD):
        ledger.changed_elements(name, (), ledger.elements[name].updates().values())
    for there, settled in ((CLOSED, False), (Guard((A.pack(),), intact=False), False), (Guard((A.pack(),)), True)):
        ledger.guards.now_there("ocia", there)
        assert managers.endpoints.settled("/a") is settled
