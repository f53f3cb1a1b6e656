"""`ocicat host check`: nothing is wrong with a good host; one made bad in one way has the finding of that, and no other."""

import compileall
import json
import os
import shlex
import signal
import time
from contextlib import contextmanager

import pytest
from bare_host import CHECKOUT, bare_hosts, child_of, wait_for

pytestmark = pytest.mark.system

PEER = "h2=172.31.9.12"
ALWAYS = ("--skip", "time-daemon")  # whose clock nobody keeps is this machine's affair
NAMES = """127.0.0.1 localhost
172.31.9.11 h1.cluster.example h1
172.31.9.12 h2.cluster.example h2
"""

# What this machine may have there is none of the hosts' business; they remove it for themselves only.
MACHINES = "/var/lib/ocicat /opt/ocicat /var/log/ocicat /etc/cni/net.d /etc/sysctl.d/* /etc/systemd/network/* /etc/NetworkManager"

# Answers with a Date as Mesos and etcd do, but with one that may be wrong.
ANSWERING = r"""
import email.utils, http.server, sys, time
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response_only(200)
        self.send_header("Date", email.utils.formatdate(time.time() + float(sys.argv[2]), usegmt=True))
        self.send_header("Content-Length", "0")
        self.end_headers()
http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Answer).serve_forever()
"""


@pytest.fixture(scope="module")
def bed():
    compileall.compile_dir(CHECKOUT / "src/ocicat", quiet=1)  # hosts see the checkout and cannot write there
    with bare_hosts("h1", "h2") as bed:
        for host in (bed["h1"], bed["h2"]):
            host.write("/etc/hosts", NAMES)
            host.run("sysctl -qw net.ipv4.ip_forward=1")
            host.run(f"rm -rf {MACHINES}")
        yield bed


@pytest.fixture
def h1(bed):
    return bed["h1"]


@pytest.fixture
def h2(bed):
    return bed["h2"]


def check(host, *options, role="agent", peer=PEER):
    done = host.run(
        ["ocicat", "host", "check", "-o", "json", "--role", role, "--peer", peer, *ALWAYS, *options], check=False
    )
    found = json.loads(done.out) if done.out else []
    assert done.status == (1 if found else 0), done
    assert all(one["problem"] and one["breaks"] and one["mend"] for one in found)
    return found


def words(host, *options, **more):
    return [one["about"] for one in check(host, *options, **more)]


@contextmanager
def running(host, command, **more):
    process = host.spawn(shlex.join(command), **more)
    try:
        yield process
    finally:
        os.kill(child_of(process.pid), signal.SIGTERM)  # the program itself: what was started only waits for it
        process.wait()


def listens(host, port):
    return lambda: host.run(f"bash -c '</dev/tcp/127.0.0.1/{port}'", check=False).status == 0


@contextmanager
def answering(host, port, ahead_s=0.0):
    host.write("/srv/answering.py", ANSWERING)
    with running(host, ["python3", "/srv/answering.py", str(port), str(ahead_s)]):
        wait_for(listens(host, port), "the server", 20)
        yield


def test_a_good_host_has_none_and_is_told_what_nobody_could_look_at(h1):
    done = h1.run(["ocicat", "host", "check", "--role", "agent", "--peer", PEER, *ALWAYS])
    assert done.out == ""
    assert "nobody listens there yet, or a firewall answers with a reset: 5051/tcp of h2" in done.err
    assert "nothing is wrong" in done.err


def test_selinux_that_enforces_is_told(h1):
    line = ["ocicat", "host", "check", "--role", "agent", "--peer", PEER]
    h1.bash("mount -t tmpfs none /sys/fs; mkdir /sys/fs/selinux; echo 1 >/sys/fs/selinux/enforce")
    try:
        assert "SELinux is enforcing" in h1.run(line, check=False).err
        h1.bash("echo 0 >/sys/fs/selinux/enforce")
        assert "SELinux" not in h1.run(line, check=False).err
    finally:
        h1.bash("umount /sys/fs")


