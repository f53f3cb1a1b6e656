"""The text for nft, against files that a reader can judge. OCICAT_GOLDEN=write renews them."""

import os
from pathlib import Path

import pytest

from ocicat.dataplane.api import DataplaneConfig
from ocicat.dataplane.managers.router import Managers
from ocicat.dataplane.reconcile.ledger import Ledger
from ocicat.dataplane.ruleset import nftext
from ocicat.dataplane.ruleset.objects import Chain, Rule, SetChange, SetSpec
from ocicat.model.net import Addr, Cidr
from ocicat.model.wanted import (
    AddressSet,
    Endpoint,
    HostEndpoint,
    HostSettings,
    Icmp,
    Limits,
    LogLimit,
    Match,
    OpenPort,
    OutgoingNat,
    PolicyRules,
    PortMapping,
    PortSet,
    ProfileRules,
    Tier,
    WantedRule,
)
from ocicat.netlink.nftset import (
    ACCEPT,
    Element,
    Verdict,
    concat,
    goto,
    key_ifindex,
    key_ifname,
    key_ipv4,
    key_port,
    key_protocol,
)

GOLDEN = Path(__file__).parent.parent / "golden"
WEB = AddressSet("s:web", frozenset([Addr.parse("10.65.0.2")]))
RULES = ProfileRules(
    "web",
    (
        WantedRule("Allow", source=Match(sets=("s:web",))),
        WantedRule("Allow", protocol=6, destination=Match(ports=((80, 80), (8000, 8100)))),
        WantedRule(
            "Deny", source=Match(nets=(Cidr.parse("10.0.0.0/8"), Cidr.parse("192.168.0.0/16"), Cidr.parse("fd00::/8")))
        ),
        WantedRule("Allow", families=(4,), protocol=1),
        WantedRule("Allow", problem="field notSelector is not enforced by this version"),
    ),
    (WantedRule("Deny", destination=Match(nets=(Cidr.parse("169.254.169.254/32"),))), WantedRule("Allow")),
)
KEY = "/calico/resources/v3/projectcalico.org/"
WEB_RULES = (
    WantedRule("Log", source=Match(not_sets=("s:web",)), protocol=6),
    WantedRule("Allow", protocol=6, destination=Match(named=("s:web:6:http",), ports=((8080, 8080),))),
    WantedRule("Deny", source=Match(nets=(Cidr.parse("10.0.0.0/8"),), not_nets=(Cidr.parse("10.65.0.0/16"),))),
    WantedRule("Allow", families=(4,), protocol=1, icmp=Icmp(8, 0)),
)
BASE_RULES = (WantedRule("Pass", source=Match(sets=("s:web",))), WantedRule("Deny", source=Match(sets=("s:far",))))
SAME = (Tier("default", "Deny", (KEY + "globalnetworkpolicies/a",)),)
LOOSE = (Tier("default", "Pass", (KEY + "globalnetworkpolicies/a",)),)
NETS = (Cidr.parse("10.65.0.0/16"), Cidr.parse("fd65::/48"))
HOSTILE = ProfileRules('x" } ; flush ruleset; \n\u00e9', (WantedRule("Allow", problem='"; accept\n'),), ())


def text_for(config, *messages):
    """Everything that these messages ask of nft on an empty host."""
    ledger = Ledger()
    managers = Managers(config, ledger)
    for message in messages:
        managers.apply(message)
    chains = [ledger.chain(name) for name in ledger.chains.updates()]
    counters = [ledger.counter(name) for name in ledger.counters.updates()]
    return nftext.transaction(ledger.sets.updates().values(), chains, counters=counters)


