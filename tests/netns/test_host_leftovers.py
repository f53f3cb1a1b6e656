"""What other networks have left in the kernel goes and comes back to its place; rules of ours are read back as written."""

import os
import subprocess

import pytest

from ocicat.host.changing.chains import Chains
from ocicat.host.changing.routes import Routes
from ocicat.host.firewall import places
from ocicat.host.firewall.letting import Allowed, Letting, for_iptables, for_nft
from ocicat.host.firewall.live import IptablesRules, NftRules
from ocicat.host.ports import Opening
from ocicat.netlink import namespace

pytestmark = [pytest.mark.netns, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

LEFT = """*nat
:cali-PREROUTING - [0:0]
-A PREROUTING -m comment --comment "cali:a b" -j cali-PREROUTING
COMMIT
*filter
:cali-INPUT - [0:0]
:cali-fw-x - [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m comment --comment "cali:1" -j cali-INPUT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A cali-INPUT -j cali-fw-x
-A cali-fw-x -s 10.1.0.0/16 -j MARK --set-xmark 0x10000/0x10000
COMMIT
"""
PEERS = ("10.0.0.9", "10.0.0.12", "fd00::2")
OPENINGS = (Opening("tcp", 5051), Opening("tcp", 179), Opening("udp", 4789), Opening("ipip"))
LETTING = Letting(tuple(Allowed(one, PEERS) for one in OPENINGS), forward=True, contained=OPENINGS[:1])


@pytest.fixture
def apart():
    fd = namespace.unnamed()
    try:
        with namespace.inside(fd):
            run("ip", "link", "set", "lo", "up")
            yield
    finally:
        os.close(fd)


def run(*argv, given=""):
    return subprocess.run(argv, input=given, capture_output=True, text=True, check=True).stdout


def saved(program):
    """Without counters and comments."""
    lines = run(f"{program}-save").splitlines()
    return [line.partition(" [")[0] for line in lines if not line.startswith("#")]


@pytest.mark.parametrize("program", ["iptables-nft", "iptables-legacy"])
@pytest.mark.usefixtures("apart")
def test_calico_s_chains_go_and_come_back_to_their_places(program):
    run(f"{program}-restore", given=LEFT)
    before = saved(program)
    chains = Chains(program, "cali-")
    value = chains.read()
    chains.write("")
    assert (chains.read(), [line for line in saved(program) if "cali" in line]) == ("", [])
    assert "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT" in saved(program)
    ours = IptablesRules(program, "INPUT")
    ours.write("\n".join(for_iptables(LETTING, 4).input[:2]))
    chains.write(value)
    ours.write(None)
    assert saved(program) == before
    assert chains.read() == value


@pytest.mark.usefixtures("apart")
def test_routes_of_a_protocol_go_and_come_back():
    for route in ("10.1.0.0/26 dev lo proto 80", "blackhole 10.2.0.0/26 proto 80", "10.3.0.0/26 dev lo proto 4"):
        run("ip", "route", "add", *route.split())
    before = run("ip", "route")
    routes = Routes("4", "80")
    value = routes.read()
    routes.write("")
    assert (routes.read(), run("ip", "route").split()[0]) == ("", "10.3.0.0/26")
    routes.write(value)
    assert run("ip", "route") == before


@pytest.mark.usefixtures("apart")
def test_routes_that_fare_badly_or_have_several_ways_come_back_and_those_of_an_interface_that_has_gone_do_not():
    for name, other in (("cali1", "task1"), ("eth8", "far8"), ("eth9", "far9")):
        run("ip", "link", "add", name, "type", "veth", "peer", "name", other)
        run("ip", "link", "set", name, "up")
    run("ip", "address", "add", "10.9.0.1/24", "dev", "eth9")
    several = "10.5.0.0/26 proto 80 nexthop dev eth8 weight 1 nexthop via 10.9.0.2 dev eth9 weight 2"
    for route in ("192.168.7.5 dev cali1 proto 80", "10.4.0.0/26 via 10.9.0.2 dev eth9 proto 80", several):
        run("ip", "route", "add", *route.split())
    run("ip", "-6", "route", "add", "unreachable", "fd00:9::/64", "proto", "80")
    assert "linkdown" in run("ip", "route", "show", "proto", "80")
    routes, routes6 = Routes("4", "80"), Routes("6", "80")
    value, value6, before6 = routes.read(), routes6.read(), run("ip", "-6", "route")
    routes.write("")
    routes6.write("")
    run("ip", "link", "delete", "cali1")
    routes.write(value)
    routes6.write(value6)
    assert routes.read().splitlines() == [line for line in value.splitlines() if "cali1" not in line]
    assert run("ip", "-6", "route").count("fd00:9::/64") == before6.count("fd00:9::/64") == 1


@pytest.mark.parametrize("program", ["iptables-nft", "iptables-legacy", "ip6tables-nft"])
@pytest.mark.usefixtures("apart")
def test_rules_for_iptables_are_read_back_as_written(program):
    run(program, "-A", "INPUT", "-j", "DROP")
    before = saved(program)
    rules = IptablesRules(program, "INPUT")
    wanted = "\n".join(for_iptables(LETTING, 6 if program.startswith("ip6") else 4).input)
    rules.write(wanted)
    assert rules.read() == wanted
    assert saved(program)[-2] == "-A INPUT -j DROP"
    rules.write(wanted.splitlines()[0])
    assert rules.read() == wanted.splitlines()[0]
    rules.write(None)
    assert saved(program) == before
    assert IptablesRules(program, "NOWHERE").read() is None


@pytest.mark.parametrize("family", ["ip", "ip6", "inet"])
@pytest.mark.usefixtures("apart")
def test_rules_for_nft_are_read_back_as_written(family):
    run(
        "nft",
        "-f",
        "-",
        given=f"table {family} t {{\nchain in {{\ntype filter hook input priority 0; policy drop;\nct state new drop\n}}\n}}\n",
    )
    before = run("nft", "list", "ruleset")
    rules = NftRules(family, "t", "in")
    for wanted in ("\n".join(for_nft(LETTING, family).input), "\n".join(for_nft(LETTING, family).forward)):
        rules.write(wanted)
        assert rules.read() == wanted
        assert run("nft", "list", "ruleset").index("accept") < run("nft", "list", "ruleset").index("ct state")
    rules.write(None)
    assert run("nft", "list", "ruleset") == before
    assert NftRules(family, "t", "nowhere").read() is None


@pytest.mark.usefixtures("apart")
def test_a_table_of_nftables_with_the_names_of_iptables_is_a_firewall_too():
    chains = ("INPUT", "FORWARD")
    rules = [
        f"chain {one} {{\ntype filter hook {one.lower()} priority filter; policy drop;\nct state established accept\n}}"
        for one in chains
    ]
    run("nft", "-f", "-", given="table ip filter {\n" + "\n".join(rules) + "\n}\n")
    (found,) = places.active()
    assert (found.kind, found.family, found.table) == ("nftables", "ip", "filter")
    assert (found.input, found.forward) == (("INPUT",), ("FORWARD",))
