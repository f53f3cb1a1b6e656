"""What cannot be shown on a namespace host: the whole kernel's sizes, several interfaces, files that are read in an order."""

import re
from pathlib import Path as File

import pytest

from ocicat.changes.files import Tree
from ocicat.cli.commands import host
from ocicat.host import sysctls
from ocicat.host.facts import connections as connections_facts
from ocicat.host.facts import others as others_facts
from ocicat.host.facts import settings as settings_facts
from ocicat.host.facts.agents import Agents, Known, Own
from ocicat.host.facts.clock import Clock, Skew
from ocicat.host.facts.connections import Connections
from ocicat.host.facts.names import Answer, Lookups, Names, same
from ocicat.host.facts.others import Text
from ocicat.host.facts.paths import Path
from ocicat.host.facts.places import Directory, Mount, Places, covering, mount
from ocicat.host.findings import agents, clock, connections, every, kernel, managers, paths, places, settings
from ocicat.host.probes.run import Kernel
from ocicat.host.roles import Asked, parse_peers
from ocicat.model.v3.endpoints import Node, NodeBGPSpec, NodeSpec
from ocicat.model.v3.metadata import Metadata

ROOT = File(__file__).resolve().parents[2]


def words(found):
    return [one.about for one in found]


def asked(**more):
    peers = parse_peers(more.pop("peers", ()), ["agent"])
    return Asked(roles=more.pop("roles", ("agent",)), peers=peers, **more)


# --- the words -------------------------------------------------------------------------------------------------------------


def test_every_word_is_one_that_is_known_and_explained():
    sources = (ROOT / "src/ocicat/host/findings").glob("*.py")
    used = {
        word
        for source in sources
        for word in re.findall(r'(?:Finding\(|return ")\s*"([a-z0-9-]+)"', source.read_text())
    }
    explained = set(re.findall(r"`([a-z0-9-]+)`", (ROOT / "docs/host-check.md").read_text()))
    assert used == set(every.WORDS)
    assert used <= explained


# --- names -----------------------------------------------------------------------------------------------------------------


def test_two_names_of_one_host():
    assert same("h1", "H1.example.com")
    assert same("h1.example.com", "h1")
    assert not same("h1", "h10.example.com")
    assert not same("h1.a", "h1.b")


def names(host="h1", canonical="h1.example"):
    return Names(host=host, own=frozenset({"10.0.0.1"}), lookups=Lookups({host: Answer(canonical, ("10.0.0.1",))}, {}))


def test_mesos_and_ocicat_may_say_the_name_with_the_domain_or_without_but_both_the_same():
    assert words(agents.findings(Agents("h1", Own("h1", 0)), names())) == []
    assert words(agents.findings(Agents("h1.example", Own("h1.example", 0)), names())) == []
    assert words(agents.findings(Agents("h1.example", Own("h1", 0)), names())) == ["names-differ"]
    assert words(agents.findings(Agents("h2", Own("h2", 0)), names())) == ["names-differ"]
    assert words(agents.findings(Agents("", None), names())) == []


def test_an_agent_that_a_master_knows_by_our_name():
    here, there = Known("h1.example", ("10.0.0.1",), "m:5050"), Known("h1", ("10.0.0.9",), "m:5050")
    assert words(agents.findings(Agents(known=(here,)), names())) == []
    assert words(agents.findings(Agents(known=(here, there)), names())) == ["duplicate-name"]


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ({"ipv6_address": "FD00:0::1/64"}, []),
        ({"ipv4_address": "10.0.0.9/24", "ipv6_address": "fd00::1/64"}, []),
        ({"ipv6_address": "fd00::9/64"}, ["duplicate-name"]),
        ({"ipv4_address": "10.0.0.9/24"}, ["duplicate-name"]),
        ({}, []),
    ],
)
def test_a_node_of_the_datastore_goes_by_whatever_addresses_it_has(said, wanted):
    node = Node(metadata=Metadata(name="h1"), spec=NodeSpec(bgp=NodeBGPSpec(**said)))
    mine = Names(host="h1", own=frozenset({"10.0.0.1", "fd00::1"}))
    assert words(agents.findings(Agents(), mine, [host.known(node)])) == wanted
    assert host.known(Node(metadata=Metadata(name="h1"))).addresses == ()


