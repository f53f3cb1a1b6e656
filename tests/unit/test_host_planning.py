"""What has to be there for a host to be fit: names, kernel settings, links, managers, what starts at boot."""

import subprocess

import pytest

from ocicat.changes.files import State, Tree
from ocicat.changes.settings import Wish
from ocicat.errors import Refused
from ocicat.host.changing.sets import Sets
from ocicat.host.changing.texts import OFF, RuleLines, Switched, with_lines
from ocicat.host.facts import settings
from ocicat.host.facts.clock import Skew
from ocicat.host.facts.others import Others, Text, foreign_uses
from ocicat.host.facts.settings import Later
from ocicat.host.findings.managers import unmanaged
from ocicat.host.firewall import ipsets
from ocicat.host.firewall.letting import MARK, Allowed, Letting
from ocicat.host.firewall.places import Place
from ocicat.host.firewall.saved import extract, placed, removal, sets, without
from ocicat.host.ports import Opening
from ocicat.host.preparing import boot, clock, firewalls, kernel, links, managers, names
from ocicat.host.preparing.boot import Command
from ocicat.host.preparing.firewalls import Need
from ocicat.host.preparing.links import Link
from ocicat.host.preparing.names import Host
from ocicat.host.sessions import Session, allowed, parse_connection
from ocicat.host.sysctls import Want, accept_ra

DEBIAN = "127.0.0.1\tlocalhost\n127.0.1.1\th1.example.com\th1\n\n::1 localhost ip6-localhost\n"
H1, H2 = Host("h1.example.com", "10.0.0.1"), Host("h2", "10.0.0.2")


def block(planned):
    return "".join(item.state.content.decode() for item in planned.items)


# names


def test_the_installer_s_line_is_switched_off_and_the_host_s_own_comes():
    planned = names.hosts([H1, H2], DEBIAN)
    assert planned.wishes == (Wish("line /etc/hosts 127.0.1.1", ""),)
    assert block(planned) == "10.0.0.1 h1.example.com h1\n10.0.0.2 h2\n"


def test_what_a_line_said_beside_stays_said():
    planned = names.hosts([H2], "127.0.0.1 localhost h2 # me\n10.0.0.9 old\n10.0.0.2 wrong store\n")
    assert [wish.name for wish in planned.wishes] == ["line /etc/hosts 127.0.0.1", "line /etc/hosts 10.0.0.2"]
    assert block(planned) == "10.0.0.2 h2 wrong store\n127.0.0.1 localhost\n"


@pytest.mark.parametrize("text", ["10.0.0.2 h2\n", "10.0.0.2 h2 alias\n10.0.0.3 h2\n", "#10.0.0.9 h2\n10.0.0.2 h2\n"])
def test_what_the_file_says_rightly_is_not_said_again(text):
    assert names.hosts([H2], text) == names.hosts([], text)


def test_our_own_block_and_what_we_switched_off_are_seen_through(tmp_path):
    tree = Tree(tmp_path, "host prepare")
    tree.put("/etc/hosts", State("file", DEBIAN.encode()))
    planned = names.hosts([H1], DEBIAN)
    Switched(tree, "/etc/hosts", "127.0.1.1").write("")
    tree.put("/etc/hosts", planned.items[0].state)
    ours = tree.state("/etc/hosts", block=True).content.decode()
    assert names.names_in(ours) == {"h1.example.com", "h1"}
    assert names.without_ours(tree.text("/etc/hosts"), ours).split() == DEBIAN.split()


@pytest.mark.parametrize("name", ["h1", "h1.example.com", "a-b.c0"])
def test_names_of_hosts(name):
    assert names.is_name(name)


@pytest.mark.parametrize(
    "name", ["", "H1", "-h1", "h1-", "h1..com", "h_1", "h1.", "10.0.0.1", "x" * 65, "h1 h2", "h1\n"]
)
def test_what_is_no_name_of_a_host(name):
    assert not names.is_name(name)


# lines in files of others


def test_a_line_switched_off_and_on_is_what_it_was(tmp_path):
    tree = Tree(tmp_path, "host prepare")
    text = b"# net.ipv4.ip_forward=1\n net.ipv4.ip_forward = 0\nnet.ipv4.ip_forwardx=3\nnet.ipv4.ip_forward=\xff"
    tree.put("/s", State("file", text, 0o600))
    line = Switched(tree, "/s", "net.ipv4.ip_forward")
    was = line.read()
    assert was.splitlines()[0] == " net.ipv4.ip_forward = 0"
    line.write("")
    assert line.read() == ""
    assert tree.at("/s").read_bytes().count(OFF.encode()) == 2
    line.write(was)
    assert tree.state("/s") == State("file", text, 0o600)


