"""`ocicat host prepare` on bare hosts with the real firewalls and a real systemd: it lets through what was asked for, and
no more, mends what is wrong, survives a reboot, and goes back to what was there, rule by rule and file by file."""

import json
import os
import re
import sys

import aside_packages
import pytest
from bare_host import VOLATILE, bare_hosts, wait_for
from prepare_bed import CLOSED, FIREWALLS, FLUSH, OPEN, address6, both, prepare, traffic

LONG = pytest.mark.skipif("OCICAT_LONG" not in os.environ, reason="it takes minutes: make test-long")
pytestmark = [pytest.mark.system, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

COMPILED = (*VOLATILE, "/usr/lib/python3")  # by firewalld, of itself


@pytest.fixture(scope="module")
def bed():
    """h1 is prepared; h2 is its peer; h3 is nobody's."""
    with bare_hosts("h1", "h2", "h3", systemd=True, binds=(str(aside_packages.fetch()),)) as bed:
        aside_packages.unpack(bed["h1"])
        bed["h1"].bash("ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key")
        for other in ("h2", "h3"):
            bed[other].run("ip route add 10.9.0.2 via " + bed["h1"].address)
        yield bed


@pytest.fixture
def host(bed):
    """h1, as nobody has ever prepared it; whatever a test leaves is undone."""
    host = bed["h1"]
    host.mark()
    yield host
    host.run("ocicat host undo", check=False)
    host.bash(FLUSH)


@pytest.mark.parametrize("firewall", FIREWALLS)
def test_a_firewall_lets_through_what_was_asked_for_and_nothing_else_also_after_a_boot(host, firewall):
    found = FIREWALLS[firewall]
    # Docker has no rules for IPv6 unless it is told to.
    shut, opened = (CLOSED, OPEN) if firewall == "docker" else (both(CLOSED), both(OPEN))
    found.start(host)
    host.run(found.again or "true")
    host.mark()
    rules, settings = filtering(host), host.sysctls()
    try:
        assert traffic(host, shut) == shut
        more = f"--ipv6 --peer h6={address6(host.bed['h2'])}"
        prepare(host, more)
        assert traffic(host, opened) == opened
        host.run(found.again) if found.again else host.reboot()
        assert traffic(host, opened) == opened
        again = prepare(host, f"{more} --dry-run").out
        assert not re.search("rules|lines|firewalld|hosts|sysctl", again), again
        host.run("ocicat host undo")
        assert (host.changed(COMPILED), filtering(host)) == ({}, rules)
        if found.again:
            now = host.sysctls()
            changed = {name for name, value in settings.items() if now.get(name) not in (None, value)}
            assert changed <= {"netfilter/nf_conntrack_count"}
    finally:
        host.run(found.stop)


EARLIER = """#!/bin/sh
[ "$1" = --version ] && echo 0.8.2 && exit
exec /srv/firewall-cmd "$@"
"""


@LONG
def test_firewalld_on_iptables_and_before_it_had_policies(host):
    """Its version is all that is made up: no earlier one runs on this system."""
    config = "/etc/firewalld/firewalld.conf"
    host.run(f"sed -i s/^FirewallBackend=.*/FirewallBackend=iptables/ {config}")
    FIREWALLS["firewalld"].start(host)
    host.bash("mv /usr/bin/firewall-cmd /srv/")
    host.write("/usr/bin/firewall-cmd", EARLIER, 0o755)
    host.mark()
    rules = filtering(host)
    try:
        refused = prepare(host, check=False)
        assert refused.status == 1
        assert "firewalld 0.8.2 has no policies, as 0.9 and later have, and keeps out" in refused.err
        assert (filtering(host), host.changed(COMPILED)) == (rules, {})
        host.bash("mv /srv/firewall-cmd /usr/bin/")
        host.mark()
        prepare(host)
        assert traffic(host, OPEN) == OPEN
        host.run("ocicat host undo")
        assert (sorted(filtering(host)), host.changed(COMPILED)) == (sorted(rules), {})
    finally:
        host.run(f"{FIREWALLS['firewalld'].stop}; mv /srv/firewall-cmd /usr/bin/", check=False)
        host.run(f"sed -i s/^FirewallBackend=.*/FirewallBackend=nftables/ {config}; {UNFILTERED}", check=False)


def filtering(host):
    """The rules of all firewalls, and the routes, without what counts packets, and old tables that have nothing in them."""
    listed = host.run("nft -s list ruleset; iptables-legacy-save; ip6tables-legacy-save; ip -4 route; ip rule").out
    lines = re.sub(r"\[\d+:\d+\]|#.*", "", listed).splitlines()
    return [line for line in lines if not re.match(r"\*|COMMIT|:[A-Z]+ ACCEPT|$", line)]


BAD = {"duplicate-name", "name-loopback", "peer-name", "mtu-interface", "sysctl", "forward", "firewall"}


def test_what_check_finds_is_mended_and_comes_back_with_undo(host):
    peer, stranger = host.bed["h2"], host.bed["h3"]
    FIREWALLS["nftables"].start(host)
    host.write("/etc/hosts", "127.0.0.1 localhost other\n127.0.1.1 h1.cluster.example h1\n")
    host.write("/etc/sysctl.conf", "net.ipv4.ip_forward = 0\n")
    host.run("ip link set eth0 mtu 1400; echo h1 >/etc/hostname")
    host.mark()
    rules, names = filtering(host), host.read("/etc/hosts")
    options = f"--role agent --peer peer.example.com={peer.address} --mtu 1500"
    twin = f"{options} --peer h1={stranger.address}"
    try:
        assert abouts(host, twin) | abouts(host, options) >= BAD
        shown = host.run(f"ocicat host prepare {twin} --hostname h9.example.com --dry-run")
        assert (host.changed(), filtering(host)) == ({}, rules)
        made = host.run(f"ocicat host prepare {twin} --hostname h9.example.com")
        assert made.out == shown.out
        assert abouts(host, twin) & BAD <= {"peer-name"}  # the twin's name is now in nobody's file but this one's
        assert host.run("hostname; hostname -f; cat /sys/class/net/eth0/mtu").out.split() == ["h9.example.com"] * 2 + [
            "1500"
        ]
        assert host.run("getent hosts peer.example.com other").out.split()[0] == peer.address
        host.reboot()
        assert host.run("cat /sys/class/net/eth0/mtu /proc/sys/net/ipv4/ip_forward").out.split() == ["1500", "1"]
        host.run("ocicat host undo")
        assert (host.changed(), filtering(host), host.read("/etc/hosts")) == ({}, rules, names)
    finally:
        host.run(FIREWALLS["nftables"].stop)


def abouts(host, options):
    return {one["about"] for one in json.loads(host.run(f"ocicat host check {options} -o json", check=False).out)}


# --- what Calico has left ------------------------------------------------------------------------------------------------

SETS = """create cali40s:1 hash:net family inet maxelem 1048576
add cali40s:1 10.9.0.0/26
add cali40s:1 10.9.1.7
create cali60s:1 hash:net family inet6 maxelem 1048576
add cali60s:1 fd00:9::/64
create cali40p:2 hash:ip,port family inet maxelem 1048576
add cali40p:2 10.9.0.9,tcp:80
create cali40all list:set size 8
add cali40all cali40s:1
create own hash:ip family inet
add own 172.31.9.200
"""
# As Felix 2 and 3 have them: everything goes through its chains, which let workloads' packets through, and the rest to the policy.
FELIX = """*raw
:cali-PREROUTING - [0:0]
-A PREROUTING -m comment --comment "cali:6gwb" -j cali-PREROUTING
-A cali-PREROUTING -m set --match-set cali{v}0s:1 src -j ACCEPT
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:felix-INPUT - [0:0]
:cali-INPUT - [0:0]
:cali-FORWARD - [0:0]
-A INPUT -p 99 -j felix-INPUT
-A INPUT -p 98 -j ACCEPT
-A INPUT -m comment --comment "cali:Cz_u" -j cali-INPUT
-A FORWARD -m comment --comment "cali:wUHh" -j cali-FORWARD
{own}-A cali-INPUT -p tcp -m set --match-set cali{v}0s:1 src -j DROP
-A cali-FORWARD -i oci+ -j ACCEPT
-A cali-FORWARD -o oci+ -j ACCEPT
-A cali-FORWARD -m set --match-set cali{v}0s:1 dst -j ACCEPT
COMMIT
"""
UNFILTERED = """nft flush ruleset
for program in iptables-legacy ip6tables-legacy; do
    for table in raw filter; do $program -t $table -F; $program -t $table -X; done
    $program -P FORWARD ACCEPT
done
ipset flush
ipset destroy"""
OWN = "-A INPUT -m set --match-set own src -j DROP\n"


def left_by_calico(host, kind):
    """Rules of IPv4 and IPv6, and sets; one set and a rule of the operator's."""
    host.run("ipset restore", given=SETS)
    for program, version, own in ((f"iptables-{kind}", 4, OWN), (f"ip6tables-{kind}", 6, "")):
        host.run(f"{program}-restore", given=FELIX.format(v=version, own=own))


@pytest.fixture(params=["legacy", "nft"])
def kind(host, request):
    yield request.param
    host.run("ocicat host undo", check=False)
    host.run(UNFILTERED, check=False)
    assert (sets(host), [line for line in filtering(host) if line.startswith("-A")]) == ([], [])


def test_calico_s_rules_and_sets_go_together_and_come_back_together(host, kind):
    left_by_calico(host, kind)
    host.mark()
    before, settings = saved(host, kind), sets(host)
    shown = prepare(host, "--dry-run")
    assert "give --remove-leftovers" in shown.err
    prepare(host, "--remove-leftovers")
    now = "\n".join(saved(host, kind))
    assert not re.search("cali|felix", now)
    assert "--match-set own src -j DROP" in now
    assert sets(host) == [line for line in settings if line.split()[1] == "own"]
    # FORWARD still drops, and nothing of Calico's lets containers' packets through any more: rules of ours do.
    expected = OPEN | {"peer elsewhere": True, "stranger": True}  # INPUT is open
    assert traffic(host, expected) == expected
    assert not re.search("chains|sets", prepare(host, "--remove-leftovers --dry-run").out)
    host.run("ocicat host undo")
    assert (saved(host, kind), sets(host), host.changed(COMPILED)) == (before, settings, {})


@pytest.mark.parametrize("kind", ["legacy"], indirect=True)
def test_unconfirmed_calico_s_rules_and_sets_come_back_by_themselves(host, kind):
    left_by_calico(host, kind)
    before, settings = saved(host, kind), sets(host)
    prepare(host, "--remove-leftovers --confirm 3")
    assert sets(host) != settings
    wait_for(lambda: not host.path("/var/lib/ocicat/host-prepare.journal.json").exists(), "it to go back")
    assert (saved(host, kind), sets(host)) == (before, settings)


RULE, LIST = "iptables-{}: a rule that is not Calico's", "ipset: the list mine"
USES = {
    "a rule that looks": ("iptables-{} -A INPUT -m set --match-set cali40s:1 src -j ACCEPT", RULE),
    "a rule that adds": ("iptables-{} -A INPUT -p 97 -j SET --add-set cali40s:1 src", RULE),
    "a list": ("ipset create mine list:set; ipset add mine cali40s:1", LIST),
}


@pytest.mark.parametrize("use", USES)
def test_a_set_that_something_else_uses_is_told_before_anything_goes(host, kind, use):
    left_by_calico(host, kind)
    command, by = USES[use]
    host.run(command.format(kind))
    before = saved(host, kind), sets(host)
    refused = prepare(host, "--remove-leftovers", check=False)
    assert refused.status == 1
    assert f"{by.format(kind)} uses Calico's set cali40s:1, and would lose it" in refused.err
    assert (saved(host, kind), sets(host)) == before


@pytest.mark.parametrize("kind", ["legacy"], indirect=True)
def test_sets_that_cannot_go_are_as_they_were_and_go_later(host, kind):
    """Somebody has begun to use one of them since it was planned."""
    left_by_calico(host, kind)
    host.run("iptables-legacy -A INPUT -p 97 -j SET --add-set cali40p:2 src,src")
    before = sets(host)
    host.run(
        "iptables-legacy -t raw -F; ip6tables-legacy -t raw -F; iptables-legacy -F cali-INPUT; ip6tables-legacy -F cali-INPUT"
    )
    host.run("iptables-legacy -F cali-FORWARD; ip6tables-legacy -F cali-FORWARD")
    told = host.run(f"{sys.executable} -c '{WRITTEN}'", check=False)
    assert (told.status, sets(host)) == (1, before)
    assert "ipset cali40p:2: in use by a rule" in told.err
    host.run("iptables-legacy -D INPUT -p 97 -j SET --add-set cali40p:2 src,src")
    host.run(f"{sys.executable} -c '{WRITTEN}'")
    assert [line for line in sets(host) if "cali4" in line] == []


WRITTEN = 'from ocicat.host.changing.sets import Sets; Sets("cali4").write("")'


@pytest.mark.parametrize("kind", ["nft"], indirect=True)
def test_rules_that_match_sets_are_tried_with_their_sets(host, kind):
    """No leftover at all: an operator's firewall. The peer is in the set whose members must not."""
    peer = host.bed["h2"].address
    host.run("ipset restore", given=f"create bad hash:ip family inet\nadd bad {peer}\n")
    host.run(f"iptables-{kind} -A INPUT -m set --match-set bad src -j DROP")
    expected = CLOSED | {"stranger": True, "peer": True, "to container": True, "from container": True}
    assert abouts(host, f"--role agent --peer h2={peer}") >= {"firewall"}
    prepare(host)
    assert traffic(host, expected) == expected


def saved(host, kind):
    """Rules of both families as iptables has them, in their order, without counters."""
    lines = host.run(f"iptables-{kind}-save; ip6tables-{kind}-save").out.splitlines()
    return [line.partition(" [")[0] for line in lines if not line.startswith("#")]


def sets(host):
    return sorted(host.run("ipset save").out.splitlines())
