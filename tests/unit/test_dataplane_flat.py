"""Tiers of many rules: what is looked up and what stands in chains; what a change makes anew."""

import random

import pytest

from ocicat.dataplane.api import DataplaneConfig
from ocicat.dataplane.managers.router import Managers
from ocicat.dataplane.reconcile.ledger import Ledger
from ocicat.dataplane.ruleset import lists
from ocicat.dataplane.ruleset.flat.facts import PEER, PORTS, facts, without
from ocicat.dataplane.ruleset.flat.peers import told_apart
from ocicat.model.net import Addr, Cidr
from ocicat.model.wanted import (
    AddressSet,
    Endpoint,
    EndpointGone,
    HostSettings,
    Match,
    PolicyRules,
    Tier,
    WantedRule,
)

KEY = "/calico/resources/v3/projectcalico.org/networkpolicies/prod/"
STAGED = "/calico/resources/v3/projectcalico.org/stagednetworkpolicies/prod/"
ALLOW, DENY, PASS, LOG = (WantedRule(action) for action in ("Allow", "Deny", "Pass", "Log"))
HOSTS = [Addr.parse(f"10.66.0.{number}") for number in range(12)] + [Addr.parse(f"fd66::{n}") for n in range(4)]
NETS = [Cidr.parse(text) for text in ("10.66.0.0/30", "10.66.0.4/30", "10.66.0.0/28", "fd66::/126")]


def tcp(action, *ports, **source):
    return WantedRule(
        action, protocol=6, source=Match(**source), destination=Match(ports=tuple((port, port) for port in ports))
    )


def policy(name, *rules):
    return PolicyRules(KEY + name, rules, ())


def tier(*names, ends="Deny"):
    return Tier("t", ends, tuple(name if "/" in name else KEY + name for name in names))


def endpoint(*tiers, name="a"):
    return Endpoint(f"/{name}", f"oci{name}", (HOSTS[0],), (), tiers)


class State:
    def __init__(self, flat_from=2):
        self.ledger = Ledger()
        self.managers = Managers(DataplaneConfig(flat_from=flat_from), self.ledger)

    def apply(self, *messages):
        for message in messages:
            self.managers.apply(message)
        self.managers.settle()
        return self

    def names(self, prefix):
        return [name for name in self.ledger.chains.updates() if name.startswith(prefix)]

    def texts(self, name):
        return [" ".join(words(rule.text)) for rule in self.ledger.chain(name).rules]

    def said(self, name):
        """A chain, with all that it leads to in place of names; of what is looked up, by key."""
        return [self._followed(text) for text in self.texts(name)]

    def _followed(self, text):
        head, _, name = text.rpartition(" ")
        if head.endswith(("jump", "goto")):
            return (head, self.said(name))
        if head.endswith("vmap"):
            elements = self.ledger.elements[name.removeprefix("@")]
            wanted = (elements.wanted(key) for key in sorted(elements.all_wanted()))
            return (head, [(each.key.hex(), each.key_end.hex(), self.said(each.data.chain)) for each in wanted])
        return text

    @property
    def all(self):
        """Everything that is wanted."""
        chains = {name: self.ledger.chain(name) for name in self.ledger.chains.updates()}
        sets = self.ledger.sets.updates()
        elements = {name: self.ledger.elements[name].updates() for name in sets if self.ledger.elements[name].pending}
        return chains, sets, {name: dict(sorted(each.items())) for name, each in elements.items()}


def words(text):
    """Without the counter."""
    parts = iter(text.split())
    for part in parts:
        if part == "counter":
            next(parts), next(parts)
        else:
            yield part


def tier_of(state):
    (name,) = state.names("ti-")
    return state.said(name)