@pytest.mark.parametrize("text", ["a\nb\n", "a\nb", "", "\n"])
@pytest.mark.parametrize("commit", [False, True])
def test_rules_put_into_a_file_and_taken_out_leave_it_as_it_was(tmp_path, text, commit):
    text = f"*nat\nCOMMIT\n*filter\n:INPUT DROP [0:0]\n{text}\nCOMMIT\n# end" if commit else text
    tree = Tree(tmp_path, "host prepare")
    tree.put("/rules", State("file", text.encode(), 0o640))
    lines = RuleLines(tree, "/rules", before_commit=commit)
    lines.write(f"-I INPUT 1 {MARK}\n-I INPUT 2 {MARK}")
    assert lines.read() == f"-I INPUT 1 {MARK}\n-I INPUT 2 {MARK}"
    if commit:
        assert f"{MARK}\nCOMMIT\n# end" in tree.text("/rules")
    lines.write(f"-I INPUT 1 {MARK}")
    lines.write(None)
    assert tree.state("/rules") == State("file", text.encode(), 0o640)


def test_ours_are_found_in_a_file_that_was_written_anew():
    saved = f'table inet filter {{\n\tchain input {{\n\t\ttcp dport 5051 accept comment "{MARK}"\n\t}}\n}}\n'
    assert MARK not in with_lines(saved, [], commit=False)


# the kernel

FORWARD = Want("net.ipv4.ip_forward", "1", "nothing is forwarded")
TABLE = Want("net.netfilter.nf_conntrack_max", "65536", "it overflows", least=True)


def test_settings_are_set_now_and_at_each_boot():
    planned = kernel.plan([FORWARD, TABLE], {"net.ipv4.ip_forward": "0", TABLE.name: "1000"}, {}, loadable=True)
    assert planned.wishes == (Wish("sysctl net.ipv4.ip_forward", "1"), Wish(f"sysctl {TABLE.name}", "65536"))
    files = {item.path: item.state.content.decode() for item in planned.items}
    assert files[kernel.SYSCTLS].endswith("\nnet.ipv4.ip_forward = 1\nnet.netfilter.nf_conntrack_max = 65536\n")
    assert files[kernel.MODULES].endswith("\nnf_conntrack\n")


def test_more_than_is_wanted_is_left_and_what_is_not_there_is_not_set():
    assert kernel.plan([FORWARD, TABLE], {TABLE.name: "262144"}, {}, loadable=True) == kernel.plan(
        [], {}, {}, loadable=True
    )


def test_more_now_and_less_after_a_boot_is_less():
    later = {TABLE.name: Later("1000", "/etc/sysctl.d/a.conf")}
    assert kernel.plan([TABLE], {TABLE.name: "262144"}, later, loadable=False).items


def test_what_is_more_than_enough_is_kept_when_a_file_would_lower_it():
    later = {TABLE.name: Later("1000", "/usr/lib/sysctl.d/50-low.conf")}
    (item,) = kernel.plan([TABLE], {TABLE.name: "262144"}, later, systemd=later, loadable=False).items
    assert (item.path, f"\n{TABLE.name} = 262144\n" in item.state.content.decode()) == (kernel.SYSCTLS, True)
    (item,) = kernel.plan([TABLE], {TABLE.name: "10"}, later, systemd=later, loadable=False).items
    assert f"\n{TABLE.name} = {TABLE.value}\n" in item.state.content.decode()


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("10-a", "99-z-ocicat"),
        ("99-sysctl", "99-z-ocicat"),
        ("99-zz", "99-zzz-ocicat"),
        ("zz-local", "zz-localz-ocicat"),
    ],
)
def test_our_file_comes_after_whoever_says_otherwise_and_says_so(name, ours):
    later = {
        FORWARD.name: Later("0", f"/run/sysctl.d/{name}.conf"),
        TABLE.name: Later("999999999", "/etc/sysctl.d/~.conf"),
    }
    (item,) = kernel.plan(
        [FORWARD, TABLE], {FORWARD.name: "1", TABLE.name: "10"}, later, systemd=later, loadable=False
    ).items
    assert item.path == f"/etc/sysctl.d/{ours}.conf"
    assert sorted([f"{name}.conf", f"{ours}.conf"])[1] == f"{ours}.conf"
    assert (f"has to come after {name}.conf" in item.state.content.decode()) == (item.path != kernel.SYSCTLS)