# --- sizes of packets ------------------------------------------------------------------------------------------------------


def way(peer, interface="eth0", mtu=1500, fits=None, takes=1500, address="10.0.0.2"):
    return Path(
        peer=peer,
        address=address,
        interface=interface,
        mtu_bytes=mtu,
        alive=fits != 0,
        fits_bytes=mtu if fits is None else fits,
        takes_bytes=takes,
    )


def sizes(*ways, told=None, mtu=None, **more):
    told = told or asked(**more)
    return words(paths.findings(told, ways, mtu, "eth0"))


TWO = asked(peers=("h2", "h3")).peers


def test_interfaces_with_different_mtus():
    assert sizes(way(TWO[0]), way(TWO[1], "eth1")) == []
    assert sizes(way(TWO[0]), way(TWO[1], "eth1", 9000, takes=9000)) == ["mtu-uneven"]


def test_containers_get_what_the_routing_leaves_them():
    assert sizes(way(TWO[0]), mtu=0) == []
    assert sizes(way(TWO[0]), mtu=0, routings=("vxlan",)) == ["mtu-containers"]
    assert sizes(way(TWO[0]), mtu=1450, routings=("vxlan",)) == []
    assert sizes(way(TWO[0]), mtu=1450, routings=("vxlan", "ipip")) == []
    assert sizes(way(TWO[0]), mtu=1480, routings=("ipip",)) == []
    assert sizes(way(TWO[0], address="fd00::2"), mtu=1450, routings=("vxlan",)) == ["mtu-containers"]
    assert sizes(way(TWO[0]), routings=("vxlan",)) == []  # no agent runs: nobody has been told anything yet
    assert sizes(way(TWO[0]), mtu=9000, roles=("master",)) == []


def test_a_peer_that_answers_no_echo_counts_by_the_interface():
    assert sizes(way(TWO[0], fits=0, takes=0)) == []
    assert sizes(way(TWO[0], fits=0, takes=0), mtu=0, routings=("vxlan",)) == ["mtu-containers"]


def test_ipv6_needs_its_least():
    small = way(TWO[0], mtu=1300, takes=1500)
    assert sizes(small, ipv6=True) == []
    assert sizes(small, ipv6=True, routings=("vxlan",)) == ["mtu-ipv6"]
    assert sizes(small, routings=("vxlan",)) == []


def test_what_the_operator_says_of_the_network_counts():
    assert sizes(way(TWO[0]), told=asked(mtu=1500)) == []
    assert sizes(way(TWO[0]), told=asked(mtu=9000)) == ["mtu-interface"]


# --- tables of the kernel --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "wanted"),
    [
        (Connections(), []),
        (Connections(100, 65536, 1 << 30), []),
        (Connections(52429, 65536, 1 << 30), ["connections"]),
        (Connections(52428, 65536, 1 << 30), []),
        (Connections(0, 838860, 1 << 30), []),
        (Connections(0, 838861, 1 << 30), ["connections"]),
    ],
)
def test_the_table_of_connections(table, wanted):
    assert words(connections.findings(table)) == wanted


def write(root, **files):
    for path, text in files.items():
        target = root / path.replace("__", "/").lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return Tree(root, "host check")


def test_the_table_is_read(tmp_path):
    netfilter = "proc__sys__net__netfilter__nf_conntrack"
    tree = write(
        tmp_path, **{f"{netfilter}_count": "7\n", f"{netfilter}_max": "9\n", "proc__meminfo": "X: 1\nMemTotal:  4 kB\n"}
    )
    assert connections_facts.look(tree) == Connections(7, 9, 4096)
    assert connections_facts.look(Tree(tmp_path / "none", "x")) == Connections()


FORWARD = next(want for want in sysctls.wants(asked()) if want.name == "net.ipv4.ip_forward")
RP = next(want for want in sysctls.wants(asked()) if want.name == "net.ipv4.conf.all.rp_filter")


def later(tmp_path, want, **files):
    return settings_facts.look(write(tmp_path, **files), [want]).boot.get(want.name)


