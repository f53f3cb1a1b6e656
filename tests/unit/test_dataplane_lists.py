"""Policies, tiers and lists as chains: what they say, who shares them, and when they are made anew."""

import random
import re
from itertools import pairwise

import pytest

from ocicat.dataplane.api import DataplaneConfig
from ocicat.dataplane.managers.router import Managers
from ocicat.dataplane.reconcile.ledger import Ledger
from ocicat.dataplane.ruleset.guards import Guard
from ocicat.dataplane.ruleset.identity import Decider, prefix
from ocicat.dataplane.ruleset.skeleton import SETS
from ocicat.model.net import Addr, Cidr
from ocicat.model.wanted import (
    AddressSet,
    Endpoint,
    EndpointGone,
    HostEndpoint,
    HostEndpointGone,
    HostSettings,
    LogLimit,
    Match,
    PolicyGone,
    PolicyRules,
    ProfileGone,
    ProfileRules,
    Tier,
    WantedRule,
)

A = Addr.parse("10.65.0.2")
ALLOW, DENY, PASS, LOG = (WantedRule(action) for action in ("Allow", "Deny", "Pass", "Log"))
FROM_X = WantedRule("Allow", source=Match(sets=("s:x",)))
ALLOWED = "meta mark set meta mark | 0x10000000 return"
BEHIND = "meta mark & 0x10000000 != 0 return"
KEY = "/calico/resources/v3/projectcalico.org/networkpolicies/prod/"
WORLD = "/calico/resources/v3/projectcalico.org/globalnetworkpolicies/"


def policy(name, *rules, egress=()):
    return PolicyRules(KEY + name, rules, tuple(egress))


def tier(name, *policies, ends="Deny"):
    return Tier(name, ends, tuple(KEY + each for each in policies))


def endpoint(name, *tiers, profiles=("p",), egress=(), sources=()):
    return Endpoint(f"/{name}", f"oci{name}", (A,), tuple(profiles), tiers, tuple(egress), tuple(sources))


@pytest.fixture
def ledger():
    return Ledger()


@pytest.fixture
def managers(ledger):
    return Managers(DataplaneConfig(), ledger)


def apply(managers, *messages):
    for message in messages:
        managers.apply(message)


def names(ledger, prefix):
    return [name for name in ledger.chains.updates() if name.startswith(prefix)]


def rules(ledger, name):
    """Without what they count by."""
    return [re.sub(r'counter name "c-[0-9a-f]{20}" ?', "", rule.text).strip() for rule in ledger.chain(name).rules]


def ways(ledger, prefix):
    """Every way through the only chain with that prefix, jumps followed: the texts of the rules."""
    (name,) = names(ledger, prefix)
    return followed(ledger, name)


def followed(ledger, name):
    texts = rules(ledger, name)
    return [followed(ledger, text.removeprefix("jump ")) if text.startswith("jump ") else text for text in texts]


def test_a_list_asks_its_tiers_then_its_profiles(managers, ledger):
    apply(managers, policy("a", ALLOW), policy("b", DENY), ProfileRules("p", (ALLOW,), ()))
    apply(managers, endpoint("a", tier("t", "a", "b"), tier("u", "b", ends="Pass")))
    assert ways(ledger, "in-") == [[["accept"], ["drop"], "drop"], [["drop"], "return"], ["accept"], "drop"]


def test_a_policy_is_one_chain_for_all_tiers_and_endpoints_that_name_it(managers, ledger):
    apply(managers, policy("a", ALLOW), policy("b", ALLOW))
    apply(managers, endpoint("a", tier("t", "a")), endpoint("b", tier("t", "a", "b")), endpoint("c", tier("t", "a")))
    assert [len(names(ledger, prefix)) for prefix in ("pi-", "ti-", "in-")] == [2, 2, 2]
    apply(managers, EndpointGone("/b"), EndpointGone("/a"))
    assert [len(names(ledger, prefix)) for prefix in ("pi-", "ti-", "in-")] == [1, 1, 1]
    apply(managers, EndpointGone("/c"))
    assert [len(names(ledger, prefix)) for prefix in ("pi-", "ti-", "in-")] == [0, 0, 0]