@pytest.mark.parametrize(("said", "off"), [("0", True), ("1", False)])
def test_what_sysctl_conf_says_otherwise_is_switched_off(said, off):
    later = {FORWARD.name: Later(said, "/etc/sysctl.conf")}
    planned = kernel.plan([FORWARD], {FORWARD.name: "0"}, later, loadable=False)
    assert (Wish("line /etc/sysctl.conf net.ipv4.ip_forward", "") in planned.wishes) == off


def test_enough_for_one_that_reads_files_at_boot_may_be_too_little_for_the_other():
    later, systemd = Later("262144", "/etc/sysctl.conf"), Later("1000", "/etc/sysctl.d/zz.conf")
    before = {TABLE.name: "262144"}
    planned = kernel.plan([TABLE], before, {TABLE.name: later}, systemd={TABLE.name: systemd}, loadable=False)
    (item,) = planned.items
    assert (item.path, planned.wishes) == ("/etc/sysctl.d/zzz-ocicat.conf", ())
    assert f"\n{TABLE.name} = 262144\n" in item.state.content.decode()


@pytest.mark.parametrize("interface", ["eth0", "bond0.7"])
def test_what_files_say_of_routers_advertisements_is_seen_too(tmp_path, interface):
    tree, want = Tree(tmp_path, "host prepare"), accept_ra(interface)
    tree.put("/etc/sysctl.d/zz.conf", State("file", f"{want.name} = 1\n".encode()))
    tree.put("/etc/sysctl.conf", State("file", f"{want.name} = 0\n".encode()))
    tree.put(want.path, State("file", b"1\n"))
    found = settings.look(tree, [want])
    planned = kernel.plan([], {}, found.theirs, systemd=found.theirs_systemd, loadable=False, advertised=[interface])
    assert [item.path for item in planned.items] == ["/etc/sysctl.d/zzz-ocicat.conf"]
    assert planned.wishes == (Wish(f"sysctl {want.name}", "2"), Wish(f"line /etc/sysctl.conf {want.name}", ""))
    assert found.now == {want.name: "1"}


def test_a_file_is_ours_by_what_it_begins_with_not_by_its_name(tmp_path):
    tree = Tree(tmp_path, "host prepare")
    tree.put("/etc/sysctl.d/zz-ocicat.conf", State("file", f"{FORWARD.name} = 0\n".encode()))
    (item,) = kernel.plan(
        [FORWARD], {FORWARD.name: "1"}, {}, systemd=settings.look(tree, [FORWARD]).theirs_systemd, loadable=False
    ).items
    assert item.path == "/etc/sysctl.d/zz-ocicatz-ocicat.conf"
    tree.put(item.path, item.state)
    found = settings.look(tree, [FORWARD])
    assert (found.systemd[FORWARD.name].value, found.theirs_systemd[FORWARD.name].value) == ("1", "0")


# links, clock, managers


def test_the_mtu_is_kept_by_whoever_configures_the_link():
    some = [
        Link("eth0", 1400, "/run/systemd/network/10-a.network"),
        Link("eth1", 1400, "", networkmanager=True),
        Link("eth2", 1400),
        Link("eth3", 9000),
    ]
    planned, commands = links.plan(some, 1500)
    assert planned.wishes == tuple(Wish(f"mtu eth{number}", "1500") for number in range(3))
    assert {item.path: item.state.content.decode().splitlines()[-1] for item in planned.items} == {
        "/etc/systemd/network/10-a.network.d/90-ocicat-mtu.conf": "MTUBytes=1500",
        "/etc/NetworkManager/conf.d/91-ocicat-mtu-eth1.conf": "ethernet.mtu=1500",
    }
    assert commands == (Command("ip link set dev eth2 mtu 1500"),)
    assert links.plan(some, 0) == (firewalls.Planned(), ())