def test_peers_are_looked_up_and_all_others_come_to_the_open_rules():
    state = State().apply(
        AddressSet("s:x", frozenset(HOSTS[:2])),
        policy(
            "a", tcp("Allow", 80, sets=("s:x",)), WantedRule("Deny", source=Match(nets=(NETS[1],))), tcp("Allow", 22)
        ),
        endpoint(tier("a")),
    )
    rest = ["tcp dport 22 accept", "drop"]
    peers = [(host.pack().hex(), "", ["tcp dport 80 accept"]) for host in HOSTS[:2]]
    looked_up = [
        ("ip saddr vmap", peers),
        ("ip saddr vmap", [("0a420004", "0a420007", ["drop"])]),
        ("ip6 saddr vmap", []),
    ]
    assert tier_of(state) == [("goto", [("jump", looked_up), ("goto", rest)])]


def test_a_rule_for_all_but_some_is_not_for_these():
    state = State().apply(
        AddressSet("s:x", frozenset(HOSTS[:1])),
        AddressSet("s:y", frozenset(HOSTS[:2])),
        policy("a", tcp("Allow", 80, sets=("s:y",)), WantedRule("Deny", source=Match(not_sets=("s:x",)))),
        endpoint(tier("a", ends="Pass")),
    )
    ((_, (four, _, end)),) = tier_of(state)  # no jump: who is shut out comes back from the tier, not to the rule
    shut_out, other = ([*said] for *_, said in four[1])
    assert shut_out == ["tcp dport 80 accept", ("goto", ["return"])]
    assert other == ["tcp dport 80 accept", ("goto", ["drop"])]
    assert end == ("goto", ["drop"])


def test_many_rules_for_all_before_one_for_a_peer_are_shared():
    rules = [tcp("Allow", port) for port in range(1000, 1040)]
    denied = [WantedRule("Deny", source=Match(sets=(f"s:{number}",))) for number in range(4)]
    sets = [AddressSet(f"s:{number}", frozenset([HOSTS[number]])) for number in range(4)]
    state = State().apply(*sets, policy("a", *rules[:20], *denied[:2], *rules[20:], *denied[2:]), endpoint(tier("a")))
    ((_, ((_, (four, _)), _)),) = tier_of(state)
    first, second, third, fourth = (said for *_, said in four[1])
    assert [head for head, _ in first[:1]] == ["jump"]
    assert first[1:] == [*(f"tcp dport {port} accept" for port in range(1016, 1020)), "drop"]
    assert second == first
    assert [head for head, _ in third[:1]] == ["jump"]
    assert third[1:] == [*(f"tcp dport {port} accept" for port in range(1032, 1040)), "drop"]
    assert fourth == third


def test_where_there_is_pass_nothing_comes_back():
    """A return must leave the tier."""
    state = State().apply(
        AddressSet("s:x", frozenset(HOSTS[:1])), policy("a", tcp("Pass", 80, sets=("s:x",)), ALLOW), endpoint(tier("a"))
    )
    four = ("ip saddr vmap", [(HOSTS[0].pack().hex(), "", ["tcp dport 80 return", ("goto", ["accept"])])])
    assert tier_of(state) == [("goto", [four, ("ip6 saddr vmap", []), ("goto", ["accept"])])]


def test_a_run_ends_where_a_rule_only_tells_and_where_a_policy_is_staged():
    state = State().apply(
        policy("a", tcp("Allow", 1), tcp("Deny", 2), LOG, tcp("Allow", 3)),
        PolicyRules(STAGED + "s", (DENY,), (), staged=True),
        policy("b", tcp("Pass", 4), tcp("Deny", 5)),
        policy("c", ALLOW, ALLOW),
        endpoint(tier("a", STAGED + "s", "b", "gone", "c", ends="Pass")),
    )
    first, log, third, staged, *fourth, gone, last = tier_of(state)
    assert first == ("jump", [("goto", ["tcp dport 1 accept", "tcp dport 2 drop"])])
    assert "log" in log
    assert third == "tcp dport 3 accept"
    assert staged == ("jump", ["return"])
    assert fourth == ["tcp dport 4 return", "tcp dport 5 drop"]  # not the last run, so it cannot be jumped to
    assert gone == "drop"
    assert last == ("goto", [("goto", ["accept"])])


