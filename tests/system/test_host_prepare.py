"""`ocicat host prepare` on bare hosts with the real firewalls and a real systemd: it lets through what was asked for, and
no more, mends what is wrong, survives a reboot, and goes back to what was there, rule by rule and file by file."""

import os
import re

import aside_packages
import pytest
from bare_host import bare_hosts
from prepare_bed import CLOSED, FIREWALLS, FLUSH, OPEN, prepare, traffic

pytestmark = [pytest.mark.system, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


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
    host.mark()
    rules, settings = host.rules(), host.sysctls()
    try:
        assert traffic(host, CLOSED) == CLOSED
        assert prepare(host, "--dry-run").out if firewall == "nftables" else True
        assert (host.changed(), plain(host.rules())) == ({}, plain(rules))
        prepare(host)
        assert traffic(host, OPEN) == OPEN
        host.run(found.again) if found.again else host.reboot()
        assert traffic(host, OPEN) == OPEN
        again = prepare(host, "--dry-run").out
        assert not re.search("rules|lines|firewalld|hosts|sysctl", again), again
        host.run("ocicat host undo")
        assert (host.changed(), plain(host.rules())) == ({}, plain(rules))
        changed = {name for name, value in host.sysctls().items() if settings.get(name) not in (None, value)}
        assert changed <= {"netfilter/nf_conntrack_count"}
    finally:
        host.run(found.stop)


def plain(rules):
    """Without counters that legacy iptables prints for a policy, and what the kernel gives each interface anew."""
    return re.sub(r"\[\d+:\d+\]|fe80::\S+|@if\d+|([0-9a-f]{2}:){5}[0-9a-f]{2}", "", rules)
