"""From what tightened to what is ended: where to look, what is judged and how, when it is looked for again."""

import pytest

from ocicat.dataplane.api import DataplaneConfig, FlowsCut
from ocicat.dataplane.flows.cuts import Cuts, Places, Scope, Search, guards, passage, scope
from ocicat.dataplane.flows.judge import UNKNOWN
from ocicat.dataplane.flows.tightening import Tightened
from ocicat.dataplane.managers.router import Managers
from ocicat.dataplane.reconcile.ledger import Ledger
from ocicat.model.net import Addr, Cidr
from ocicat.model.wanted import Endpoint, HostEndpoint, InSync, PolicyRules, ProfileRules, Tier, WantedRule
from ocicat.netlink.conntrack import EXPECTED, Direction, Flow
from ocicat.netlink.inet import packed, prefix
from ocicat.netlink.nftset import concat, key_port

ALLOW, DENY = WantedRule("Allow"), WantedRule("Deny")
TIER = Tier("default", "Deny", ("/p",))
A, B, HOST, FAR = "10.65.0.2", "10.65.0.3", "10.0.0.1", "192.0.2.9"


def endpoint(name, *addresses, **more):
    return Endpoint(f"/{name}", f"oci{name}", tuple(map(Addr.parse, addresses)), ("p",), **more)


def flow(source, destination, *, protocol=6, to=None, back=None, status=0, number=1):
    """From port 4000 to port 80; `to`: who answers, `back`: whom."""
    original = Direction(packed(source), packed(destination), protocol, 4000, 80)
    to, to_port = to or (destination, 80)
    return Flow(
        original, Direction(packed(to), packed(back or source), protocol, to_port, 4000), status, 0, 0, number, b""
    )


# --- where to look ---------------------------------------------------------------------------------------------------------


def search(hosts=(), **tightened):
    return Search(
        Tightened(**tightened), (endpoint("a", A), endpoint("b", B, "fd65::3", ingress=(TIER,))), tuple(hosts)
    )


OWNERS = frozenset([("policy", "/p")])


def test_the_flows_of_endpoints_whose_lists_name_it():
    assert scope(search(owners=OWNERS)) == Scope(frozenset([packed(B), packed("fd65::3")]))
    assert scope(search(owners=frozenset([("profile", "p")]))) == Scope(frozenset(map(packed, (A, B, "fd65::3"))))
    assert scope(search(owners=frozenset([("policy", "/other")]))) == Scope()


def test_the_flows_of_members_that_came_or_went():
    nets = frozenset([Cidr.parse("192.0.2.0/24")])
    expected = Scope(frozenset([packed(FAR)]), (prefix("192.0.2.0/24"),))
    assert scope(search(addresses=frozenset([Addr.parse(FAR)]), nets=nets)) == expected


def test_where_host_endpoints_are_everything_is_everything():
    everybodys = frozenset(map(packed, (A, B, "fd65::3")))
    assert scope(search(everything=True)) == Scope(everybodys)
    for concerned in (HostEndpoint("/h", "eth0", ingress=(TIER,)), HostEndpoint("/h", "eth0", pre_dnat=(TIER,))):
        assert scope(search([concerned], owners=OWNERS)) == Scope(everything=True)
    other = HostEndpoint("/h", "eth0")
    assert scope(search([other], everything=True)) == Scope(everything=True)
    assert scope(search([other], owners=OWNERS)) == Scope(frozenset([packed(B), packed("fd65::3")]))


# --- what a flow is, seen from this host -----------------------------------------------------------------------------------


def managers(*messages):
    ledger = Ledger()
    found = Managers(DataplaneConfig(), ledger)
    for message in messages:
        found.apply(message)
    for name in "ab":
        found.endpoints.link_there(f"oci{name}", 1, f"/{name}")
    return found, ledger


def places(*messages):
    asked = []

    def is_local(address):
        return None if address == packed("224.0.0.1") else address == packed(HOST)

    def way_to(address):
        asked.append(address)
        return "eth0"

    found = Places(*managers(endpoint("a", A), endpoint("b", B), *messages), is_local, way_to)
    return found, asked


