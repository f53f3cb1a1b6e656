"""What a firewall must let through, in each firewall's language."""

from xml.etree import ElementTree

import pytest

from ocicat.host.firewall.letting import MARK, Allowed, Letting, for_firewalld, for_iptables, for_nft
from ocicat.host.ports import Opening

AGENT, MASTER = Opening("tcp", 5051), Opening("tcp", 5050)
VXLAN, IPIP = Opening("udp", 4789), Opening("ipip")
PEERS = ("10.0.0.12", "10.0.0.9", "fd00::2")
LETTING = Letting(
    (Allowed(AGENT, PEERS), Allowed(MASTER, PEERS), Allowed(VXLAN, ("10.0.0.9",))), forward=True, contained=(AGENT,)
)


def test_nft_rules_name_each_peer_and_port_as_nft_lists_them():
    rules = for_nft(LETTING, "inet")
    assert rules.input == (
        f'ip saddr 10.0.0.9 udp dport 4789 accept comment "{MARK}"',
        f'ip saddr {{ 10.0.0.9, 10.0.0.12 }} tcp dport {{ 5050, 5051 }} accept comment "{MARK}"',
        f'ip6 saddr fd00::2 tcp dport {{ 5050, 5051 }} accept comment "{MARK}"',
        f'iifname "oci*" tcp dport 5051 accept comment "{MARK}"',
    )
    assert rules.forward == (f'iifname "oci*" accept comment "{MARK}"', f'oifname "oci*" accept comment "{MARK}"')


@pytest.mark.parametrize(("family", "word"), [("ip", "ip saddr"), ("ip6", "ip6 saddr")])
def test_a_table_of_one_family_gets_rules_of_that_family_only(family, word):
    named = [rule for rule in for_nft(LETTING, family).input if "saddr" in rule]
    assert named
    assert all(rule.startswith(word) for rule in named)


def test_iptables_rules_are_one_for_each_peer_and_protocol():
    rules = for_iptables(LETTING, 4)
    end = f"-m comment --comment {MARK} -j ACCEPT"
    assert rules.input == (
        f"-s 10.0.0.9/32 -p udp -m udp --dport 4789 {end}",
        f"-s 10.0.0.9/32 -p tcp -m multiport --dports 5050,5051 {end}",
        f"-s 10.0.0.12/32 -p tcp -m multiport --dports 5050,5051 {end}",
        f"-i oci+ -p tcp -m tcp --dport 5051 {end}",
    )
    assert rules.forward == (f"-i oci+ {end}", f"-o oci+ {end}")
    assert [rule.split()[1] for rule in for_iptables(LETTING, 6).input] == ["fd00::2/128", "oci+"]


def test_more_ports_than_a_match_takes_are_several_rules():
    many = tuple(Allowed(Opening("tcp", port), ("10.0.0.9",)) for port in range(1000, 1020))
    rules = for_iptables(Letting(many), 4).input
    assert [rule.partition("--dports ")[2].split()[0].count(",") for rule in rules] == [14, 4]


def test_ip_in_ip_is_a_protocol():
    letting = Letting((Allowed(IPIP, ("10.0.0.9",)),))
    assert "meta l4proto ipencap accept" in for_nft(letting, "inet").input[0]
    assert "-p ipencap" in for_iptables(letting, 4).input[0]
    assert '<protocol value="4"/>' in for_firewalld(letting)["policies/ocicat-peers.xml"]


def test_firewalld_gets_policies_and_a_zone_of_its_own():
    files = for_firewalld(LETTING)
    assert sorted(files) == [
        "policies/ocicat-from.xml",
        "policies/ocicat-peers.xml",
        "policies/ocicat-to.xml",
        "zones/ocicat.xml",
    ]
    peers = ElementTree.fromstring(files["policies/ocicat-peers.xml"])
    said = {(rule.find("source").get("address"), rule.find("port").get("port")) for rule in peers.iter("rule")}
    assert said == {(peer, port) for peer in PEERS for port in ("5050", "5051")} | {("10.0.0.9", "4789")}
    zone = ElementTree.fromstring(files["zones/ocicat.xml"])
    assert (zone.find("interface").get("name"), zone.find("port").get("port"), zone.get("target")) == (
        "oci+",
        "5051",
        None,
    )


@pytest.mark.parametrize("letting", [Letting(), Letting((Allowed(AGENT, ()),))])
def test_where_nobody_is_let_through_there_are_no_rules(letting):
    assert not letting
    assert for_nft(letting, "inet") == for_iptables(letting, 4) == ((), ())
    assert for_firewalld(letting) == {}