def test_the_last_file_has_the_last_word(tmp_path):
    files = {
        "etc__sysctl.d__50-a.conf": "net.ipv4.ip_forward=1\n",
        "usr__lib__sysctl.d__60-b.conf": "# net.ipv4.ip_forward=5\n net/ipv4/ip_forward = 0\n",
    }
    assert later(tmp_path, FORWARD, **files).path == "/usr/lib/sysctl.d/60-b.conf"
    assert later(tmp_path, FORWARD, **files, **{"etc__sysctl.conf": "net.ipv4.ip_forward=1"}).value == "1"


def boots(tmp_path, **files):
    found = settings_facts.look(write(tmp_path, **files), [FORWARD])
    return [
        (one.about, one.problem.split()[0], one.breaks.partition(":")[0], one.mend)
        for one in settings.findings([FORWARD], found)
    ]


NEXT_FILE = "set net.ipv4.ip_forward = 1, in a file of /etc/sysctl.d that comes later"
OUT_OF_IT = "take that line out of /etc/sysctl.conf: `sysctl --system` reads nothing after it"
BOTH = "after the next boot, or the next `sysctl --system`"


def test_what_systemd_does_at_a_boot_is_told_from_what_sysctl_does(tmp_path):
    """Debian 12 has a link 99-sysctl.conf to /etc/sysctl.conf; there are hosts without it."""
    off, on = "net.ipv4.ip_forward=0", "net.ipv4.ip_forward=1"
    linked, late, main = "etc__sysctl.d__99-sysctl.conf", "etc__sysctl.d__99-zz.conf", "etc__sysctl.conf"
    last = "/etc/sysctl.conf"
    assert boots(tmp_path / "a", **{linked: off, main: off}) == [("sysctl-file", last, BOTH, OUT_OF_IT)]
    assert boots(tmp_path / "b", **{linked: off, main: off, late: on}) == [
        ("sysctl-file", last, "after the next `sysctl --system`", OUT_OF_IT)
    ]
    assert boots(tmp_path / "c", **{linked: on, main: on, late: off}) == [
        ("sysctl-file", "/etc/sysctl.d/99-zz.conf", "after the next boot", NEXT_FILE)
    ]
    assert boots(tmp_path / "d", **{late: off}) == [("sysctl-file", "/etc/sysctl.d/99-zz.conf", BOTH, NEXT_FILE)]
    assert boots(tmp_path / "e", **{main: off}) == [
        ("sysctl-file", last, "after the next `sysctl --system`", OUT_OF_IT)
    ]
    assert boots(tmp_path / "f", **{main: on, late: on, linked: off}) == []


def test_a_file_hides_its_namesakes_in_later_directories(tmp_path):
    files = {"etc__sysctl.d__10.conf": "", "usr__lib__sysctl.d__10.conf": "net.ipv4.ip_forward=0"}
    assert later(tmp_path, FORWARD, **files) is None


def test_a_pattern_gives_way_to_a_name(tmp_path):
    files = {"etc__sysctl.d__10.conf": "-net.ipv4.conf.all.rp_filter=0\nnet.ipv4.conf.*.rp_filter=2\n"}
    assert later(tmp_path, RP, **files).value == "0"
    assert later(tmp_path, RP, **{"etc__sysctl.d__10.conf": "net.ipv4.conf.*.rp_filter = 2\n"}).value == "2"


def test_a_pattern_is_not_for_names_that_are_kept_out(tmp_path):
    """As systemd's own file has it."""
    text = "net.ipv4.conf.default.rp_filter = 2\nnet.ipv4.conf.*.rp_filter = 2\n-net.ipv4.conf.all.rp_filter\n"
    assert later(tmp_path, RP, **{"usr__lib__sysctl.d__50-default.conf": text}) is None


def test_what_this_kernel_does_not_have_is_not_wrong_by_itself(tmp_path):
    wants = sysctls.wants(asked(ipv6=True))
    assert words(settings.findings(wants, settings_facts.look(Tree(tmp_path, "x"), wants))) == ["ipv6"]


# --- programs, clocks, places ----------------------------------------------------------------------------------------------


