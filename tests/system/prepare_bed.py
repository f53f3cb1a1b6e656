"""Bare hosts that are prepared: firewalls of each kind on them, and who gets through."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from bare_host import wait_for

NFT = """#!/usr/sbin/nft -f
flush ruleset
table inet filter {
	chain input {
		type filter hook input priority filter; policy drop;
		ct state established,related accept
		iif lo accept
		tcp dport 22 accept
		icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
	}
	chain forward {
		type filter hook forward priority filter; policy drop;
	}
}
"""
IPTABLES = """*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -j REJECT --reject-with icmp-host-prohibited
COMMIT
"""
IP6TABLES = IPTABLES.replace("icmp-host-prohibited", "icmp6-adm-prohibited").replace(
    "-A INPUT -i lo", "-A INPUT -p ipv6-icmp -j ACCEPT\n-A INPUT -i lo"
)
UNIT = "[Service]\nType=oneshot\nExecStart=/bin/sh -ec '{}'\n[Install]\nWantedBy=multi-user.target\n"
DOCKER = """iptables-legacy -N DOCKER-USER
iptables-legacy -I FORWARD -j DOCKER-USER
iptables-legacy -P FORWARD DROP
iptables-legacy -A INPUT -i eth0 -p tcp --dport 5050:5060 -j DROP
iptables-legacy -A INPUT -i oci+ -j DROP"""
FIREWALLD_RUNS = "timeout 60 sh -c 'until firewall-cmd --state; do sleep 0.1; done'"  # before that it has no rules yet
FLUSH = """
nft flush ruleset
for chain in INPUT FORWARD; do iptables-legacy -P $chain ACCEPT; done
iptables-legacy -F
iptables-legacy -X
"""
LISTEN = (
    "import socket\ns = socket.create_server(('::', {}), family=socket.AF_INET6, dualstack_ipv6=True)\n"
    "while True:\n    s.accept()[0].close()"
)
REACH = "import socket, sys\nsocket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3]))"
CONTAINER_ADDRESS, CONTAINER_ADDRESS6 = "10.9.0.2", "fd00:91::2"
OVER_IPV6 = " over IPv6"
CONTAINER = """
ip netns add c
ip link add oci1 type veth peer name eth0 netns c
ip link set oci1 up
ip -n c link set eth0 up
ip -n c link set lo up
ip -n c address add 10.9.0.2/32 dev eth0
ip -n c route add 169.254.1.1 dev eth0
ip -n c route add default via 169.254.1.1
ip address add 169.254.1.1/32 dev oci1
ip route add 10.9.0.2 dev oci1
ip address add fd00:91::1/64 dev oci1 nodad
ip -n c address add fd00:91::2/64 dev eth0 nodad
ip -n c route add default via fd00:91::1
"""


def prepare(host, more="", **options):
    peer = host.bed["h2"]
    return host.run(f"ocicat host prepare --role agent --routing vxlan --peer h2={peer.address} {more}", **options)


def address6(host):
    return f"fd00:9::{host.address.rpartition('.')[2]}"


def have_ipv6(host):
    """The hosts of its bed have addresses, and know where its containers are."""
    for one in host.bed:
        one.run(f"ip -6 address replace {address6(one)}/64 dev eth0 nodad")
        if one is not host:
            one.run(f"ip -6 route replace fd00:91::/64 via {address6(host)}")


def listen(host, port=5051):
    program = host.spawn(f'python3 -c "{LISTEN.format(port)}"')
    wait_for(lambda: f":{port} " in host.run("ss -tln").out, "somebody to listen")
    return program


def attempts(host, expected):
    """Who tries to get where, with all the patience in the world where that is to succeed."""
    tried = _attempts(host, expected, "", host.address, CONTAINER_ADDRESS)
    return tried | _attempts(host, expected, OVER_IPV6, address6(host), CONTAINER_ADDRESS6)


def _attempts(host, expected, over, address, container):
    peer, stranger = host.bed["h2"], host.bed["h3"]
    inside = ("ip", "netns", "exec", "c")

    def patience(key):
        return "60" if expected.get(f"{key}{over}") else "1"

    def connect(key, port=5051, before=()):
        return [*before, "python3", "-c", REACH, address, str(port), patience(key)]

    every = {
        "peer": (peer, connect("peer")),
        "peer elsewhere": (peer, connect("peer elsewhere", 5055)),
        "stranger": (stranger, connect("stranger")),
        "to container": (stranger, ["ping", "-c1", f"-W{patience('to container')}", container]),
        "from container": (host, connect("from container", before=inside)),
    }
    return {f"{key}{over}": how for key, how in every.items() if f"{key}{over}" in expected}


def traffic(host, expected):
    """What gets through, from the peer, a stranger and a container; `expected` says only what is tried, and how long is waited."""
    host.bash(CONTAINER)
    if any(key.endswith(OVER_IPV6) for key in expected):
        have_ipv6(host)
    programs = [listen(host), listen(host, 5055)]
    for other in ("h2", "h3"):
        host.bed[other].run("ip neigh flush dev eth0")  # a host that was booted has another hardware address
    try:
        tried = attempts(host, expected)
        with ThreadPoolExecutor(len(tried)) as threads:
            done = threads.map(lambda one: one[0].run(one[1], check=False).status == 0, tried.values())
            return dict(zip(tried, done, strict=True))
    finally:
        for program in programs:
            program.kill()
            program.wait()
        host.run("ip link del oci1; ip netns del c")


CLOSED = dict.fromkeys(("peer", "peer elsewhere", "stranger", "to container", "from container"), False)
OPEN = CLOSED | {"peer": True, "to container": True, "from container": True}


def both(expected):
    """The same over IPv6."""
    return expected | {f"{key}{OVER_IPV6}": value for key, value in expected.items()}


def start_nftables(host):
    host.write("/etc/nftables.conf", NFT, 0o755)
    host.run("systemctl enable --now nftables")


def start_ufw(host):
    host.run("ufw --force enable; systemctl enable ufw")


def start_firewalld(host):
    host.run(f"systemctl enable --now firewalld; {FIREWALLD_RUNS}")


def start_iptables(host):
    host.write("/etc/iptables/rules.v4", IPTABLES)
    host.write("/etc/iptables/rules.v6", IP6TABLES)
    load = "iptables-restore </etc/iptables/rules.v4; ip6tables-restore </etc/iptables/rules.v6"
    start_unit(host, "netfilter-persistent", load)


def start_sysconfig(host):
    """As Red Hat's iptables-services has it: a file and a unit for each family, and iptables on nftables."""
    for program, rules in (("iptables", IPTABLES), ("ip6tables", IP6TABLES)):
        host.write(f"/etc/sysconfig/{program}", rules)
        start_unit(host, program, f"{program}-restore </etc/sysconfig/{program}")


