"""Interfaces that come and go, restarts, leftovers, and what is not ours."""

from pathlib import Path

import pytest
from dataplane_bed import (
    ALLOW,
    OUTSIDE,
    Bed,
    addr,
    batch,
    endpoint,
    flood,
    from_set,
    members,
    profile,
    reaches,
    wait_until,
)

from ocicat.dataplane.api import Applied, Attach, DataplaneConfig, Detach, Drift, EndpointsInForce, Problem
from ocicat.dataplane.apply import cleanup
from ocicat.errors import NotFound, Refused, Unavailable, UserError
from ocicat.model.net import Cidr
from ocicat.model.wanted import (
    AddressSetGone,
    EndpointGone,
    InSync,
    Match,
    ProfileGone,
    ProfileRules,
    RemoteBlock,
    Revision,
    WantedRule,
)
from ocicat.netlink import link, namespace
from ocicat.netlink.link import End
from ocicat.netlink.monitor import Group, Monitor
from ocicat.netlink.socket import RouteSocket

pytestmark = pytest.mark.netns

A, B = "10.65.0.2", "10.65.0.3"
STATE = (
    members("p", A, B),
    profile("p", [from_set("p"), WantedRule("Allow", protocol=6, destination=Match(ports=((22, 22), (80, 90))))]),
    endpoint("a", A),
    endpoint("b", B),
    RemoteBlock(Cidr.parse("10.65.1.0/26"), addr(OUTSIDE)),
)


@pytest.fixture
def bed():
    bed = Bed()
    yield bed
    bed.close()


def running(bed, *names, **settings):
    plane = bed.plane(**settings)
    plane.submit(batch(1, *STATE))
    for name, ip in (("a", A), ("b", B)):
        if name in names:
            bed.attach(plane, name, ip)
    bed.wait_in_force(1, *names)
    return plane


def listing(bed):
    """Without what was counted."""
    return bed.nft("-a", "-s", "list", "ruleset") + bed.ip("route") + bed.ip("-6", "route")


def test_a_restart_with_the_right_state_changes_nothing_and_loses_no_packet(bed):
    plane = running(bed, "a", "b")
    before = listing(bed), bed.generation()
    with Monitor([Group.LINK, Group.ROUTE_V4], netns_fd=bed.host) as changes:
        with flood(bed.containers["a"], B) as ping:
            plane.stop()
            bed.reports.clear()
            again = bed.plane()
            again.resync().result(10)
            assert (listing(bed), bed.generation()) == before
            again.submit(batch(2, *STATE))
            bed.wait_in_force(2, "a", "b")
            again.resync().result(10)
        assert changes.read() == []
    assert (listing(bed), bed.generation()) == before
    assert ping.lost == 0


def test_nothing_is_swept_before_the_state_is_complete(bed):
    running(bed, "a", "b").stop()
    plane = bed.plane()
    plane.submit((*STATE[:3], Revision(2)))
    bed.wait_in_force(2, "a")
    assert reaches(bed.containers["a"], B)


def test_what_is_wrong_is_swept_when_the_state_is_complete(bed):
    running(bed, "a", "b").stop()
    bed.nft("add", "chain", "inet", "ocicat", "left-over")
    bed.nft("add", "set", "inet", "ocicat", "s4-left", "{ type ipv4_addr; }")
    bed.nft("add", "element", "inet", "ocicat", "to-workload", '{ "ocix" : goto left-over }')
    bed.nft("add", "element", "inet", "ocicat", "s4-p", "{ 10.65.0.77 }")
    bed.ip("route", "add", "blackhole", "10.99.0.0/24", "proto", "84")
    plane = bed.plane()
    plane.submit((*STATE[:3], InSync(), Revision(2)))
    plane.resync().result(10)
    ruleset, routes = bed.nft("list", "table", "inet", "ocicat"), bed.ip("route")
    assert not any(word in ruleset for word in ("left", "ocix", "10.65.0.77", "ocib"))
    assert "10.99.0.0" not in routes
    assert B not in routes
    assert "blackhole 10.65.0.0/26" not in routes
    assert A in routes