def test_a_policy_with_pass_stands_in_its_tier(managers, ledger):
    apply(managers, policy("a", FROM_X, PASS), policy("b", DENY), endpoint("a", tier("t", "a", "b"), profiles=()))
    inlined = [["ip saddr @s4-x accept", "ip6 saddr @s6-x accept", "return", ["drop"], "drop"], "drop"]
    assert ways(ledger, "in-") == inlined
    apply(managers, policy("a", FROM_X))
    jumped = [["ip saddr @s4-x accept", "ip6 saddr @s6-x accept"], ["drop"], "drop"]
    assert ways(ledger, "in-") == [jumped, "drop"]
    apply(managers, policy("a", FROM_X, PASS))
    assert ways(ledger, "in-") == inlined
    assert len(names(ledger, "pi-")) == 1


def test_pass_in_one_direction_leaves_the_other_alone(managers, ledger):
    apply(managers, policy("a", PASS, egress=[ALLOW]))
    apply(managers, endpoint("a", tier("t", "a"), egress=[tier("t", "a")], profiles=()))
    assert ways(ledger, "in-") == [["return", "drop"], "drop"]
    assert ways(ledger, "out-") == [[[ALLOWED], BEHIND, "drop"], BEHIND, "drop"]


def test_a_policy_that_is_not_known_denies_until_it_is(managers, ledger):
    apply(managers, endpoint("a", tier("t", "a"), profiles=()))
    assert ways(ledger, "in-") == [["drop", "drop"], "drop"]
    apply(managers, policy("a", ALLOW))
    assert ways(ledger, "in-") == [[["accept"], "drop"], "drop"]
    apply(managers, PolicyGone(KEY + "a"))
    assert ways(ledger, "in-") == [["drop", "drop"], "drop"]


def test_pass_in_a_profile_goes_on_to_the_next_one(managers, ledger):
    apply(managers, ProfileRules("p", (PASS, DENY), ()), ProfileRules("q", (ALLOW,), ()))
    apply(managers, endpoint("a", profiles=["p", "q"]))
    assert ways(ledger, "in-") == [["return", "drop"], ["accept"], "drop"]


def test_every_rule_says_whose_it_is(managers, ledger):
    apply(managers, policy("a", DENY, FROM_X), endpoint("a", tier("t", "a")))
    (name,) = names(ledger, "pi-")
    assert [rule.note for rule in ledger.chain(name).rules] == [
        "networkpolicies/prod/a 0",
        "networkpolicies/prod/a 1",
        "networkpolicies/prod/a 1",
    ]


@pytest.mark.parametrize(
    ("prefix", "said"),
    [
        ("calico-packet", "calico-packet"),
        ("%t/%k %n %p%% %x", "t/np a prod/a%% %x"),
        ('"; $drop\n', "?; ?drop?"),
    ],
)
def test_what_a_log_rule_writes(managers, ledger, prefix, said):
    apply(managers, policy("a", LOG, ALLOW), endpoint("a", tier("t", "a")), HostSettings(log_prefix=prefix))
    assert ways(ledger, "ti-")[0] == [f'log prefix "{said}" level notice', "accept"]


def test_a_log_rule_of_a_global_policy_and_of_a_profile(managers, ledger):
    apply(managers, HostSettings(log_prefix="%t,%k,%n,%p"), ProfileRules("p", (LOG,), ()))
    apply(managers, PolicyRules(WORLD + "a", (LOG,), ()), endpoint("a", Tier("t", "Deny", (WORLD + "a",))))
    assert followed(ledger, names(ledger, "pri-")[0]) == ['log prefix ",pro,p,p" level notice']
    assert ways(ledger, "pi-") == ['log prefix "t,gnp,a,a" level notice']


STAGED = "/calico/resources/v3/projectcalico.org/stagednetworkpolicies/prod/"


def staged(name, *rules, egress=()):
    return PolicyRules(STAGED + name, rules, tuple(egress), staged=True)


def test_a_staged_policy_is_asked_at_its_place_and_decides_nothing(managers, ledger):
    apply(managers, policy("a", FROM_X), staged("s", LOG, PASS, DENY, ALLOW), policy("b", PASS, DENY))
    tiers = (Tier("t", "Deny", (KEY + "a", STAGED + "s", KEY + "b")), Tier("u", "Pass", (STAGED + "s",)))
    apply(managers, endpoint("a", *tiers, profiles=()))
    asked = ["", "return", "return", "return"]
    assert ways(ledger, "in-") == [
        [["ip saddr @s4-x accept", "ip6 saddr @s6-x accept"], asked, "return", "drop", "drop"],
        [asked, "return"],
        "drop",
    ]


