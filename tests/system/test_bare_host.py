"""The bare hosts that other tests stand on: apart from the machine and from each other, real systemd, nothing left behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from bare_host import VOLATILE, CommandFailed, bare_hosts, wait_for
from bare_host_kernel import Before

pytestmark = [pytest.mark.system, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

SERVICE = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"
KILLED = """
import subprocess, sys, time
sys.path.insert(0, {here!r})
from bare_host import bare_hosts
with bare_hosts("h1", systemd=True) as bed:
    bed["h1"].spawn("sleep 1000")
    beside = subprocess.Popen(bed.beside("h1", "ping", "-i", "0.1", "127.0.0.1"), stdout=subprocess.DEVNULL)
    print(bed.keeper, bed["h1"].pid, beside.pid, bed.group, flush=True)
    time.sleep(1000)
"""


@pytest.fixture(scope="module")
def bed():
    with bare_hosts(
        "h1",
        "h2",
        systemd=True,
        shared=("/srv/both",),
        given=lambda host: {"/usr/bin/own": f"#!/bin/sh\necho {host.name}\n"},
    ) as bed:
        yield bed


def groups(name):
    return [folder for folder, *_ in os.walk("/sys/fs/cgroup") if f"/{name}" in folder]


def test_each_has_names_an_address_and_a_network_of_its_own(bed):
    for host in bed:
        assert host.run("hostname; hostname -f; own").out.split() == [host.name, host.fqdn, host.name]
    bed["h1"].run("ping -c1 -W5 h2")
    assert "default via 172.31.9.1" in bed["h1"].rules()
    assert bed["h1"].address not in subprocess.run(["ip", "address"], capture_output=True, text=True, check=True).stdout


def test_a_failed_command_says_all_it_said(bed):
    with pytest.raises(CommandFailed, match="h1: echo out; echo err >&2; exit 3: status 3\nout\nerr"):
        bed["h1"].run("echo out; echo err >&2; exit 3")


def test_the_machine_s_settings_cannot_be_written_its_network_s_can(bed):
    host = bed["h1"]
    assert host.run("echo 1 > /proc/sys/kernel/panic", check=False).status != 0
    before = Path("/proc/sys/net/ipv4/ip_forward").read_text()
    host.run("sysctl -w net.ipv4.ip_forward=1; sysctl -w net.ipv4.conf.eth0.rp_filter=2")
    assert host.sysctls()["ipv4/ip_forward"] == "1"
    assert bed["h2"].sysctls()["ipv4/ip_forward"] == "0"
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == before


def test_nothing_can_set_the_clock(bed):
    """CAP_SYS_TIME (25) is in nobody's reach: neither of a command's, nor of a service's."""
    told = bed["h1"].run("cat /proc/self/status /proc/1/status").out
    sets = [int(line.split()[1], 16) for line in told.splitlines() if line.startswith(("CapBnd", "CapEff"))]
    assert len(sets) == 4
    assert not any(held >> 25 & 1 for held in sets)


def test_what_is_written_is_told_and_what_is_put_back_is_not(bed):
    host = bed["h2"]
    host.mark()
    host.bash("""
        echo x >> /etc/passwd; rm /etc/issue; chmod 600 /etc/profile; rm -r /etc/dpkg; mkdir /etc/dpkg /etc/own
        echo 1 > /etc/own/file
        cp /etc/shells /var/shells; echo >> /etc/shells; cat /var/shells > /etc/shells; rm /var/shells
        ln -sf /nowhere /etc/os-release""")
    changed = host.changed()
    assert {path: how for path, how in changed.items() if not path.startswith("/etc/dpkg/")} == {
        "/etc/passwd": "content",
        "/etc/issue": "removed",
        "/etc/profile": "mode or owner",
        "/etc/own": "added",
        "/etc/own/file": "added",
        "/etc/os-release": "content",
    }
    assert changed["/etc/dpkg/dpkg.cfg"] == "removed"
    assert "x" not in Path("/etc/passwd").read_text().splitlines()
    host.mark()
    assert host.changed() == {}
    host.run("rm /etc/own/file")
    assert host.changed() == {"/etc/own/file": "removed"}