def start_docker(host):
    """What dockerd does to FORWARD, in the old tables and with no file to bring it back: a unit makes it anew at each boot."""
    start_unit(host, "docker", DOCKER.replace("\n", "; "))


def start_unit(host, name, line):
    host.write(f"/etc/systemd/system/{name}.service", UNIT.format(line))
    host.bash(f"systemctl daemon-reload; systemctl enable --now {name}")


class Firewall(NamedTuple):
    """`again`: has it load its rules anew, as after a boot; "": the host is booted."""

    start: Callable[..., None]
    again: str
    stop: str


FIREWALLS = {
    "nftables": Firewall(start_nftables, "", "systemctl disable --now nftables"),
    "ufw": Firewall(start_ufw, "/lib/ufw/ufw-init force-reload", "ufw disable; systemctl disable ufw"),
    "firewalld": Firewall(
        start_firewalld, f"systemctl restart firewalld; {FIREWALLD_RUNS}", "systemctl disable --now firewalld"
    ),
    "iptables": Firewall(
        start_iptables, "systemctl restart netfilter-persistent", "systemctl disable netfilter-persistent"
    ),
    "iptables-services": Firewall(
        start_sysconfig,
        "systemctl restart iptables; systemctl restart ip6tables",
        "systemctl disable iptables ip6tables",
    ),
    "docker": Firewall(start_docker, "", "systemctl disable docker"),
}