def test_protocols_and_ports_are_looked_up():
    rules = [tcp("Allow", port) for port in range(1000, 1020)]
    state = State().apply(policy("a", *rules, WantedRule("Deny", protocol=17)), endpoint(tier("a")))
    ways = [("06", "", None), ("11", "", ["drop"])]
    ((_, ((_, (protocols, end)),)),) = tier_of(state)
    assert end == "drop"
    assert protocols[0] == "meta l4proto vmap"
    assert [key for key, *_ in protocols[1]] == [key for key, *_ in ways]
    ((_, ports), port_end) = protocols[1][0][2]
    assert port_end == "drop"
    assert ports == [(f"{port:04x}", f"{port:04x}", ["accept"]) for port in range(1000, 1020)]


def test_equal_blocks_are_one_chain():
    sets = [AddressSet(f"s:{number}", frozenset([HOSTS[number]])) for number in range(4)]
    rule = tcp("Allow", 80, sets=())
    state = State().apply(
        *sets, policy("a", *[WantedRule("Deny", source=Match(sets=(f"s:{n}",))) for n in range(4)], rule)
    )
    state.apply(endpoint(tier("a")))
    blocks = state.names("bi-")
    assert len(blocks) == 6  # each says whose rule it is; the look-up; the open rules


def test_a_peer_that_moves_changes_its_own_element_only():
    state = State().apply(
        AddressSet("s:x", frozenset(HOSTS[:2])), policy("a", DENY_X, tcp("Allow", 80)), endpoint(tier("a"))
    )
    chains, sets, elements = state.all
    state.apply(AddressSet("s:x", frozenset([HOSTS[2]]), frozenset([HOSTS[0]])))
    chains_now, sets_now, elements_now = state.all
    assert (chains_now, sets_now) == (chains, sets)
    (name,) = (name for name in elements if name.startswith("fh4-"))
    assert elements_now[name].keys() == {HOSTS[1].pack(), HOSTS[2].pack()}


def test_a_combination_that_nobody_has_any_more_leaves_nothing():
    sets = [AddressSet(f"s:{name}", frozenset([host])) for name, host in zip("xy", HOSTS[:2], strict=True)]
    rules = [tcp("Allow", 80, sets=("s:x",)), tcp("Allow", 81, sets=("s:y",))]
    state = State().apply(*sets, policy("a", *rules), endpoint(tier("a")))
    before = state.all
    state.apply(AddressSet("s:x", frozenset([HOSTS[1]])))
    assert state.all[0].keys() != before[0].keys()
    state.apply(AddressSet("s:x", removed=frozenset([HOSTS[1]])))
    assert state.all == before


def many(count):
    return frozenset(Addr(4, HOSTS[0].value + number) for number in range(count))


def test_few_rules_about_many_members_are_not_looked_up():
    rules = [tcp("Allow", 80, sets=("s:x",)), tcp("Allow", 81)]
    state = State().apply(AddressSet("s:x", many(40)), policy("a", *rules), endpoint(tier("a")))
    looked_up = state.all
    assert state.names("fi-")
    state.apply(AddressSet("s:x", many(200)))
    assert not state.names("fi-")
    state.apply(AddressSet("s:x", removed=many(200) - many(40)))
    assert state.all == looked_up
    state.apply(policy("a", tcp("Allow", 80, sets=("s:y",)), *rules[1:]), AddressSet("s:y", many(200)))
    assert not state.names("fi-")
    state.apply(policy("a", *rules))
    assert state.all[0] == looked_up[0]
    state.apply(AddressSet("s:x", many(200)), policy("a", *rules, *[tcp("Allow", 100 + number) for number in range(9)]))
    assert state.names("fi-"), "it is worth it for a longer run"


def test_a_rule_that_only_tells_is_never_looked_up():
    state = State(flat_from=1).apply(policy("a", LOG, ALLOW), endpoint(tier("a")))
    log, looked_up = tier_of(state)
    assert "log" in log
    assert looked_up == ("goto", [("goto", ["accept"])])


DENY_X = WantedRule("Deny", source=Match(sets=("s:x",)))