def test_places():
    found, asked = places()
    told = [found(packed(each)) for each in (A, B, HOST, FAR, "224.0.0.1")]
    assert told == ["ocia", "ocib", "", "*", None]
    assert asked == []


def test_the_interface_is_asked_for_only_where_it_makes_a_difference():
    found, asked = places(HostEndpoint("/h", "*"))
    assert found(packed(FAR)) == "*"
    assert asked == []
    found, asked = places(HostEndpoint("/h", "eth1"))
    assert [found(packed(FAR)), found(packed(FAR))] == ["eth0", "eth0"]
    assert asked == [packed(FAR)]


def test_what_a_workload_may_send_from_beside_its_own_address_is_nobodys():
    found, _ = places(endpoint("c", "10.65.0.4", sources=(Cidr.parse("192.0.2.0/24"),)))
    assert found(packed(FAR)) == UNKNOWN


def test_an_endpoint_without_an_interface_has_no_place_here():
    found, _ = places(endpoint("c", "10.65.0.4"))
    assert found(packed("10.65.0.4")) == "*"


def test_a_passage_is_the_first_packets():
    where, _ = places()
    found = passage(flow(A, FAR), where)
    assert (found.enters, found.leaves, found.translated) == ("ocia", "*", None)
    assert (found.packet.source_port, found.packet.destination_port) == (4000, 80)
    translated = passage(flow(FAR, HOST, to=(B, 8080)), where)
    assert (translated.enters, translated.leaves, translated.translated) == ("*", "ocib", (Addr.parse(B), 8080))
    assert translated.packet.destination == Addr.parse(HOST)
    assert passage(flow(A, FAR, back=HOST), where) == found


@pytest.mark.parametrize("other", [flow(A, "224.0.0.1"), flow(HOST, HOST), flow(A, B, status=EXPECTED)])
def test_what_nobody_can_judge(other):
    assert passage(other, places()[0]) is None


def test_tcp_is_guarded_as_its_other_end_would_take_it_up():
    six = flow("fd65::2", "fd65::3")
    translated, masqueraded = flow(FAR, HOST, to=(B, 80)), flow(A, FAR, back=HOST)
    found = guards([flow(A, B), flow(A, B, protocol=17), six, translated, masqueraded])
    expected = [(B, A), ("fd65::3", "fd65::2")]
    assert [change.spec.name for change in found] == ["cut-flows4", "cut-flows6"]
    for change, (source, destination) in zip(found, expected, strict=True):
        key = concat(packed(source), key_port(80), packed(destination), key_port(4000))
        assert [each.key for each in change.add] == [key]
    assert guards([]) == []


# --- from a message to a report --------------------------------------------------------------------------------------------

OPEN = ProfileRules("p", (ALLOW,), (ALLOW,))
FROM_A, FROM_B = flow(A, B, number=1), flow(B, A, number=2)


class Bed:
    """`Cuts` and the state it judges; a clock that stands."""

    def __init__(self, *messages):
        self.managers, ledger = managers(OPEN, endpoint("a", A), endpoint("b", B, ingress=(TIER,)), *messages)
        self.cuts = Cuts(DataplaneConfig(), self.managers)
        self.places = Places(self.managers, ledger, lambda address: False, lambda address: "eth0")
        self.now = 0.0
        for message in (OPEN, endpoint("a", A), endpoint("b", B, ingress=(TIER,)), *messages, InSync()):
            self.cuts.note(message)
        self.search()
        self.cuts.found([], self.now)

    def apply(self, *messages):
        for message in messages:
            self.cuts.note(message)
            self.managers.apply(message)

    def search(self):
        return self.cuts.search(self.now)

    def judge(self, times=1000):
        turns = iter([True] * times)
        self.cuts.judge(self.places, lambda: next(turns, False))
        return dict(self.cuts.forbidden)

    def cut(self, *flows):
        """What was found, judged and ended."""
        self.cuts.found(flows, self.now)
        self.judge()
        cut = self.cuts.handed_over()
        self.cuts.ended(cut, cut.flows)
        return cut.flows


RULES, NO_RULES = PolicyRules("/p", (ALLOW,), ()), PolicyRules("/p", (), ())