def test_a_staged_rule_that_cannot_be_rendered_would_deny_and_is_a_problem(managers, ledger):
    apply(managers, staged("s", WantedRule("Allow", destination=Match(ports=((1, 2),)))))
    apply(managers, endpoint("a", Tier("t", "Pass", (STAGED + "s",)), profiles=()))
    assert followed(ledger, names(ledger, "pi-")[0]) == ["return"]
    assert "policy snp/prod/s ingress normal 0 Deny" in counted(ledger)
    assert list(managers.policy.problems) == [f"policy {STAGED}s"]


def counted(ledger):
    """The comments of the counters that are wanted."""
    return [ledger.counter(name).comment for name in ledger.counters.updates()]


def named_counters(ledger):
    """By the rules of all chains."""
    texts = [rule.text for name in ledger.chains.updates() for rule in ledger.chain(name).rules]
    return set(re.findall(r'counter name "(c-[0-9a-f]{20})"', " ".join(texts)))


def test_every_rule_and_every_end_counts(managers, ledger):
    apply(managers, ProfileRules("p", (ALLOW,), ()), policy("a", FROM_X, DENY, egress=[PASS]))
    apply(managers, endpoint("a", tier("t", "a"), egress=[tier("t", "a", ends="Pass")]))
    assert sorted(counted(ledger)) == [
        "policy np/prod/a egress normal 0 Pass",
        "policy np/prod/a ingress normal 0 Allow",
        "policy np/prod/a ingress normal 1 Deny",
        "profile p ingress normal 0 Allow",
        "profiles - egress normal end Deny",
        "profiles - ingress normal end Deny",
        "tier t egress normal end Pass",
        "tier t ingress normal end Deny",
    ]
    assert named_counters(ledger) == set(ledger.counters.updates())


def test_before_routing_policy_has_counters_of_its_own_and_ends_have_none(managers, ledger):
    apply(managers, PolicyRules(WORLD + "u", (ALLOW,), ()), PolicyRules(WORLD + "d", (ALLOW,), ()))
    untracked, pre_dnat = (Tier("t", "Pass", (WORLD + each,)) for each in "ud")
    apply(managers, HostEndpoint("/h", "up0", untracked_ingress=(untracked,), pre_dnat=(pre_dnat,)))
    assert sorted(counted(ledger)) == [
        "policy gnp/d ingress pre-dnat 0 Allow",
        "policy gnp/u ingress untracked 0 Allow",
        "profiles - egress normal end Deny",
        "profiles - ingress normal end Deny",
    ]


def test_an_edit_of_a_rule_leaves_the_counters_of_the_others(managers, ledger):
    apply(managers, policy("a", ALLOW, FROM_X), endpoint("a", tier("t", "a")))
    before = set(ledger.counters.updates())
    apply(managers, policy("a", WantedRule("Allow", protocol=6), FROM_X))
    assert set(ledger.counters.updates()) == before
    apply(managers, policy("a", ALLOW, DENY))
    assert len(before - set(ledger.counters.updates())) == 1
    apply(managers, policy("a", ALLOW))
    assert len(set(ledger.counters.updates())) == len(before) - 1


def test_flow_logs_may_be_turned_on_and_off(managers, ledger):
    apply(managers, ProfileRules("p", (DENY,), ()), policy("a", ALLOW), staged("s", DENY))
    apply(managers, endpoint("a", tier("t", "a"), Tier("u", "Pass", (STAGED + "s",))))
    silent = ways(ledger, "in-")
    apply(managers, HostSettings(flow_logs=True))
    assert ways(ledger, "in-") == [
        [['log prefix "API0|np/prod/a" group 1 snaplen 80 accept'], 'log prefix "DPI|t" group 1 snaplen 80 drop'],
        [['log prefix "DPI0|snp/prod/s" group 1 snaplen 80 return'], 'log prefix "PPI|u" group 1 snaplen 80 return'],
        ['log prefix "DRI0|p" group 1 snaplen 80 drop'],
        'log prefix "DRI" group 1 snaplen 80 drop',
    ]
    apply(managers, HostSettings())
    assert ways(ledger, "in-") == silent