def test_one_line_of_options_serves_all_hosts(h1, h2):
    line = ["ocicat", "host", "check", "--role", "agent", *ALWAYS, "--peer", PEER, "--peer", "h1"]
    assert "with a reset: 5051/tcp of h2\n" in h1.run(line).err
    assert "with a reset: 5051/tcp of h1\n" in h2.run(line).err


def test_a_good_host_of_all_roles_has_none(h1):
    more = ("--role", "services", "--role", "master", "--port", "marathon", "--ipv6")
    h1.run("sysctl -qw net.ipv6.conf.all.forwarding=1")
    assert words(h1, *more, "--routing", "vxlan") == []


def hosts(text):
    return f"cat > /etc/hosts <<'E'\n127.0.0.1 localhost\n{text}\nE", f"cat > /etc/hosts <<'E'\n{NAMES}E"


def file(path, text):
    return f"mkdir -p {path.rpartition('/')[0]}; cat > {path} <<'E'\n{text}\nE", f"rm {path}"


def setting(name, bad, good):
    return f"sysctl -qw {name}={bad}", f"sysctl -qw {name}={good}"


def both(first, second):
    return f"{first[0]}\n{second[0]}", f"{second[1]}\n{first[1]}"


MINE, THEIRS = "172.31.9.11 h1.cluster.example h1", "172.31.9.12 h2.cluster.example h2"
NM, NETWORKD = (
    (f"mkdir -p {wants}; ln -s /x {wants}/{unit}.service", f"rm {wants}/{unit}.service")
    for wants in ("/etc/systemd/system/multi-user.target.wants",)
    for unit in ("NetworkManager", "systemd-networkd")
)
ROUTES_STAY = file("/etc/systemd/networkd.conf.d/x.conf", "[Network]\nManageForeignRoutes=no")
INPUT = (
    "nft add table inet fw; nft add chain inet fw in '{ type filter hook input priority 0; }'; nft add rule inet fw in"
)