CASES = {
    "base": (DataplaneConfig(),),
    "base-own-addresses": (
        DataplaneConfig(
            host_addresses=(Addr.parse("10.0.0.1"), Addr.parse("fd00::1")),
            agent_ports=(5051, 31000),
            interface_prefix="x",
        ),
    ),
    "profile": (
        DataplaneConfig(),
        WEB,
        RULES,
        Endpoint("/a", "ocia", (Addr.parse("10.65.0.2"),), ("web", "missing")),
        Endpoint("/b", "ocib", (Addr.parse("10.65.0.3"),), ()),
    ),
    "policy": (
        DataplaneConfig(),
        HostSettings(endpoint_to_host="Accept", vxlan_port=8472, ipip_from_workloads=True, log_prefix="%t %k %p"),
        WEB,
        AddressSet("s:far", nets_added=frozenset([Cidr.parse("192.0.2.0/24"), Cidr.parse("2001:db8::/32")])),
        PortSet("s:web:6:http", frozenset([(Addr.parse("10.65.0.2"), 6, 80)])),
        ProfileRules("p", (), (WantedRule("Allow"),)),
        PolicyRules(KEY + "networkpolicies/prod/web", WEB_RULES, ()),
        PolicyRules(KEY + "globalnetworkpolicies/base", BASE_RULES, BASE_RULES[1:]),
        Endpoint(
            "/a",
            "ocia",
            (Addr.parse("10.65.0.2"),),
            ("p",),
            (
                Tier("security", "Pass", (KEY + "globalnetworkpolicies/base",)),
                Tier("default", "Deny", (KEY + "networkpolicies/prod/web",)),
            ),
            (Tier("security", "Pass", (KEY + "globalnetworkpolicies/base",)),),
            (Cidr.parse("10.66.0.0/24"),),
        ),
    ),
    "hosts": (
        DataplaneConfig(),
        HostSettings(
            failsafe_inbound=(OpenPort(6, 22), OpenPort(17, 68, Cidr.parse("10.0.0.0/8"))),
            failsafe_outbound=(OpenPort(6, 2379, Cidr.parse("fd00::/8")), OpenPort(17, 53, Cidr.parse("0.0.0.0/0"))),
        ),
        PolicyRules(KEY + "globalnetworkpolicies/a", (WantedRule("Allow", protocol=6),), (WantedRule("Deny"),)),
        HostEndpoint("/up0", "up0", (), SAME, SAME, SAME, SAME, LOOSE, LOOSE, LOOSE),
        HostEndpoint("/every", "*", ("missing",), forward_ingress=SAME, pre_dnat=LOOSE),
    ),
    "nat": (
        DataplaneConfig(),
        Endpoint("/a", "ocia", (Addr.parse("10.65.0.2"),), (), port_mappings=(PortMapping(6, 8080, 80),)),
        OutgoingNat(NETS, NETS, (1024, 2048), (Addr.parse("192.0.2.1"),), "eth*"),
    ),
    "limits": (
        DataplaneConfig(),
        Endpoint(
            "/a",
            "ocia",
            (Addr.parse("10.65.0.2"),),
            (),
            ingress_limits=Limits(bandwidth_bit_s=10_000_000, packets_s=1000, burst_packets=2000),
            egress_limits=Limits(packets_s=100, connections=20),
            dscp=46,
        ),
        Endpoint("/b", "ocib", (Addr.parse("10.65.0.3"),), (), ingress_limits=Limits(connections=10), dscp=46),
    ),
    "flow-logs": (
        DataplaneConfig(),
        HostSettings(flow_logs=True, log_limit=LogLimit(10, "minute", 3)),
        ProfileRules("p", (WantedRule("Allow"),), ()),
        PolicyRules(
            KEY + "networkpolicies/prod/web", (WantedRule("Log", protocol=6), WantedRule("Deny", protocol=17)), ()
        ),
        PolicyRules(KEY + "stagednetworkpolicies/prod/web", BASE_RULES[1:], (), staged=True),
        PolicyRules(KEY + "globalnetworkpolicies/" + "long-name-" * 8, (WantedRule("Pass"),), ()),
        Endpoint(
            "/a",
            "ocia",
            (Addr.parse("10.65.0.2"),),
            ("p",),
            (
                Tier("default", "Deny", (KEY + "networkpolicies/prod/web", KEY + "stagednetworkpolicies/prod/web")),
                Tier("last", "Pass", (KEY + "globalnetworkpolicies/" + "long-name-" * 8,)),
            ),
        ),
    ),
    "hostile-names": (DataplaneConfig(), HOSTILE, Endpoint("/a", "ocia", (), (HOSTILE.name,))),
}