def test_an_interface_from_before_that_no_endpoint_has_is_closed_and_told_but_not_deleted(bed):
    running(bed, "a", "b").stop()
    plane = bed.plane()
    plane.submit((*STATE[:3], InSync(), Revision(2)))
    assert "no endpoint" in bed.problem("interface ocib")
    assert not reaches(bed.containers["b"], OUTSIDE)
    bed.detach(plane, "b")
    bed.wait(lambda r: r == Problem("interface ocib", ""))


def test_other_tables_and_routes_are_left_alone(bed):
    bed.nft(
        "-f",
        "-",
        text="table inet theirs {\nchain c {\ntype filter hook forward priority 5; policy accept;\ncounter\n}\n}\n",
    )
    bed.ip("route", "add", "10.77.0.0/16", "via", OUTSIDE)
    bed.ip("route", "add", "blackhole", "10.78.0.0/16", "proto", "static")
    theirs = bed.nft("-a", "list", "table", "inet", "theirs"), bed.ip("route", "show", "root", "10.76.0.0/14")
    plane = running(bed, "a")
    plane.stop()
    with namespace.inside(bed.host):
        cleanup(DataplaneConfig())
        cleanup(DataplaneConfig())
    assert (bed.nft("-a", "list", "table", "inet", "theirs"), bed.ip("route", "show", "root", "10.76.0.0/14")) == theirs
    assert "ocicat" not in bed.nft("list", "tables")
    assert not bed.ip("route", "show", "proto", "84")
    assert bed.interfaces() == {"lo", "up0"}


def test_a_foreign_route_in_the_way_fails_the_endpoint_and_stays(bed):
    bed.ip("route", "add", "blackhole", f"{A}/32", "proto", "static")
    plane = bed.plane()
    plane.submit(batch(1, *STATE))
    bed.attach(plane, "a", A)
    assert "not ours" in bed.failure("a")
    assert f"blackhole {A} proto static" in bed.ip("route")
    bed.ip("route", "del", "blackhole", f"{A}/32")
    plane.resync().result(10)
    bed.wait_in_force(1, "a")


def test_a_block_whose_gateway_is_not_on_our_subnet_is_a_problem_until_it_is(bed):
    plane = bed.plane()
    plane.submit(batch(1, RemoteBlock(Cidr.parse("10.65.2.0/26"), addr("192.0.2.9"))))
    assert "gateway" in bed.problem("block 10.65.2.0/26")
    bed.ip("address", "add", "192.0.2.1/24", "dev", "up0")
    plane.resync().result(10)
    bed.wait(lambda r: r == Problem("block 10.65.2.0/26", ""))
    assert "10.65.2.0/26 via 192.0.2.9 dev up0 proto 84" in bed.ip("route")


def test_a_rule_that_nft_refuses_closes_its_profile_and_no_other(bed):
    plane = bed.plane()
    broken = ProfileRules("broken", (from_set("nowhere"), ALLOW), (ALLOW,))
    plane.submit(batch(1, *STATE, broken, endpoint("c", "10.65.0.4", profiles=["broken"])))
    for name, ip in (("a", A), ("b", B), ("c", "10.65.0.4")):
        bed.attach(plane, name, ip)
    bed.wait_in_force(1, "a", "b", "c")
    assert "nft" in bed.problem("profile broken")
    assert reaches(bed.containers["a"], B)
    assert not reaches(bed.outside, "10.65.0.4")
    assert reaches(bed.containers["c"], OUTSIDE)  # its egress chain is another one
    plane.submit((members("nowhere", OUTSIDE), Revision(2)))
    plane.resync().result(10)
    bed.wait(lambda r: r == Problem("profile broken", ""))
    assert reaches(bed.outside, "10.65.0.4")