BAD = {  # what makes it bad, and good again; the finding; a piece of its text
    "no DNS name": (
        both(("hostname BadName", "hostname h1"), hosts(f"172.31.9.11 BadName\n{THEIRS}")),
        "host-name",
        "BadName",
    ),
    "no name": (hosts(THEIRS), "name", "does not resolve"),
    "as Debian leaves it": (hosts(f"127.0.1.1 h1.cluster.example h1\n{THEIRS}"), "name-loopback", "Debian's installer"),
    "another FQDN": (hosts(f"172.31.9.11 other.example h1\n{THEIRS}"), "fqdn", "says other.example"),
    "stale": (hosts(f"172.31.9.99 h1.cluster.example h1\n{THEIRS}"), "name-elsewhere", "172.31.9.99"),
    "back to another": (hosts(f"172.31.9.11 wrong.example\n{MINE}\n{THEIRS}"), "name-back", "wrong.example"),
    "peer unknown": (hosts(MINE), "peer-name", "h2 does not resolve"),
    "peer elsewhere": (hosts(f"{MINE}\n172.31.9.99 h2.cluster.example h2"), "peer-name", "not to 172.31.9.12"),
    "peer at loopback": (hosts(f"{MINE}\n127.0.1.1 h2.cluster.example h2"), "peer-name", "127.0.1.1"),
    "peer back to another": (hosts(f"{MINE}\n172.31.9.12 wrong.example\n{THEIRS}"), "peer-name-back", "wrong.example"),
    "same name": (("hostname h2", "hostname h1"), "duplicate-name", "has the name of this host"),
    "own port shut": ((f"{INPUT} tcp dport 5051 drop", "nft delete table inet fw"), "firewall", "5051/tcp"),
    "shut to containers": (
        (f"{INPUT} 'iifname \"oci*\" tcp dport 5051 drop'", "nft delete table inet fw"),
        "firewall",
        "comes from containers to 5051/tcp",
    ),
    "policy of iptables": (
        ("iptables-legacy -P FORWARD DROP", "iptables-legacy -P FORWARD ACCEPT"),
        "forward",
        "containers",
    ),
    "no nft": (("mv /usr/sbin/nft /srv/nft", "mv /srv/nft /usr/sbin/nft"), "nft", "no program nft"),
    "no forwarding": (setting("net.ipv4.ip_forward", 0, 1), "sysctl", "net.ipv4.ip_forward is 0"),
    "strict": (setting("net.ipv4.conf.all.rp_filter", 1, 0), "sysctl", "rp_filter is 1"),
    "own addresses": (setting("net.ipv4.conf.all.accept_local", 1, 0), "sysctl", "accept_local is 1"),
    "loopback": (setting("net.ipv4.conf.all.route_localnet", 1, 0), "sysctl", "route_localnet is 1"),
    "after a boot": (file("/etc/sysctl.d/99-hard.conf", "net.ipv4.ip_forward = 0"), "sysctl-file", "99-hard.conf"),
    "no way": (("ip route del default", "ip route add default via 172.31.9.1"), "gateway-route", "169.254.1.1"),
    "no freezer": (
        ("umount /sys/fs/cgroup/freezer", "mount -t cgroup -o freezer freezer /sys/fs/cgroup/freezer"),
        "cgroups",
        "freezer",
    ),
    "open to all": (("mkdir -m 777 /var/lib/ocicat", "rmdir /var/lib/ocicat"), "directory", "everybody"),
    "noexec": (
        (
            "mkdir -p /opt/ocicat; mount -t tmpfs -o noexec,mode=755 x /opt/ocicat",
            "umount /opt/ocicat; rmdir /opt/ocicat",
        ),
        "directory",
        "noexec",
    ),
    "read-only": (
        (
            "mkdir -p /var/lib/ocicat; mount -t tmpfs -o ro,mode=755 x /var/lib/ocicat",
            "umount /var/lib/ocicat; rmdir /var/lib/ocicat",
        ),
        "directory",
        "cannot be written",
    ),
    "full": (
        (
            "mkdir -p /var/lib/ocicat; mount -t tmpfs -o size=1m,mode=755 x /var/lib/ocicat",
            "umount /var/lib/ocicat; rmdir /var/lib/ocicat",
        ),
        "room",
        "1 MiB left",
    ),
    "interfaces of Calico": (
        ("ip link add cali123 type veth peer name x", "ip link del cali123"),
        "calico-links",
        "cali123",
    ),
    "chains of Calico": (
        ("nft add table ip filter; nft add chain ip filter cali-FORWARD", "nft delete table ip filter"),
        "calico-chains",
        "ip filter cali-FORWARD",
    ),
    "old chains of Calico": (
        ("iptables-legacy -N cali-INPUT", "iptables-legacy -X cali-INPUT"),
        "calico-chains",
        "iptables-legacy cali-INPUT",
    ),
    "old rules without their program": (
        (
            "iptables-legacy -A INPUT -j ACCEPT; mount --bind /bin/false /usr/sbin/xtables-legacy-multi",
            "umount /usr/sbin/xtables-legacy-multi; iptables-legacy -F",
        ),
        "firewall-unknown",
        "the kernel has a table filter of the old iptables: iptables-legacy -S",
    ),
    "chains of an older Felix": (
        ("iptables-legacy -N felix-INPUT", "iptables-legacy -X felix-INPUT"),
        "calico-chains",
        "iptables-legacy felix-INPUT",
    ),
    "routes of BIRD": (
        ("ip route add blackhole 10.9.0.0/26 proto bird", "ip route del blackhole 10.9.0.0/26 proto bird"),
        "leftover-routes",
        "1 routes",
    ),
    "plugin of another": (
        file("/etc/cni/net.d/10-calico.conflist", '{"name": "k", "plugins": [{"type": "calico"}]}'),
        "cni-config",
        "10-calico.conflist",
    ),
    "NetworkManager": (NM, "networkmanager", "oci*"),
    "systemd-networkd": (NETWORKD, "networkd", "ManageForeignRoutes"),
    "a later file of NetworkManager": (
        both(
            NM,
            both(
                file("/run/NetworkManager/conf.d/x.conf", "[keyfile]\nunmanaged-devices=*"),
                file("/etc/NetworkManager/NetworkManager.conf", "[keyfile]\nunmanaged-devices=interface-name:eth1"),
            ),
        ),
        "networkmanager",
        "oci*",
    ),
    "a match for all links": (
        both(
            NETWORKD,
            both(ROUTES_STAY, file("/etc/systemd/network/50-all.network", "[Match]\nName=*\n[Network]\nDHCP=yes")),
        ),
        "networkd-links",
        "50-all.network",
    ),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_host_made_bad_in_one_way_has_that_finding_and_no_other(h1, bad):
    (make, unmake), word, text = BAD[bad]
    h1.bash(make)
    try:
        found = check(h1)
    finally:
        h1.bash(unmake)
    assert [one["about"] for one in found] == [word]
    assert text in found[0]["problem"]


GOOD = {
    "NetworkManager": both(
        NM, file("/etc/NetworkManager/conf.d/x.conf", "[keyfile]\nunmanaged-devices=interface-name:*oci*")
    ),
    "NetworkManager, one word more": both(
        NM,
        both(
            file("/etc/NetworkManager/conf.d/x.conf", "[keyfile]\nunmanaged-devices=interface-name:eth1"),
            file(
                "/etc/NetworkManager/conf.d/y.conf",
                "[keyfile]\nunmanaged-devices+=interface-name:oci*;interface-name:bwoci*",
            ),
        ),
    ),
    "systemd-networkd": both(
        NETWORKD,
        both(ROUTES_STAY, file("/etc/systemd/network/00.network", "[Match]\nName=oci* bwoci*\n[Link]\nUnmanaged=yes")),
    ),
    "a policy, and an exception": (
        "iptables -P FORWARD DROP; iptables -A FORWARD -i oci+ -j ACCEPT; iptables -A FORWARD -o oci+ -j ACCEPT",
        "nft delete table ip filter",
    ),
}


def test_ipv6_of_containers_is_tried_where_they_have_it(h1):
    h1.bash("sysctl -qw net.ipv6.conf.all.forwarding=1; ip6tables -P FORWARD DROP")
    try:
        assert words(h1) == []
        (found,) = check(h1, "--ipv6")
        assert (found["about"], "ip6tables" in found["problem"]) == ("forward", True)
        h1.bash("for end in i o; do ip6tables -A FORWARD -$end oci+ -j ACCEPT; done")
        assert words(h1, "--ipv6") == []
    finally:
        h1.bash("nft delete table ip6 filter")


def test_a_kernel_without_ipv6(h1):
    """As one that was booted with ipv6.disable=1: nothing of it is there to be set."""
    h1.bash("mount -t tmpfs none /proc/sys/net/ipv6")
    try:
        assert words(h1) == []
        (found,) = check(h1, "--ipv6")
    finally:
        h1.bash("umount /proc/sys/net/ipv6")
    assert (found["about"], found["mend"]) == ("ipv6", "boot without ipv6.disable=1")


@pytest.mark.parametrize("good", GOOD)
def test_what_leaves_containers_alone_is_not_wrong(h1, good):
    make, unmake = GOOD[good]
    h1.bash(make)
    try:
        assert check(h1) == []
    finally:
        h1.bash(unmake)


def test_routes_that_others_have_left_go_by_the_commands_that_are_advised(h1):
    left = ("10.9.0.0/26 proto bird", "10.9.1.0/26 proto 80", "fd99::/64 proto bird", "fd99:1::/64 proto 80")
    h1.bash("\n".join(f"ip {'-6' if ':' in one else ''} route add blackhole {one}" for one in left))
    (found,) = check(h1)
    assert (found["about"], found["problem"][:8]) == ("leftover-routes", "4 routes")
    h1.bash(found["mend"].partition(", or ")[2])
    assert check(h1) == []


def test_interfaces_that_lead_to_peers(h1):
    """There are no peers behind these, so that nothing answers."""
    h1.bash(
        "for one in d1 d2; do ip link add $one type veth peer name p$one; ip link set $one up; ip link set p$one up; done\n"
        "ip link set d2 mtu 1300; ip route add 10.7.1.0/24 dev d1; ip route add 10.7.2.0/24 dev d2\n"
        "sysctl -qw net.ipv6.conf.all.forwarding=1"
    )
    silent = ("--skip", "peer")
    try:
        assert words(h1, "--peer", "10.7.2.2", *silent, peer="10.7.1.2") == ["mtu-uneven"]
        assert words(h1, "--ipv6", "--routing", "vxlan", *silent, peer="10.7.2.2") == ["mtu-ipv6"]
    finally:
        h1.bash("ip link del d1; ip link del d2")


def test_settings_of_ipv6_count_where_containers_have_it(h1):
    h1.run("sysctl -qw net.ipv6.conf.all.forwarding=0 net.ipv6.conf.all.disable_ipv6=1")
    try:
        assert words(h1) == []
        found = check(h1, "--ipv6")
    finally:
        h1.run("sysctl -qw net.ipv6.conf.all.disable_ipv6=0")
    assert [one["problem"] for one in found] == [
        "net.ipv6.conf.all.disable_ipv6 is 1, not 0",
        "net.ipv6.conf.all.forwarding is 0, not 1",
    ]


def test_a_default_route_that_forwarding_ends(h1):
    h1.bash("sysctl -qw net.ipv6.conf.all.forwarding=1; ip -6 route add default via fe80::1 dev eth0 proto ra")
    try:
        (found,) = check(h1, "--ipv6")
        h1.run("sysctl -qw net.ipv6.conf.eth0.accept_ra=2")
        assert check(h1, "--ipv6") == []
    finally:
        h1.bash("ip -6 route del default; sysctl -qw net.ipv6.conf.eth0.accept_ra=1")
    assert (found["about"], "over eth0" in found["problem"]) == ("accept-ra", True)


def test_a_peer_whose_address_has_the_name_of_this_host(h1):
    make, unmake = hosts(f"{MINE}\n172.31.9.12 h1.other.example")
    h1.bash(make)
    try:
        (found,) = check(h1, peer="172.31.9.12")
    finally:
        h1.bash(unmake)
    assert (found["about"], "is called h1.other.example" in found["problem"]) == ("duplicate-name", True)


# --- the peers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", ["drop", "reject", "reject with icmp type host-prohibited"])
def test_a_port_of_a_peer_that_a_firewall_keeps_shut_is_told_from_one_where_nobody_listens(h1, h2, verdict):
    h2.bash(f"{INPUT} tcp dport 5051 {verdict}")
    try:
        (found,) = check(h1)
    finally:
        h2.bash("nft delete table inet fw")
    assert (found["about"], "5051/tcp of h2" in found["problem"]) == ("port", True)


def test_a_reset_may_be_a_firewall_s_too(h1, h2):
    """Nothing tells it from a port where nobody listens: so both are said."""
    h2.bash(f"{INPUT} tcp dport 5051 reject with tcp reset")
    try:
        (found,) = check(h1, "--up")
    finally:
        h2.bash("nft delete table inet fw")
    assert (found["about"], "firewall rejects" in found["mend"]) == ("service", True)


def test_a_peer_that_is_not_there(h1, h2):
    h2.run("ip link set eth0 down")
    try:
        assert words(h1) == ["peer"]
    finally:
        h2.bash("ip link set eth0 up; ip route replace default via 172.31.9.1")
    wait_for(lambda: h1.run("ping -c 1 -W 1 172.31.9.12", check=False).status == 0, "the link", 20)


def test_nobody_listens_where_all_is_meant_to_run(h1, h2):
    assert words(h1, "--up") == ["service"]
    with answering(h2, 5051):
        assert words(h1, "--up") == []


def test_a_clock_that_goes_wrong_is_measured(h1, h2):
    with answering(h2, 5051, ahead_s=90):
        (found,) = check(h1)
    assert found["about"] == "clock"
    measured = float(found["problem"].split("clock is ")[1].split(" s behind")[0])
    assert 88 < measured < 92
    with answering(h2, 5051, ahead_s=1):
        assert check(h1) == []


def test_a_peer_whose_interface_takes_less_is_seen_from_both_sides(h1, h2):
    h2.run("ip link set eth0 mtu 1400")
    try:
        (sent,), (taken,) = check(h1), check(h2, peer="h1=172.31.9.11")
        (told,) = check(h2, "--mtu", "1500", peer="h1=172.31.9.11")
    finally:
        h2.run("ip link set eth0 mtu 1500")
    assert (sent["about"], "1500 bytes, of which 140" in sent["problem"]) == ("mtu", True)
    assert (taken["about"], "is 1400" in taken["problem"]) == ("mtu-interface", True)
    assert told["about"] == "mtu-interface"


def test_the_datastore_knows_another_host_of_this_name(h1):
    node = "{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: h1}, spec: {bgp: {ipv4Address: 172.31.9.%d/24}}}"
    for last, wanted in ((77, ["duplicate-name"]), (11, [])):
        h1.bash(
            f"ocicat store init --store sqlite:///srv/s.db; ocicat apply --store sqlite:///srv/s.db -f - <<< '{node % last}'"
        )
        assert words(h1, "--store", "sqlite:///srv/s.db") == wanted
        with configured(h1, "sqlite:///srv/s.db"):
            assert words(h1) == wanted


@contextmanager
def configured(host, url):
    host.write("/etc/ocicat/ocicat.toml", f'[store]\nurl = "{url}"\n')
    try:
        yield
    finally:
        host.run("rm /etc/ocicat/ocicat.toml")


def test_a_datastore_that_was_not_asked_for_here_keeps_nobody_from_the_rest(h1):
    line = ["ocicat", "host", "check", "--role", "agent", "--peer", PEER, *ALWAYS]
    assert "no datastore was asked" in h1.run(line).err
    with configured(h1, "sqlite:///srv/none.db"):
        done = h1.run(line)
        assert "without what the datastore says" in done.err
        assert "no datastore was asked" in done.err
    assert h1.run([*line, "--store", "sqlite:///srv/none.db"], check=False).status > 1


def test_a_router_on_the_way_with_a_smaller_link(h1, h2):
    """h2 is the router; behind it is a host on a link of 1400 bytes."""
    h2.bash(
        "ip netns add far; ip link add near type veth peer name eth0 netns far; ip link set near up mtu 1400\n"
        "ip address add 10.8.0.1/24 dev near; ip netns exec far ip address add 10.8.0.2/24 dev eth0\n"
        "ip netns exec far ip link set eth0 up mtu 1400; ip netns exec far ip route add default via 10.8.0.1"
    )
    h1.run("ip route add 10.8.0.0/24 via 172.31.9.12")
    try:
        (found,) = check(h1, peer="10.8.0.2")
    finally:
        h1.run("ip route del 10.8.0.0/24")
        h2.run("ip netns del far")
    assert (found["about"], "of which 1400 get to 10.8.0.2" in found["problem"]) == ("mtu", True)


def test_a_peer_that_has_ipv6_alone(h1, h2):
    for host, last in ((h1, 11), (h2, 12)):
        host.run(f"ip address add fd77::{last}/64 dev eth0 nodad")
    assert words(h1, peer="fd77::12") == []
    h2.bash(f"{INPUT} tcp dport 5051 reject")
    assert words(h1, peer="fd77::12") == ["port"]
    h2.bash("nft delete table inet fw")
    h2.run("ip link set eth0 mtu 1400")
    try:
        (found,) = check(h1, peer="fd77::12")
        (taken,) = check(h2, peer="fd77::11")
    finally:
        h2.run("ip link set eth0 mtu 1500")
    assert (found["about"], taken["about"]) == ("mtu", "mtu-interface")


# --- the kernel, and the programs that run here ----------------------------------------------------------------------------


def test_a_ruleset_that_is_refused_is_told_by_what_is_missing(h1):
    refusing = '#!/bin/bash\ntext=$(cat)\n[[ $text == *"ct count"* ]] && { echo "Error: Could not process rule" >&2; exit 1; }\n'
    h1.bash("mv /usr/sbin/nft /srv/nft")
    h1.write("/usr/sbin/nft", f'{refusing}exec /srv/nft "$@" <<< "$text"\n', 0o755)
    try:
        (found,) = check(h1)
    finally:
        h1.bash("mv /srv/nft /usr/sbin/nft")
    assert found["about"] == "kernel"
    assert "limits of connections: nft: Could not process rule" in found["problem"]
    assert "CONFIG_NFT_CONNLIMIT" in found["mend"]


def test_a_tunnel_is_missed_only_where_it_is_asked_for_and_not_there(h1):
    there = h1.run("unshare -n ip link add x type ipip", check=False).status == 0
    assert words(h1, "--routing", "ipip") == ([] if there else ["kernel"])


def test_whether_somebody_keeps_the_clock_is_the_kernels_word(h1):
    import ctypes

    unkept = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(256)) == 5
    done = h1.run(["ocicat", "host", "check", "--role", "services", "-o", "name"], check=False)
    assert ("time-daemon" in done.out.split()) == unkept