def test_an_old_nft():
    assert words(kernel.findings(Kernel("/usr/sbin/nft", (1, 0, 6), ()))) == []
    assert words(kernel.findings(Kernel("/usr/sbin/nft", (1, 1, 0), ()))) == []
    assert words(kernel.findings(Kernel("/usr/sbin/nft", (0, 9, 8), ()))) == ["nft"]
    assert words(kernel.findings(Kernel("/usr/sbin/nft", (), ()))) == []


def test_a_clock_is_wrong_only_by_more_than_can_be_measured():
    def told(ahead_s, within_s=0.5):
        return list(clock.findings(Clock(True, (Skew("h2", ahead_s, within_s),))))

    assert told(2.4) == told(-2.4) == told(5.0, 4.0) == []
    assert "ahead of" in told(2.6)[0].problem
    assert "behind" in told(-2.6)[0].problem
    assert "certificates" not in told(30)[0].breaks
    assert "certificates" in told(90)[0].breaks


MOUNTS = (
    "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw",
    "23 22 0:5 / /run rw,nosuid shared:7 master:2 - tmpfs tmpfs rw,size=1k",
    r"24 22 0:6 / /mnt/a\040b rw - cgroup cgroup rw,freezer",
)


def test_a_line_of_mountinfo():
    root, run, other = map(mount, MOUNTS)
    assert run == Mount("/run", "tmpfs", frozenset({"rw", "nosuid", "size=1k"}), "7")
    assert (other.at, other.shared, "freezer" in other.options) == ("/mnt/a b", "", True)
    assert covering([root, run, other], "/run/mesos") == run
    assert covering([root, run, other], "/runs") == root
    assert covering([], "/") is None


def groups(*lines, isolation=""):
    found = Places(mounts=tuple(map(mount, lines)), directories=())
    return [one.problem.rpartition(" ")[2] for one in places.findings(asked(), found, isolation)]


def test_control_groups_are_those_that_mesos_is_configured_with():
    assert groups(MOUNTS[2]) == []
    assert groups(MOUNTS[0]) == ["freezer"]
    assert groups(MOUNTS[2], isolation="cgroups/cpu,network/cni,cgroups/mem") == ["cpu", "cpuacct", "memory"]


def test_a_host_of_version_2_alone_must_boot_otherwise():
    found = Places(mounts=(mount("25 22 0:7 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw"),), directories=())
    freezer, memory = places.findings(asked(), found, "cgroups/mem")
    assert "mount -t cgroup -o freezer" in freezer.mend
    assert "systemd.unified_cgroup_hierarchy=0" in memory.mend


def test_room_for_files_counts_as_well():
    plenty = Directory("/var/lib/ocicat", True, True, True, 1 << 40, 1 << 20, False, 1 << 28, False)
    few = Directory("/var/lib/ocicat", True, True, True, 1 << 40, 3, False, 1 << 28, False)
    assert words(places.findings(asked(), Places(mounts=(mount(MOUNTS[2]),), directories=(plenty, few)), "")) == [
        "room"
    ]