@pytest.mark.parametrize("damage", ["flush ruleset", "flush chain inet ocicat forward", "delete table inet ocicat"])
def test_a_resync_mends_what_another_hand_broke(bed, damage):
    plane = running(bed, "a", "b")
    before = bed.nft("-s", "list", "ruleset")
    bed.nft(*damage.split())
    bed.ip("route", "flush", "proto", "84")
    plane.resync().result(10)
    assert sorted(bed.nft("-s", "list", "ruleset").split()) == sorted(before.split())
    assert reaches(bed.containers["a"], B)
    assert not reaches(bed.outside, A, 25)


def test_a_rule_that_another_hand_added_to_our_chains_goes_at_resync(bed):
    plane = running(bed, "a", "b")
    bed.nft("insert", "rule", "inet", "ocicat", "forward", "drop")
    assert not reaches(bed.containers["a"], B)
    plane.resync().result(10)
    assert reaches(bed.containers["a"], B)


def test_a_set_of_another_type_under_our_name_leads_to_a_new_table(bed):
    bed.nft("-f", "-", text="table inet ocicat {\nmap to-workload { type mark : verdict; }\nchain x {\n}\n}\n")
    plane = bed.plane()
    assert "another version" in bed.problem("dataplane")
    with pytest.raises(Unavailable, match="not in place yet"):
        bed.attach(plane, "a", A)
    plane.submit(batch(1, *STATE))
    bed.wait(lambda r: r == Applied(1))
    bed.attach(plane, "a", A)
    bed.attach(plane, "b", B)
    bed.wait_in_force(1, "a", "b")
    bed.wait(lambda r: r == Problem("dataplane", ""))
    assert reaches(bed.containers["a"], B)


def test_a_change_from_outside_is_found_by_the_next_change_of_ours(bed):
    plane = running(bed, "a", "b")
    bed.nft("delete", "table", "inet", "ocicat")
    plane.submit((endpoint("a", "10.65.0.9"), Revision(2)))
    bed.wait_in_force(2, "a")
    bed.wait(lambda r: r == Problem("dataplane", "") or isinstance(r, Drift))  # or the watchman was first
    assert "ocib" in bed.nft("list", "map", "inet", "ocicat", "to-workload")


def test_attach_makes_what_was_asked_for(bed):
    plane = running(bed)
    mac = bytes.fromhex("02000a410002")
    made = bed.attach(plane, "a", A, mac=mac, mtu=1450)
    with RouteSocket(bed.host) as host, RouteSocket(bed.containers["a"]) as inside:
        near, far = host.get(link.get("ocia")), inside.get(link.get("eth0"))
    assert (near.index, near.mtu, near.alias, near.up) == (made.index, 1450, "/a", True)
    assert (far.mac, far.mtu, far.up, made.mac) == (mac, 1450, True, mac)
    assert plane.verify("/a", bed.request("a", A, mac=mac)).result(10) == []
    sysctl = "/proc/sys/net/ipv4/conf/ocia/{proxy_arp,forwarding,rp_filter,accept_local,route_localnet}"
    assert bed.run(bed.host, "bash", "-c", f"cat {sysctl}").split() == ["1", "1", "0", "1", "0"]


def test_attaching_again_changes_nothing_and_is_reported_again(bed):
    plane = running(bed, "a")
    first = bed.attach(plane, "a", A)
    bed.reports.clear()
    assert bed.attach(plane, "a", A) == first
    bed.wait(lambda r: isinstance(r, EndpointsInForce) and r.keys == ("/a",))


def test_attach_says_what_is_wrong_and_leaves_nothing(bed):
    plane = running(bed)
    request = bed.request("a", A)
    with RouteSocket(bed.containers["a"]) as inside:
        inside.request(link.create_bridge(End("eth1")))
    for bad, error, words in (
        (remake(request, netns_path="/run/netns/oct-nowhere"), NotFound, "no network namespace"),
        (remake(request, container_interface="eth1"), Refused, "has an interface eth1 already"),
        (remake(request, interface="eth7"), UserError, "not a name for a workload"),
        (remake(request, addresses=()), UserError, "no address"),
        (remake(request, container_interface="x" * 16), UserError, "1 to 15 bytes"),
        (remake(request, mtu=1), Unavailable, "cannot"),
    ):
        with pytest.raises(error, match=words):
            plane.attach(bad).result(10)
        assert bed.interfaces() == {"lo", "up0"}
    with RouteSocket(bed.containers["a"]) as inside:
        assert {each.name for each in inside.dump(link.dump())} == {"lo", "eth1"}