def test_whose_a_prefix_is_is_known_as_long_as_the_rule_is_there(managers):
    apply(managers, policy("x" * 99, ALLOW), endpoint("a", tier("t", "x" * 99)))
    (found,) = [each for each in managers.policy.deciders.values() if each.owner == "policy"]
    assert found == Decider("policy", "np/prod/" + "x" * 99, "ingress", "Allow", 0)
    assert managers.policy.deciders[prefix(found)] == found
    apply(managers, EndpointGone("/a"))
    assert managers.policy.deciders == {}


def test_what_log_rules_write_may_be_limited(managers, ledger):
    apply(managers, policy("a", LOG), endpoint("a", tier("t", "a"), profiles=()))
    apply(managers, HostSettings(log_prefix="x", log_limit=LogLimit(9, "hour", 3)))
    assert ways(ledger, "ti-")[0] == ['limit rate 9/hour burst 3 packets log prefix "x" level notice']


def test_what_a_policy_cannot_do_is_its_problem(managers):
    ports = WantedRule("Allow", destination=Match(ports=((1, 2),)))
    apply(managers, policy("a", ALLOW, ports, egress=[ports]))
    assert managers.policy.problems == {}
    apply(managers, endpoint("a", tier("t", "a"), egress=[tier("t", "a")]))
    text = "ports need a protocol that has them, not None"
    assert managers.policy.problems == {f"policy {KEY}a": f"ingress rule 2: {text}; egress rule 1: {text}"}
    apply(managers, policy("a", PASS, ports))
    assert managers.policy.problems == {f"policy {KEY}a": f"ingress rule 2: {text}"}
    apply(managers, policy("a", ALLOW))
    assert managers.policy.problems == {}


def test_the_owner_of_a_chain_is_named(managers, ledger):
    apply(managers, policy("a", ALLOW), ProfileRules("p", (), ()), endpoint("a", tier("t", "a")))
    owners = {managers.policy.owner(name) for name in ledger.chains.updates()}
    assert owners == {"", f"policy {KEY}a", "profile p", "tier t"}


def test_rules_follow_a_set_to_its_other_name(managers, ledger):
    apply(managers, AddressSet("s:x", frozenset([A])), policy("a", FROM_X), endpoint("a", tier("t", "a")))
    assert ways(ledger, "pi-") == ["ip saddr @s4-x accept", "ip6 saddr @s6-x accept"]
    net = frozenset([Cidr.parse("10.0.0.0/8")])
    apply(managers, AddressSet("s:x", nets_added=net))
    assert ways(ledger, "pi-") == ["ip saddr @r4-x accept", "ip6 saddr @s6-x accept"]
    apply(managers, AddressSet("s:x", nets_removed=net))
    assert ways(ledger, "pi-") == ["ip saddr @s4-x accept", "ip6 saddr @s6-x accept"]


def test_an_endpoint_may_send_from_more_than_its_addresses(managers, ledger):
    managers.endpoints.link_there("ocia", 1)
    nets = [Cidr.parse("10.9.0.0/16"), Cidr.parse("::/0"), Cidr.parse("fd09::/64")]
    apply(managers, endpoint("a", sources=nets))
    own = ledger.guards.updates()["ocia"].own
    assert list(map(str, ledger.guards.updates()["ocia"].more)) == ["10.9.0.0/16", "::/0", "fd09::/64"]
    apply(managers, endpoint("a"))
    assert ledger.guards.updates() == {"ocia": Guard(own)}


def test_a_tunnel_from_a_workload_is_dropped_unless_it_is_allowed(managers, ledger):
    tunnels = {"udp dport 4789 drop", "meta l4proto 4 drop"}
    assert tunnels <= set(rules(ledger, "from-workload"))
    assert all("jump from-workload" in rules(ledger, name) for name in ("new-forward", "workload-to-host"))
    apply(managers, HostSettings(vxlan_from_workloads=True, vxlan_port=8472))
    assert "meta l4proto 4 drop" in rules(ledger, "from-workload")
    assert not any("udp dport" in text for text in rules(ledger, "from-workload"))
    apply(managers, HostSettings(ipip_from_workloads=True, vxlan_port=8472))
    assert "udp dport 8472 drop" in rules(ledger, "from-workload")
    assert "meta l4proto 4 drop" not in rules(ledger, "from-workload")


def marks(ledger):
    """All numbers that are said of the packet mark."""
    texts = [rule.text for name in ledger.chains.updates() for rule in ledger.chain(name).rules]
    return {number for text in texts for number in re.findall(r"mark [&|] (0x[0-9a-f]+)", text)}


