"""`ocicat host prepare` on bare hosts with the real firewalls and a real systemd: it lets through what was asked for, and
no more, mends what is wrong, survives a reboot, and goes back to what was there, rule by rule and file by file."""

import json
import os
import re

import aside_packages
import pytest
from bare_host import VOLATILE, bare_hosts
from prepare_bed import CLOSED, FIREWALLS, FLUSH, OPEN, prepare, traffic

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
    found.start(host)
    host.run(found.again or "true")
    host.mark()
    rules, settings = filtering(host), host.sysctls()
    try:
        assert traffic(host, CLOSED) == CLOSED
        prepare(host)
        assert traffic(host, OPEN) == OPEN
        host.run(found.again) if found.again else host.reboot()
        assert traffic(host, OPEN) == OPEN
        again = prepare(host, "--dry-run").out
        assert not re.search("rules|lines|firewalld|hosts|sysctl", again), again
        host.run("ocicat host undo")
        assert (host.changed(COMPILED), filtering(host)) == ({}, rules)
        if found.again:
            now = host.sysctls()
            changed = {name for name, value in settings.items() if now.get(name) not in (None, value)}
            assert changed <= {"netfilter/nf_conntrack_count"}
    finally:
        host.run(found.stop)


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