def remake(request, **changes):
    fields = {name: getattr(request, name) for name in Attach.__struct_fields__}
    return Attach(**{**fields, **changes})


def test_a_failure_inside_the_container_removes_the_interface_again(bed, monkeypatch):
    plane = running(bed)
    monkeypatch.setattr("ocicat.dataplane.drivers.container.wanted_inside", fail)
    with pytest.raises(Refused, match="as planned"):
        bed.attach(plane, "a", A)
    assert bed.interfaces() == {"lo", "up0"}


def fail(*_, **__):
    raise Refused("as planned")


def test_the_name_of_another_endpoint_is_not_taken(bed):
    plane = running(bed, "a")
    with pytest.raises(Refused, match="belongs to endpoint /a"):
        plane.attach(remake(bed.request("b", B), interface="ocia")).result(10)
    plane.detach(Detach("/b", "ocia")).result(10)
    assert reaches(bed.containers["a"], OUTSIDE)


def test_detach_closes_at_once_and_deletes_in_the_end(bed):
    plane = running(bed, "a", "b")
    bed.detach(plane, "a")
    assert "ocia" not in bed.nft("list", "table", "inet", "ocicat")
    assert A not in bed.nft("list", "table", "netdev", "ocicat")
    assert f"{A} " not in bed.ip("route")
    with Monitor([Group.LINK], bed.host) as monitor:
        while "ocia" in bed.interfaces():
            assert monitor.wait(5.0)
    wait_until(lambda: "ocia" not in bed.nft("list", "ruleset"))
    plane.submit((EndpointGone("/a"), Revision(2)))
    bed.detach(plane, "a")


def test_the_same_container_can_be_attached_again_at_once(bed):
    plane = running(bed, "a", "b")
    for _ in range(3):
        plane.detach(Detach("/a", "ocia"))
        bed.attach(plane, "a", A)
    wait_until(lambda: reaches(bed.containers["a"], B))  # it waits for its own flows to be cut
    assert plane.verify("/a", bed.request("a", A)).result(10) == []


def test_a_container_that_moved_to_another_namespace_is_attached_there(bed):
    plane = running(bed, "a", "b")
    bed.containers["a"] = bed.namespace()
    bed.reports.clear()
    bed.attach(plane, "a", A)
    bed.wait_in_force(1, "a")
    assert reaches(bed.containers["a"], B)


def test_unused_chains_go_when_there_is_nothing_else_to_do(bed):
    plane = running(bed, "a")
    plane.submit((ProfileGone("p"), AddressSetGone("s:p"), EndpointGone("/a"), EndpointGone("/b"), Revision(2)))
    bed.wait(lambda r: r == Applied(2))
    wait_until(
        lambda: (
            not any(
                word in bed.nft("list", "table", "inet", "ocicat") for word in ("pri-", "chain in-", "s4-", "set p-")
            )
        )
    )


def test_detach_works_before_the_state_is_complete(bed):
    running(bed, "a", "b").stop()
    plane = bed.plane()
    bed.detach(plane, "a")
    assert "ocia" not in bed.nft("list", "table", "inet", "ocicat")
    assert A not in bed.nft("list", "table", "netdev", "ocicat")
    assert f"{A} " not in bed.ip("route")
    assert reaches(bed.host, B)


def test_an_interface_that_was_detached_before_a_crash_is_deleted_after_the_start(bed, monkeypatch):
    monkeypatch.setattr("ocicat.dataplane.reaper._reap", lambda item: None)
    plane = running(bed, "a")
    bed.detach(plane, "a")
    plane.stop()
    assert "ocia" in bed.interfaces()
    monkeypatch.undo()
    with Monitor([Group.LINK], bed.host) as monitor:
        bed.plane()
        while "ocia" in bed.interfaces():
            assert monitor.wait(5.0)