def to_ports(count):
    return [WantedRule("Allow", protocol=6, destination=Match(ports=((port, port),))) for port in range(count)]


def with_a_peer(rules):
    """Asked about in their midst: where they are many and looked up, its block comes back, and shares a stretch of them."""
    return [*rules[:20], WantedRule("Deny", destination=Match(sets=("s:x",))), *rules[20:]]


def behind_jumps(ledger):
    """Of egress lists: by the kinds of chains from which a jump goes and to which, the rules that stand behind such ones."""
    found = {}
    for name in ledger.chains.updates():
        if name.startswith(("out-", "to-", "fo-", "bo-")):
            for text, following in pairwise([*rules(ledger, name), ""]):
                if text.startswith("jump "):
                    kinds = tuple(each.partition("-")[0] for each in (name, text.removeprefix("jump ")))
                    found.setdefault(kinds, set()).add(following)
    return found


ASKED = {("out", "to"), ("out", "pro"), ("to", "po")}
LOOKED_UP = {("to", "fo"), ("fo", "bo"), ("bo", "bo")}


@pytest.mark.parametrize(("count", "kinds"), [(1, ASKED), (40, ASKED | LOOKED_UP)], ids=["asked", "looked up"])
def test_behind_each_jump_to_what_may_allow_the_allowed_return_further(managers, ledger, count, kinds):
    rules_out = to_ports(count)
    apply(managers, AddressSet("s:x", frozenset([A])), policy("d", egress=with_a_peer(rules_out)))
    apply(managers, policy("a", egress=rules_out), policy("b", egress=[*rules_out, LOG]), policy("c", egress=[ALLOW]))
    tiers = [tier("t", "a", "b", "c"), tier("u", "c"), tier("v", "d")]
    apply(managers, ProfileRules("p", (), (ALLOW,)), endpoint("a", egress=tiers))
    assert behind_jumps(ledger) == {each: {BEHIND} for each in kinds}
    texts = [text for name in ledger.chains.updates() for text in rules(ledger, name) if ALLOWED in text]
    assert len(texts) > 2
    deciding = [*names(ledger, "po-"), *names(ledger, "bo-")]
    assert not any("accept" in text for name in deciding for text in rules(ledger, name))


def test_a_bit_that_is_somebody_elses_is_no_allow_and_ours_is_left_to_nobody(managers, ledger):
    apply(managers, HostEndpoint("/h", "up0"))
    clear = "meta mark & 0x10000000 != 0 meta mark set meta mark & 0xefffffff"
    found = {}
    for name in ledger.chains.updates():
        texts = rules(ledger, name)
        for place, text in enumerate(texts):
            if text in ("jump from-workload", "jump host-out", "jump host-forward-out"):
                found[name] = (texts[place - 1], texts[place + 1])
    assert found == dict.fromkeys(["workload-to-host", "new-forward", "forward-host-out", "from-host"], (clear, clear))


def test_the_mark_is_the_operators_where_there_is_one(managers, ledger):
    apply(managers, policy("a", ALLOW), HostEndpoint("/h", "up0", pre_dnat=(tier("t", "a", ends="Pass"),)))
    apply(managers, AddressSet("s:x", frozenset([A])), policy("b", egress=with_a_peer(to_ports(40))))
    apply(managers, endpoint("a", egress=[tier("t", "b")]))
    assert behind_jumps(ledger).keys() >= LOOKED_UP - {("to", "fo")}
    assert marks(ledger) == {"0x10000000", "0xefffffff"}
    apply(managers, HostSettings(mark=0x10000))
    managers.settle()
    assert marks(ledger) == {"0x00010000", "0xfffeffff"}
    apply(managers, HostSettings())
    managers.settle()
    assert marks(ledger) == {"0x10000000", "0xefffffff"}