def test_a_mesos_agent_whose_mounts_nobody_sees(h1):
    with running(h1, ["bash", "-c", "exec -a mesos-agent sleep 600"]):
        wait_for(lambda: h1.run("pgrep -f ^mesos-agent", check=False).status == 0, "the process", 20)
        assert words(h1) == []
    apart = ["unshare", "-m", "--propagation", "private", "bash", "-c", "exec -a mesos-agent sleep 600"]
    with running(h1, apart):
        wait_for(lambda: h1.run("pgrep -f ^mesos-agent", check=False).status == 0, "the process", 20)
        assert words(h1) == ["mount-namespace"]


def test_calico_that_runs(h1):
    with running(h1, ["bash", "-c", "exec -a calico-felix sleep 600"]):
        wait_for(lambda: h1.run("pgrep -f ^calico-felix", check=False).status == 0, "the process", 20)
        assert words(h1) == ["calico"]


@contextmanager
def agent(host, *options):
    with running(host, ["ocicat", "agent", "--address", "172.31.9.11/24", "--mesos-agent", "off", *options]):
        wait_for(lambda: host.run("test -S /run/ocicat/agent.sock", check=False).status == 0, "the agent", 60)
        yield
    host.run("rm -rf /run/ocicat /var/lib/ocicat")