def test_a_time_daemon_that_is_there_is_started():
    assert clock.plan(["chrony.service", "ntp.service"], [], disciplined=False).wishes == (
        Wish("unit chrony.service", "enabled, active"),
    )
    assert not clock.plan(["chrony.service"], ["ntp.service"], disciplined=False).wishes
    assert not clock.plan(["chrony.service"], [], disciplined=True).wishes
    assert "apt-get install chrony" in clock.plan([], [], disciplined=False).remarks[0]


@pytest.mark.parametrize(
    ("ahead", "step"), [([3600, 3601, 0.2], -3600), ([-30, -30, -30], 30), ([1.5, 1.5, 1.5], 0), ([2.4], 0), ([], 0)]
)
def test_the_clock_is_put_to_where_most_peers_are(ahead, step):
    assert clock.behind_s([Skew("h", one, 0.5) for one in ahead]) == step


def test_a_step_is_set_once(monkeypatch):
    monkeypatch.setattr(clock.time, "time", lambda: 1000.0)
    done = []
    clock.step(-3.5, lambda which, to: done.append((which, to)))
    assert done == [(clock.time.CLOCK_REALTIME, 996.5)]


@pytest.mark.parametrize(
    "said",
    [
        "unmanaged-devices=mac:00:11",
        "unmanaged-devices+=interface-name:eth0,",
        "unmanaged-devices=except:interface-name:eth0",
    ],
)
def test_who_manages_links_leaves_ours_alone_and_keeps_what_it_was_told(said):
    before = Text("/etc/NetworkManager/conf.d/a.conf", f"[keyfile]\n{said}\n")
    planned = managers.plan(Others(networkmanager=(before,), networkd=()), managers.Leftovers(), remove=False)
    text = {item.path: item.state.content.decode() for item in planned.items}
    assert "unmanaged-devices" not in text[managers.NETWORKMANAGER]
    assert unmanaged((before, Text(managers.NETWORKMANAGER, text[managers.NETWORKMANAGER])))
    assert "ManageForeignRoutes=no" in text[managers.NETWORKD]
    assert "Unmanaged=yes" in text[managers.NETWORKD_LINKS]
    assert not managers.plan(Others(), managers.Leftovers(), remove=True).items


def test_leftovers_go_only_when_that_is_asked_for():
    others = Others(
        interfaces=("lo", "cali123"),
        chains=("ip filter cali-INPUT", "iptables-legacy cali-FORWARD", "ip filter felix-INPUT", "inet own cali-x"),
        sets=("cali40s:1", "felix-v4-x"),
        kept_rules=("/etc/iptables/rules.v4",),
    )
    left = managers.leftovers(others, ["sets cali6", "chains ip6tables-nft cali-", "mtu eth0"], ["routes 4 80"])
    assert left.settings == (
        "chains ip6tables-nft cali-",
        "chains iptables-nft cali-,felix-",
        "chains iptables-legacy cali-,felix-",
        "sets cali6",
        "sets cali4",
        "sets felix-",
        "routes 4 80",
    )
    kept = managers.plan(others, left, remove=False)
    assert (kept.wishes, len(kept.remarks)) == ((), 1)
    assert any(
        "rules.v4 brings Calico's chains back" in one for one in managers.plan(others, left, remove=True).remarks
    )
    gone = managers.plan(others, left, remove=True).wishes
    assert gone == (*(Wish(one, "") for one in left.settings), Wish("interface cali123", None))
    assert not managers.leftovers(Others(calico_runs=True, interfaces=("cali123",)), [], [])