@pytest.mark.parametrize("name", CASES)
def test_golden(name):
    path = GOLDEN / f"{name}.nft"
    text = text_for(*CASES[name])
    if os.environ.get("OCICAT_GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()


def test_a_rebuild_removes_the_table_in_the_same_text():
    text = nftext.transaction([], [Chain("c", (Rule("drop"),))], rebuild=True)
    assert text.startswith("table inet ocicat\ndelete table inet ocicat\ntable inet ocicat {\n\tchain c {\n")


def test_a_base_chain_goes_before_it_comes_at_another_place():
    lines = nftext.transaction([], [Chain("c", (), hook="input", priority="filter")], moved=["c"]).splitlines()
    gone = lines.index("delete chain inet ocicat c")
    assert lines[gone - 1] == "flush chain inet ocicat c"
    assert gone < lines.index("\tchain c {")


def test_a_declared_chain_keeps_its_rules():
    text = nftext.transaction([], [], declared=[Chain("c", (Rule("drop"),))])
    assert "flush" not in text
    assert "drop" not in text


def test_removal_takes_rules_then_what_they_used_then_chains():
    text = nftext.removal(["a", "b"], [SetSpec("s", "mark"), SetSpec("m", "mark", verdicts=True)], ["c"])
    verbs = [" ".join(line.split()[:2]) for line in text.splitlines()]
    assert verbs == ["flush chain"] * 2 + ["delete set", "delete map"] + ["delete chain"] * 2 + ["delete counter"]


def test_elements_of_every_kind_of_set():
    host = Element(concat(key_ipv4("10.65.0.2"), key_protocol(6), key_port(80)))
    mapped = Element(concat(key_protocol(6), key_port(8080)), concat(key_ipv4("10.65.0.2"), key_port(80)))
    ranges = [Element(key_port(22), key_end=key_port(22)), Element(key_port(80), key_end=key_port(65535))]
    nets = [
        Element(key_ipv4("10.0.0.0"), key_end=key_ipv4("10.0.0.1")),
        Element(key_ipv4("10.0.0.2"), key_end=key_ipv4("10.0.0.9")),
    ]
    changes = [
        SetChange(SetSpec("h", "ipv4_addr . inet_proto . inet_service"), (), (host,)),
        SetChange(SetSpec("p", "inet_service", interval=True), (), tuple(ranges)),
        SetChange(SetSpec("n", "ipv4_addr", interval=True), (), tuple(nets)),
        SetChange(SetSpec("d", "inet_proto . inet_service", data="ipv4_addr . inet_service"), (), (mapped,)),
    ]
    lines = nftext.transaction([], [], changes).splitlines()
    assert [line.partition("ocicat ")[2] for line in lines if line.startswith("add")] == [
        "h { 10.65.0.2 . 6 . 80 }",
        "p { 22-22, 80-65535 }",
        "n { 10.0.0.0-10.0.0.1, 10.0.0.2-10.0.0.9 }",
        "d { 6 . 8080 : 10.65.0.2 . 80 }",
    ]


MEMBERS, SOURCES, DISPATCH = (
    SetSpec("s4-x", "ipv4_addr"),
    SetSpec("w", "iface_index . ipv4_addr"),
    SetSpec("m", "ifname", verdicts=True),
)
FLOATING = SetSpec("f", "ipv4_addr", data="ipv4_addr")
MEMBER, FRIEND = Element(key_ipv4("10.65.0.2")), Element(key_ipv4("10.65.0.3"))
SOURCE = Element(concat(key_ifindex(7), key_ipv4("10.65.0.2")))
WAY = Element(key_ifname("ocia"), goto("in-x"))


def test_elements_go_and_come_before_the_rules():
    changes = [SetChange(MEMBERS, (MEMBER,), (FRIEND, MEMBER)), SetChange(SOURCES, (), (SOURCE,))]
    text = nftext.transaction([], [Chain("c", (Rule("drop"),))], [*changes, SetChange(DISPATCH, (WAY,), ())])
    assert text.partition("}\n}\n")[2].splitlines()[:5] == [
        "delete element inet ocicat s4-x { 10.65.0.2 }",
        "add element inet ocicat s4-x { 10.65.0.3, 10.65.0.2 }",
        'add element inet ocicat w { "0000000000000007" . 10.65.0.2 }',
        'delete element inet ocicat m { "ocia" : goto in-x }',
        "flush chain inet ocicat c",
    ]


@pytest.mark.parametrize(
    ("spec", "element", "said"),
    [
        (MEMBERS, MEMBER, True),
        (SOURCES, SOURCE, True),
        (DISPATCH, WAY, True),
        (DISPATCH, Element(key_ifname('o"; flush')[:16], goto("in-x")), False),
        (DISPATCH, Element(key_ifname("ocia"), Verdict(ACCEPT)), False),
        (SetSpec("p-x", "inet_service", interval=True), Element(key_port(80)), False),
        (FLOATING, Element(key_ipv4("192.0.2.1"), key_ipv4("10.65.0.2")), True),
        (FLOATING, Element(key_ipv4("192.0.2.1")), False),
        (FLOATING, WAY, False),
        (MEMBERS, Element(key_ipv4("192.0.2.1"), key_ipv4("10.65.0.2")), False),
    ],
)
def test_what_text_cannot_say_safely_is_left_out(spec, element, said):
    assert nftext.sayable(spec, element) == said