MADE = """nft -f - <<'END'
table inet mine {
    chain own { }
    chain one { tcp dport 8 drop; tcp dport 7 drop; }
    chain two { tcp dport 7 drop; }
}
END
iptables-legacy -N moved
iptables-legacy -N emptied
iptables-legacy -A moved -p 251 -j DROP"""
LEFT = {
    "a file": ("echo x > /etc/left", "/etc/left added"),
    "a line in a file": ("echo x >> /etc/hosts", "/etc/hosts content"),
    "a mode": ("chmod 600 /etc/hosts", "/etc/hosts mode or owner"),
    "an owner": ("chown nobody /etc/hosts", "/etc/hosts mode or owner"),
    "a link": ("ln -s /nowhere /usr/local/bin/left", "/usr/local/bin/left added"),
    "a missing file": ("rm /etc/hosts", "/etc/hosts removed"),
    "an nft table": ("nft add table inet left", "+ ## nft -s list ruleset: table inet left"),
    "an nft rule": (
        "nft add rule inet mine own tcp dport 9 drop",
        "+ ## nft -s list ruleset: \t\ttcp dport 9 drop",
    ),
    "a missing nft chain": ("nft delete chain inet mine own", "- ## nft -s list ruleset: \tchain own {"),
    "an iptables rule": ("iptables-nft -A INPUT -p 99 -j DROP", "meta l4proto 99 counter drop"),
    "an iptables-legacy rule": ("iptables-legacy -A INPUT -p 99 -j DROP", "-A INPUT -p 99 -j DROP"),
    "an ip6tables-legacy rule": ("ip6tables-legacy -A INPUT -p 99 -j DROP", "-A INPUT -p 99 -j DROP"),
    "a rule of routing": ("ip rule add from 10.9.0.0/16 lookup 99", "from 10.9.0.0/16 lookup 99"),
    "an IPv6 rule of routing": ("ip -6 rule add from fd00::/64 lookup 99", "from fd00::/64 lookup 99"),
    "a route": ("ip route add 10.9.0.0/24 dev eth0", "10.9.0.0/24 dev eth0 scope link"),
    "a route in another table": ("ip route add blackhole 10.9.0.0/24 table 99", "blackhole 10.9.0.0/24 table 99"),
    "an IPv6 route": ("ip -6 route add fd09::/64 dev eth0", "fd09::/64 dev eth0"),
    "an interface": ("ip link add left type bridge", "left:"),
    "an MTU": ("ip link set eth0 mtu 1400", "mtu 1400"),
    "an address": ("ip address add 10.9.9.9/32 dev lo", "10.9.9.9/32"),
    "a neighbour": (
        "ip neigh add 10.9.9.9 lladdr 02:00:00:00:00:09 dev eth0",
        "10.9.9.9 dev eth0 lladdr 02:00:00:00:00:09",
    ),
    "a proxied neighbour": ("ip neigh add proxy 10.9.9.9 dev eth0", "10.9.9.9 dev eth0"),
    "a queue": ("tc qdisc add dev eth0 root tbf rate 1mbit burst 10k latency 50ms", "qdisc tbf"),
    "a queue of what comes in": ("tc qdisc add dev eth0 ingress", "qdisc ingress"),
    "an IPsec policy": (
        "ip xfrm policy add src 10.9.0.0/16 dst 10.8.0.0/16 dir out",
        "src 10.9.0.0/16 dst 10.8.0.0/16",
    ),
    "a network namespace": ("ip netns add left", ": left"),
    "a doubled rule": ("nft add rule inet mine two tcp dport 7 drop", "+ ## nft -s list ruleset: \t\ttcp dport 7 drop"),
    "rules in another order": (
        "nft flush chain inet mine one; nft add rule inet mine one tcp dport 7 drop; nft add rule inet mine one tcp dport 8 drop",
        "tcp dport 7 drop",
    ),
    "a rule in another chain": (
        "iptables-legacy -D moved -p 251 -j DROP; iptables-legacy -A emptied -p 251 -j DROP",
        "-A emptied -p 251 -j DROP",
    ),
    "a policy": ("iptables-legacy -P FORWARD DROP", ": :FORWARD DROP"),
    "an empty chain": ("iptables-legacy -N left", ": :left -"),
    "a setting": ("sysctl -w net.ipv4.conf.eth0.proxy_arp=1", "+ ipv4/conf/eth0/proxy_arp = 1"),
    "a setting of all": ("sysctl -w net.ipv4.ip_forward=1", "+ ipv4/ip_forward = 1"),
}


def test_whatever_is_left_is_found_and_nothing_else():
    with bare_hosts("h1") as bed:
        host = bed["h1"]
        host.bash(MADE)
        assert Before(bed, VOLATILE).differing() == {}
        for kind, (command, told) in LEFT.items():
            before = Before(bed, VOLATILE)
            host.run(command)
            (lines,) = before.differing().values()
            assert any(told in line for line in lines), (kind, lines)


def test_systemd_runs_services_also_after_a_reboot(bed):
    host = bed["h2"]
    host.write("/etc/systemd/system/idle.service", SERVICE)
    host.run("systemctl enable --now idle && systemctl is-active idle && nft add table inet own && echo 1 > /run/own")
    host.reboot()
    assert host.run("systemctl is-system-running").out == "running\n"
    host.run("systemctl is-active idle && journalctl -u idle | grep -q Started")
    assert "table inet own" not in host.rules()
    assert host.run("ls /run/own", check=False).status != 0
    host.run("ping -c1 -W5 h1")


def test_what_is_shared_is_seen_by_all(bed):
    bed["h1"].write("/srv/both/file", "seen")
    assert bed["h2"].read("/srv/both/file") == "seen"
    assert bed["h1"].changed(ignore=()).get("/srv/both/file") is None
    assert not Path("/srv/both").exists()


def test_nothing_is_left_when_the_test_is_killed():
    line = [sys.executable, "-c", KILLED.format(here=str(Path(__file__).parent))]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        *numbers, name = process.stdout.readline().split()
        wait_for(lambda: comm(numbers[-1]) == "ping", "what runs beside the host")  # the last that it becomes
        assert groups(name)
        process.send_signal(signal.SIGKILL)
    wait_for(lambda: not groups(name), "the control groups to go")
    wait_for(lambda: not any(alive(number) for number in numbers), "the processes to end")


def comm(pid):
    return Path(f"/proc/{pid}/comm").read_text().strip()


def alive(pid):
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