def test_a_container_that_dies_without_a_word_can_be_detached_and_comes_back(bed):
    plane = running(bed, "a", "b")
    with RouteSocket(bed.containers["a"]) as inside:
        inside.request(link.delete("eth0"))
    bed.detach(plane, "a")
    bed.reports.clear()
    bed.attach(plane, "a", A)
    bed.wait_in_force(1, "a")
    assert reaches(bed.containers["a"], B)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("nft flush chain inet ocicat forward", ""),
        ("nft flush map inet ocicat to-workload", "not in to-workload"),
        ("nft flush chain netdev ocicat ocia", "guard of ocia is not as wanted"),
        ("ip route flush proto 84", "no route"),
        ("ip link set ocia down", "is down"),
        ("ip link set ocia alias other", "marked as that of other"),
        ("ip link set ocia address ee:ee:ee:ee:ee:01", "has the MAC"),
        ("ip link del ocia", "no interface ocia"),
    ],
)
def test_verify_names_what_is_wrong_on_the_host(bed, damage, words):
    plane = running(bed, "a")

    def is_told():
        bed.run(bed.host, *damage.split())
        return any(words in fault for fault in plane.verify("ocia", bed.request("a", A)).result(10)) or not words

    assert any(is_told() for _ in range(10))  # if not, the watchman has mended it meanwhile


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("ip link set eth0 down", "is down"),
        ("ip link set eth0 name eth9", "no interface eth0"),
        (f"ip address del {A}/32 dev eth0", f"no address {A}"),
        ("ip route del default", "no route 0.0.0.0/0"),
        ("ip neighbour flush dev eth0 nud permanent", "no neighbour 169.254.1.1"),
    ],
)
def test_verify_names_what_is_wrong_inside(bed, damage, words):
    plane = running(bed, "a")
    bed.run(bed.containers["a"], *damage.split())
    assert any(words in fault for fault in plane.verify("/a", bed.request("a", A)).result(10))


def test_verify_of_nobody(bed):
    assert running(bed).verify("/nobody").result(10) == ["there is no endpoint /nobody on this host"]


def test_without_nft_it_says_so_attaches_nothing_and_recovers(bed, tmp_path):
    nft = tmp_path / "nft"
    plane = bed.plane(nft=str(nft))
    assert "cannot run" in bed.problem("dataplane")
    with pytest.raises(Unavailable, match="not in place"):
        bed.attach(plane, "a", A)
    nft.symlink_to("/usr/sbin/nft")
    bed.wait(lambda r: r == Problem("dataplane", ""))
    bed.attach(plane, "a", A)


def test_after_stop_requests_are_turned_away_and_traffic_goes_on(bed):
    plane = running(bed, "a", "b")
    plane.stop()
    plane.stop()
    with pytest.raises(Unavailable, match="stopped"):
        plane.resync().result(1)
    assert reaches(bed.containers["a"], B)


def test_an_exception_nobody_expected_is_reported_and_overcome(bed, monkeypatch):
    plane = running(bed, "a")
    monkeypatch.setattr("ocicat.dataplane.reconcile.program.Program.run", fail_once(monkeypatch))
    plane.submit((endpoint("b", B), Revision(2)))
    assert "as planned" in bed.problem("dataplane")
    bed.attach(plane, "b", B)
    bed.wait_in_force(2, "b")


def fail_once(monkeypatch):
    def run(*_, **__):
        monkeypatch.undo()
        raise ValueError("as planned")

    return run


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_descriptors_are_not_leaked(bed):
    plane = running(bed, "a")
    for _ in range(2):
        bed.detach(plane, "a")
        bed.attach(plane, "a", A)
        plane.resync().result(10)
    before = descriptors()
    for _ in range(5):
        bed.detach(plane, "a")
        bed.attach(plane, "a", A)
        plane.resync().result(10)
    assert descriptors() <= before + 2  # the reaper may hold one at the moment