def test_without_ipset_there_are_no_sets_and_none_comes_back(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    Sets("cali4").write("")
    assert Sets("cali4").read() == ""
    with pytest.raises(Refused, match="no program ipset"):
        Sets("cali4").write("create cali40s hash:ip")


SAVED = """*nat
:PREROUTING ACCEPT [1:2]
-A PREROUTING -j OWN
COMMIT
*filter
:INPUT DROP [0:0]
:cali-INPUT - [0:0]
:cali-fw - [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m comment --comment "cali:1" -j cali-INPUT
-A INPUT -j DROP
-A cali-INPUT -j cali-fw
COMMIT
"""


def test_what_a_rule_of_others_needs_stays():
    rules = "*filter\n-A INPUT -j SET --add-set cali40s src\nCOMMIT\n"
    (use,) = foreign_uses({"iptables-nft": rules}, "create cali40s hash:ip\n", "Name: cali40s\nReferences: 1\n")
    left = managers.leftovers(Others(sets=("cali40s",), foreign_uses=(use,)), [], [])
    assert managers.plan(Others(), left, remove=False).remarks
    with pytest.raises(Refused, match="iptables-nft: a rule that is not Calico's uses Calico's set cali40s, and would"):
        managers.plan(Others(), left, remove=True)


IPSETS = """create own hash:ip family inet
create cali40s hash:net family inet
create cali40all list:set size 8
create mine list:set size 8
add own cali40s
add cali40s 10.9.0.0/26
add cali40all cali40s
"""


def listed(**references):
    return "".join(f"Name: {name}\nType: hash:ip\nReferences: {count}\n\n" for name, count in references.items())


@pytest.mark.parametrize(
    ("more", "references", "by"),
    [
        ("", 4, []),
        ("add mine cali40s\n", 5, ["ipset: the list mine"]),
        ("", 5, ["something that is neither a rule of iptables nor a list of sets"]),
    ],
)
def test_whatever_uses_a_set_of_calico_s_beside_calico_is_found(more, references, by):
    rules = "-A cali-INPUT -m set --match-set cali40s src -m set ! --match-set cali40s dst -j DROP\n"
    rules += "-A cali-INPUT -j SET --add-set cali40s src\n-A INPUT -m set --match-set own src -j DROP\n"
    found = foreign_uses({"iptables-legacy": rules}, IPSETS + more, listed(own=7, cali40s=references, cali40all=0))
    assert [(one.by, one.set) for one in found] == [(one, "cali40s") for one in by]


def test_lists_of_sets_go_first_and_all_sets_come_before_what_is_in_them():
    assert ipsets.names(IPSETS) == ["cali40all", "mine", "own", "cali40s"]
    assert ipsets.filling("\n".join(ipsets.of(IPSETS, "cali"))) == [
        "create cali40s hash:net family inet", "create cali40all list:set size 8", "flush cali40s", "flush cali40all",
        "add cali40all cali40s", "add cali40s 10.9.0.0/26",
    ]  # fmt: skip


def test_rules_are_copied_without_chains_that_are_about_to_go():
    kept = without(SAVED, ("cali-", "felix-"))
    assert [line for line in kept.splitlines() if "cali" in line] == []
    assert kept.count("\n") == SAVED.count("\n") - 4
    assert without(SAVED, ()) == SAVED
    rules = """-A X -m set --match-set a src -m set ! --match-set b dst,dst -j Y
-A X -m comment --comment "no --match-set \\" x" -m set --match-set a src
-A X -j SET --add-set c src --exist
-A X -j SET --del-set d src,dst
-A X -j SET --map-set e dst --map-mark"""
    assert list(sets(rules).items()) == [("a", 2), ("b", 1), ("c", 1), ("d", 1), ("e", 1)]


def test_chains_of_others_are_taken_out_with_all_that_leads_there():
    lines = extract(SAVED, ["cali-"])
    assert lines == [
        "*filter", ":cali-INPUT - [0:0]", ":cali-fw - [0:0]",
        '-I INPUT 2 -m comment --comment "cali:1" -j cali-INPUT', "-A cali-INPUT -j cali-fw", "COMMIT",
    ]  # fmt: skip
    assert list(removal(lines)) == [
        "*filter", "-F cali-INPUT", "-F cali-fw", '-D INPUT -m comment --comment "cali:1" -j cali-INPUT',
        "-X cali-INPUT", "-X cali-fw", "COMMIT",
    ]  # fmt: skip


def test_chains_of_two_kinds_are_counted_together():
    """Put back one rule at a time, each place is there by then."""
    rules = ["-A INPUT -j felix-INPUT", "-A INPUT -j OWN", "-A INPUT -j cali-INPUT"]
    chains = [":cali-INPUT - [0:0]", ":felix-INPUT - [0:0]"]
    lines = extract("\n".join(["*filter", *chains, *rules, "COMMIT"]), ["cali-", "felix-"])
    put_back = ["OWN"]
    for line in (one for one in lines if one.startswith("-I")):
        _, _, place, _, chain = line.split()
        assert int(place) <= len(put_back) + 1
        put_back.insert(int(place) - 1, chain)
    assert put_back == [one.split()[-1] for one in rules]


# firewalls, and what starts at boot

NFT = Place("nftables", "inet", "filter", input=("input",), forward=("forward",))
DOCKER = Place("iptables", "", "filter", "iptables-nft", 4, ("INPUT",), ("DOCKER-USER",))
LETTING = Letting((Allowed(Opening("tcp", 5051), ("10.0.0.2",)),), forward=True)


def test_rules_that_no_file_brings_back_are_made_at_boot():
    planned, commands = firewalls.plan([Need(NFT, LETTING), Need(DOCKER, LETTING, "/etc/iptables/rules.v4")])
    assert [wish.name for wish in planned.wishes] == [
        "rules nft inet filter input", "rules nft inet filter forward",
        "rules iptables-nft INPUT", "rules iptables-nft DOCKER-USER", "lines /etc/iptables/rules.v4",
    ]  # fmt: skip
    assert "DOCKER-USER" not in planned.wishes[-1].value
    script = next(
        item.state.content.decode() for item in boot.items(commands, systemd=True) if item.path == boot.SCRIPT
    )
    assert script.count("insert rule inet filter") == 3
    assert script.count("iptables-nft -w -I DOCKER-USER") == 2
    assert "INPUT" not in script
    subprocess.run(["sh", "-n"], input=script, text=True, check=True)


def test_without_systemd_the_operator_is_told_what_to_run():
    commands = (Command("true"),)
    assert [item.path for item in boot.items(commands, systemd=False)] == [boot.SCRIPT]
    assert boot.SCRIPT in boot.remarks(commands, systemd=False)[0]
    assert boot.items((), systemd=True) == boot.remarks((), systemd=False) == ()


@pytest.mark.parametrize(("commands", "status"), [(("true",), 0), (("false", "true"), 1)])
def test_the_script_tells_when_something_fails(tmp_path, commands, status):
    made = boot.items(tuple(Command(f"{one} <<'END'\ntext\nEND", unless="false") for one in commands), systemd=False)
    assert subprocess.run(["sh", "-c", made[0].state.content.decode()], check=False).returncode == status


def test_the_session_is_kept_open_by_its_address_and_port():
    assert parse_connection("::ffff:10.9.9.9 51234 10.0.0.1 2222") == Session("10.9.9.9", 2222)
    assert parse_connection("") is parse_connection("a b c d") is None
    found = allowed([Session("10.9.9.9", 22), Session("10.9.9.8", 22)])
    assert [(str(one.opening), one.sources) for one in found] == [("22/tcp", ("10.9.9.8", "10.9.9.9"))]


@pytest.mark.parametrize("path", ["/etc/rules", "/etc/linked", "/etc/twice"])
def test_a_link_to_a_file_of_rules_stays_and_its_file_is_changed(tmp_path, path):
    tree = Tree(tmp_path, "host prepare")
    tree.put("/etc/rules", State("file", b"table ip t\n", 0o640))
    tree.put("/etc/linked", State("link", b"../etc/rules"))
    tree.put("/etc/twice", State("link", b"linked"))
    lines = RuleLines(tree, path, before_commit=False)
    lines.write(f"insert {MARK}")
    Switched(tree, path, "table").write("")
    assert tree.text("/etc/rules") == f"{OFF}table ip t\ninsert {MARK}\n"
    Switched(tree, path, "table").write("table ip t")
    lines.write("")
    assert tree.state("/etc/rules") == State("file", b"table ip t\n", 0o640)
    assert [tree.state(f"/etc/{name}").kind for name in ("linked", "twice")] == ["link", "link"]


def test_places_are_counted_without_rules_of_ours_whether_they_are_there_or_not():
    rules = ["-A INPUT -i lo -j ACCEPT", '-A INPUT -m comment --comment "cali:1" -j cali-INPUT']
    ours = f"-A INPUT -s 10.0.0.9/32 -m comment --comment {MARK} -j ACCEPT"
    alone = extract("\n".join(["*filter", ":cali-INPUT - [0:0]", *rules, "COMMIT"]), ["cali-"])
    below = extract("\n".join(["*filter", ":cali-INPUT - [0:0]", ours, ours, *rules, "COMMIT"]), ["cali-"])
    assert alone == below
    assert placed("\n".join(alone), "") == "\n".join(alone)
    now = "\n".join(["*nat", ours, "COMMIT", "*filter", ours, ours, rules[0], "COMMIT"])
    assert [line for line in placed("\n".join(alone), now).splitlines() if line.startswith("-I")] == [
        '-I INPUT 4 -m comment --comment "cali:1" -j cali-INPUT'
    ]