def test_the_forbidden_ones_are_handed_over_and_told():
    bed = Bed(RULES)
    assert bed.search() is None
    bed.apply(NO_RULES)
    assert bed.search().tightened.owners == OWNERS
    assert bed.cut(FROM_A, FROM_B) == (FROM_A,)
    assert bed.cuts.reports == [FlowsCut(1, (("ingress of /b: end of tier default", 1),))]


def test_after_an_end_it_is_looked_for_once_more():
    bed = Bed(RULES)
    bed.apply(NO_RULES)
    first = bed.search()
    bed.cut(FROM_A)
    again = bed.search()
    assert (again.tightened, again.again) == (first.tightened, True)
    bed.cut(flow(A, B, number=3))
    assert bed.search() is None
    assert [report.count for report in bed.cuts.reports] == [1, 1]


def test_where_nothing_was_ended_nothing_is_told():
    bed = Bed(RULES)
    bed.apply(NO_RULES)
    assert bed.search()
    assert bed.cut(FROM_B) == ()
    assert bed.search() is None
    assert bed.cuts.reports == []


def test_what_changes_meanwhile_is_judged_as_it_is_then_and_looked_for_next():
    bed = Bed(RULES)
    bed.apply(NO_RULES)
    bed.search()
    bed.cuts.found([FROM_A, FROM_B], 0.0)
    bed.apply(RULES, ProfileRules("p", (), (ALLOW,)))
    assert list(bed.judge()) == [FROM_B]  # for a has the profile
    assert bed.search() is None  # one at a time
    cut = bed.cuts.handed_over()
    bed.cuts.ended(cut, cut.flows)
    assert bed.search().again
    bed.cuts.found([], 0.0)
    assert bed.search().tightened.owners == {("profile", "p")}


def test_it_is_judged_some_at_a_time():
    bed = Bed(RULES)
    bed.apply(NO_RULES)
    bed.search()
    assert bed.cuts.wait_s(0.0) is None
    bed.cuts.found([flow(A, B, number=number) for number in range(100)], 0.0)
    assert bed.cuts.wait_s(0.0) == 0.0
    assert 0 < len(bed.judge(times=1)) < 100
    assert len(bed.judge()) == 100
    bed.cuts.handed_over()
    assert bed.cuts.wait_s(0.0) is None


def test_the_table_is_not_walked_all_the_time():
    bed = Bed(RULES)
    bed.apply(NO_RULES)
    bed.search()
    bed.now = 0.1
    bed.cuts.found([], bed.now)
    bed.apply(RULES, NO_RULES)
    assert bed.search() is None
    assert bed.cuts.wait_s(bed.now) == pytest.approx(0.9)
    bed.now = 1.01
    assert bed.search()
    bed.now = 30.0
    bed.cuts.found([], bed.now)
    bed.apply(RULES, NO_RULES)
    assert bed.search() is None
    assert bed.cuts.wait_s(bed.now) == pytest.approx(2.0)


def test_what_failed_is_told_and_done_anew():
    bed = Bed(RULES)
    bed.apply(NO_RULES)
    bed.cuts.failed(bed.search(), "no answer", bed.now)
    assert bed.cuts.trouble == "no answer"
    assert bed.search() is None
    bed.now += bed.cuts.wait_s(bed.now)
    found = bed.search()
    assert found.tightened.owners == OWNERS
    bed.cuts.found([FROM_A], bed.now)
    assert bed.cuts.trouble == ""
    bed.judge()
    bed.cuts.failed(bed.cuts.handed_over(), "no answer", bed.now)
    assert bed.cuts.trouble == "no answer"
    bed.now += bed.cuts.wait_s(bed.now)
    assert bed.search().tightened.owners == OWNERS
    assert bed.cut(FROM_A) == (FROM_A,)
    assert [report.count for report in bed.cuts.reports] == [1]


def test_flows_that_had_ended_are_not_counted():
    bed = Bed(RULES)
    bed.apply(NO_RULES)
    bed.search()
    bed.cuts.found([FROM_A], 0.0)
    bed.judge()
    bed.cuts.ended(bed.cuts.handed_over(), [])
    assert bed.cuts.reports == []
    assert bed.search() is None