def test_what_the_agent_was_told_counts(h1):
    with agent(h1, "--host", "another", "--mtu", "1500"):
        (found,) = check(h1)
        assert (found["about"], "ocicat calls this host another" in found["problem"]) == ("names-differ", True)
        (found,) = check(h1, "--routing", "vxlan", "--skip", "names-differ")
        assert (found["about"], "--mtu 1450" in found["mend"]) == ("mtu-containers", True)


# --- the command -----------------------------------------------------------------------------------------------------------


def test_it_takes_seconds_however_many_peers_are_silent(h1):
    peers = [word for number in range(60, 72) for word in ("--peer", f"172.31.9.{number}")]
    began = time.monotonic()
    assert set(words(h1, *peers)) == {"peer"}
    assert time.monotonic() - began < 30


def rules(host):
    """Without what IPv6 does by itself, seconds after a link came up, and without what is counted."""
    return [line.partition(" [")[0] for line in host.rules().splitlines() if "fe80" not in line]


def test_it_changes_nothing(h1):
    h1.mark()
    before = (rules(h1), h1.sysctls())
    h1.run(["ocicat", "host", "check", "--role", "agent", "--role", "master", "--role", "services"], check=False)
    after = (rules(h1), h1.sysctls())
    assert set(after[0]) ^ set(before[0]) == set()
    assert after == before
    assert h1.changed() == {}


def test_only_root_may(h1):
    done = h1.run("setpriv --reuid 65534 --clear-groups ocicat host check --role agent", check=False)
    assert done.status == 2
    assert "by root only" in done.err