# --- what manages links ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        ((), False),
        (("[main]\nplugins=keyfile",), False),
        (("[keyfile]\nunmanaged-devices=interface-name:oci*;interface-name:bwoci*",), True),
        (("[keyfile]\nunmanaged-devices=interface-name:oci*",), False),
        (("[keyfile]\nunmanaged-devices=*",), True),
        (("[keyfile]\nunmanaged-devices=*,except:interface-name:oci*",), False),
        (("[keyfile]\nunmanaged-devices=*", "[keyfile]\nunmanaged-devices=mac:x"), False),
        (("[device-oci]\nmatch-device=interface-name:*oci*\nmanaged=0",), True),
        (("[device-oci]\nmatch-device=interface-name:*oci*\nmanaged=1",), False),
        (("[keyfile]\nunmanaged-devices+=interface-name:oci*;interface-name:bwoci*",), True),
        (
            (
                "[keyfile]\nunmanaged-devices=a,interface-name:oci*",
                "[keyfile]\nunmanaged-devices+=interface-name:bwoci*,",
            ),
            True,
        ),
        (("[keyfile]\nunmanaged-devices=*", "[keyfile]\nunmanaged-devices+=except:interface-name:oci*"), False),
        (("[keyfile]\nunmanaged-devices=*", "[keyfile]\nunmanaged-devices-=*"), False),
        (("[keyfile]\nunmanaged-devices=*;except:type:veth", "[keyfile]\nunmanaged-devices-=except:type:veth"), True),
        (("[keyfile]\nunmanaged-devices=except:interface-name:eth0",), True),
        (("[keyfile]\nunmanaged-devices=except:interface-name:eth0;interface-name:x",), False),
        (("[keyfile]\nunmanaged-devices=except:interface-name:oci*",), False),
        (("[keyfile]\nunmanaged-devices=interface-name:=oci*;interface-name:=bwoci*",), False),
        (("[keyfile]\nunmanaged-devices=interface-name:~oci*;interface-name:~bwoci*",), True),
        (("[keyfile]\nunmanaged-devices=type:veth;driver:ifb",), True),
        (("[.config]\nenable=false\n[keyfile]\nunmanaged-devices=*",), False),
        (("[device-a]\nmanaged=0", "[device-b]\nmatch-device=*\nmanaged=1"), False),
        (("[device-b]\nmatch-device=*\nmanaged=1", "[device-a]\nmanaged=0"), True),
        (("[device-a]\nmanaged=0\n[device-b]\nmanaged=1",), True),
        (("[device-a]\nmanaged=0", "[device-b]\nstop-match=yes"), False),
        (("[device-a]\nmanaged=0", "[device]\nmanaged=1"), True),
        (("[device]\nmanaged=0",), True),
    ],
)
def test_networkmanager(texts, wanted):
    assert managers.unmanaged([Text(str(number), text) for number, text in enumerate(texts)]) == wanted


def test_networkmanager_reads_its_main_file_before_those_of_etc_and_after_all_others(tmp_path):
    """A file hides its namesakes in the directories that are read before."""
    where = "NetworkManager__conf.d"
    files = {
        f"usr__lib__{where}__50-a.conf": "u50",
        f"usr__lib__{where}__90-b.conf": "u90",
        f"run__{where}__90-b.conf": "r90",
        f"run__{where}__10-c.conf": "r10",
        f"etc__{where}__10-c.conf": "e10",
        f"etc__{where}__05-d.conf": "e05",
        f"etc__{where}__README": "no",
        "etc__NetworkManager__NetworkManager.conf": "main",
    }
    tree = write(tmp_path, **files)
    assert [file.text for file in others_facts.networkmanager(tree)] == ["u50", "r90", "main", "e05", "e10"]


def test_networkmanager_keeps_what_its_main_file_says_whatever_stands_there_to_switch_it_off():
    text = "[.config]\nenable=no\n[keyfile]\nunmanaged-devices=*"
    assert managers.unmanaged([Text(others_facts.NETWORKMANAGER_MAIN, text)])


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        ((), True),
        (("[Network]\n#ManageForeignRoutes=no",), True),
        (("[Network]\nManageForeignRoutes=no",), False),
        (("[Network]\nManageForeignRoutes=no", "[Network]\nManageForeignRoutes=yes"), True),
    ],
)
def test_networkd(texts, wanted):
    assert managers.manages_foreign_routes([Text("x", text) for text in texts]) == wanted


@pytest.mark.parametrize(
    ("match", "wanted"),
    [
        ("Name=eth*", False),
        ("Name=*", True),
        ("Name=eth0 oci*", True),
        ("Name=!eth0", True),
        ("Name=!eth0 oci* bwoci*", False),
        ("Type=ether", True),
        ("Driver=veth\nName=ve-*", False),
        ("Kind=veth", True),
        ("Kind=ifb", True),
        ("Name=*\nMACAddress=00:11:22:33:44:55", False),
        ("", False),
    ],
)
def test_networkd_and_links(match, wanted):
    file = Text("50.network", f"[Match]\n{match}\n[Network]\nDHCP=yes\n")
    before = Text("10.network", "[Match]\nName=oci* bwoci*\n[Link]\nUnmanaged=yes\n")
    assert managers.takes_links([file]) == ("50.network" if wanted else "")
    assert managers.takes_links([before, file]) == ""