@pytest.mark.parametrize("seed", range(40))
def test_the_state_does_not_depend_on_the_way_to_it(seed, monkeypatch):
    """Policies, members, nets and settings in random order, with others before them, against the same all at once."""
    choose = random.Random(seed)
    monkeypatch.setattr(lists, "_MEMBERS_PER_RUN", choose.choice((0.5, 64)))
    one, names = State(choose.choice((1, 3))), [f"p{number}" for number in range(5)]
    policies, hosts, nets = {}, {}, {}
    one.apply(endpoint(tier(*names)))
    for _ in range(25):
        name, set_id = choose.choice(names), f"s:{choose.choice('xyz')}"
        match choose.choice(("policy", "hosts", "hosts", "hosts", "nets", "endpoint", "logs")):
            case "policy":
                policies[name] = policy(name, *(any_rule(choose) for _ in range(choose.randint(0, 4))))
                one.apply(policies[name])
            case "hosts":
                come, gone = set(choose.sample(HOSTS, 3)), set(choose.sample(HOSTS, 3))
                hosts[set_id] = (hosts.get(set_id, set()) - gone) | come
                one.apply(AddressSet(set_id, frozenset(come), frozenset(gone)))
            case "nets":
                come, gone = {choose.choice(NETS)}, {choose.choice(NETS)}
                nets[set_id] = (nets.get(set_id, set()) - gone) | come
                one.apply(AddressSet(set_id, nets_added=frozenset(come), nets_removed=frozenset(gone)))
            case "endpoint":
                one.apply(endpoint(tier(*names[1:]), name="b"))
            case "logs":
                one.apply(HostSettings(flow_logs=choose.random() < 0.5))
    one.apply(EndpointGone("/b"), HostSettings())
    other = State(one.managers.book.flat_from)
    members = [
        AddressSet(set_id, frozenset(hosts.get(set_id, ())), nets_added=frozenset(nets.get(set_id, ())))
        for set_id in hosts.keys() | nets.keys()
    ]
    other.apply(HostSettings(), *members, *policies.values(), endpoint(tier(*names)))
    assert one.all == other.all


def any_rule(choose):
    source = choose.choice([
        Match(), Match(sets=("s:x",)), Match(sets=("s:x", "s:y")), Match(not_sets=("s:z",)), Match(nets=(NETS[0],)),
    ])  # fmt: skip
    ports = tuple((port, port) for port in choose.sample(range(80, 84), choose.randint(0, 2)))
    return WantedRule(
        choose.choice(("Allow", "Deny", "Pass", "Log")),
        protocol=choose.choice((6, 17)) if ports else None,
        source=source,
        destination=Match(ports=ports, sets=choose.choice(((), (), ("s:x",)))),
    )


def test_a_port_by_name_is_left_to_the_rule():
    rule = WantedRule("Allow", protocol=6, destination=Match(ports=((80, 80),), named=("h:http",)))
    known = facts(rule, "ingress", 4)
    assert (known.ports, known.more) == (None, True)
    assert without(rule, "ingress", 4, PEER).destination == rule.destination


def test_what_is_known_is_not_asked_again():
    rule = tcp("Allow", 80, sets=("s:x",), not_nets=(NETS[0],))
    assert facts(rule, "ingress", 4).asks == PEER | PORTS
    assert without(rule, "ingress", 4, 0) == WantedRule("Allow")
    assert without(rule, "ingress", 4, PORTS) == tcp("Allow", 80)
    assert facts(rule, "egress", 4).more  # there the source is the workload itself
    assert without(rule, "egress", 4, 0).source == rule.source


def test_peers_are_not_told_apart_by_what_would_cost_too_much():
    rules = [facts(tcp("Allow", 80, sets=(f"s:{number}",)), "ingress", 4) for number in range(100)]
    common = [facts(tcp("Allow", port, sets=("s:all",)), "ingress", 4) for port in range(100)]
    keys = [frozenset((f"s:{number}", "s:all")) for number in range(100)]
    assert told_apart([*rules, *common], keys) == {f"s:{number}" for number in range(100)}
    assert told_apart([*rules, *common[:3]], keys) == {"s:all"} | {f"s:{number}" for number in range(100)}