POOL = [
    policy("a", FROM_X, PASS, LOG),
    policy("b", ALLOW, WantedRule("Deny", protocol=6, destination=Match(ports=((1, 2), (4, 5))))),
    policy("a", FROM_X),
    PolicyGone(KEY + "a"),
    PolicyGone(KEY + "b"),
    ProfileRules("p", (ALLOW,), (PASS,)),
    ProfileRules("p", (FROM_X,), ()),
    ProfileGone("p"),
    AddressSet("s:x", frozenset([A])),
    AddressSet("s:x", nets_added=frozenset([Cidr.parse("10.0.0.0/8")])),
    AddressSet("s:x", removed=frozenset([A]), nets_removed=frozenset([Cidr.parse("10.0.0.0/8")])),
    HostSettings(log_prefix="a"),
    HostSettings(log_prefix="b"),
    HostSettings(log_limit=LogLimit(1, "day")),
    HostSettings(flow_logs=True),
    staged("s", FROM_X, PASS, LOG),
    staged("s", DENY),
    endpoint("b", Tier("t", "Deny", (STAGED + "s", KEY + "a")), egress=[Tier("u", "Pass", (STAGED + "s",))]),
    HostSettings(mark=0x40),
    endpoint("a", tier("t", "a", "b"), tier("u", "b", ends="Pass")),
    endpoint("a", egress=[tier("t", "b")], profiles=["q", "p"]),
    endpoint("b", tier("t", "a", "b")),
    EndpointGone("/a"),
    EndpointGone("/b"),
    HostEndpoint("/h", "up0", ("p",), (tier("t", "a"),), forward_ingress=(tier("t", "b"),)),
    HostEndpoint("/h", "up0", untracked_ingress=(tier("t", "b", ends="Pass"),)),
    HostEndpoint("/every", "*", ("q",), pre_dnat=(tier("t", "a", ends="Pass"),)),
    HostEndpointGone("up0"),
    HostEndpointGone("*"),
]


def last_of_each(messages):
    """The messages that say the state there is after all of them; address sets apart, which are kept whole."""
    keep = {}
    for number, message in enumerate(messages):
        match message:
            case AddressSet():
                keep["set", number] = message
            case PolicyRules(policy_id=key) | PolicyGone(policy_id=key):
                keep["policy", key] = message
            case ProfileRules(name=key) | ProfileGone(name=key):
                keep["profile", key] = message
            case Endpoint(key=key) | EndpointGone(key=key):
                keep["endpoint", key] = message
            case HostEndpoint(interface=key) | HostEndpointGone(interface=key):
                keep["host endpoint", key] = message
            case HostSettings():
                keep["settings"] = message
    return list(keep.values())


def chains_after(messages):
    ledger = Ledger()
    managers = Managers(DataplaneConfig(), ledger)
    apply(managers, AddressSet("s:x"), *messages)
    chains = {name: ledger.chain(name) for name in ledger.chains.updates()}
    live = {name: delta.updates() for name, delta in ledger.elements.items() if delta.updates()}
    elements = {name: found for name, found in live.items() if name in ledger.sets.updates()}
    assert named_counters(ledger) == set(ledger.counters.updates())
    return chains, ledger.sets.updates(), elements, managers.policy.problems


@pytest.mark.parametrize("seed", range(100))
def test_only_the_present_state_counts(seed):
    messages = random.Random(seed).choices(POOL, k=30)
    shuffled = last_of_each(messages)
    sets = [message for message in shuffled if isinstance(message, AddressSet)]
    others = [message for message in shuffled if not isinstance(message, AddressSet)]
    assert chains_after(messages) == chains_after([*sets, *random.Random(seed).sample(others, len(others))])


@pytest.mark.parametrize("seed", range(20))
def test_when_everything_is_gone_the_skeleton_is_left(seed):
    messages = random.Random(seed).choices(POOL, k=30)
    gone = [
        *map(EndpointGone, ("/a", "/b")),
        *map(HostEndpointGone, ("up0", "*")),
        ProfileGone("p"),
        *(PolicyGone(KEY + name) for name in "ab"),
        PolicyGone(STAGED + "s"),
    ]
    chains, sets, elements, _ = chains_after([*messages, *gone, HostSettings()])
    assert chains == chains_after([])[0]
    assert {name for name in sets if name[:3] not in ("s4-", "s6-", "r4-")} == {spec.name for spec in SETS}
    assert set(elements) <= {"s4-x", "r4-x"}


@pytest.mark.parametrize("seed", range(50))
def test_no_chain_names_one_that_is_not_there(seed):
    chains, sets, elements, _ = chains_after(random.Random(seed).choices(POOL, k=30))
    for chain in chains.values():
        for rule in chain.rules:
            words = rule.text.split()
            assert all(words[at + 1] in chains for at, word in enumerate(words) if word in ("jump", "goto"))
            assert all(word[1:] in sets for word in words if word.startswith("@"))
    ways = [element.data.chain for found in elements.values() for element in found.values() if element.data]
    assert set(ways) <= chains.keys()
