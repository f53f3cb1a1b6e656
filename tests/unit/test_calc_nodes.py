"""The small nodes one by one: change trackers, set members, active policies, routes, the dispatcher."""

from __future__ import annotations

import pytest

from ocicat.calc.active_policies import ActivePolicies
from ocicat.calc.changes import ObjectChanges, SetChanges
from ocicat.calc.dispatcher import Dispatcher, feed
from ocicat.calc.graph import Graph
from ocicat.calc.records import BlockRecord, NodeRecord
from ocicat.calc.routes import Routes
from ocicat.calc.sequencer import Sequencer
from ocicat.calc.set_members import SetMembers
from ocicat.errors import UserError
from ocicat.model import keys
from ocicat.model.codec import encode_json
from ocicat.model.net import Addr, Cidr
from ocicat.model.resources import ProfileSpec
from ocicat.model.wanted import AddressSet, AddressSetGone, InSync, LocalBlock, RemoteBlock, Revision

ONE, TWO = Addr.parse("10.0.0.1"), Addr.parse("10.0.0.2")
HERE, THERE = Cidr.parse("10.0.0.0/26"), Cidr.parse("10.0.1.0/26")


def synced() -> Sequencer:
    sequencer = Sequencer()
    sequencer.in_sync()
    assert sequencer.flush(0) == (InSync(), Revision(0))
    return sequencer


# --- changes ----------------------------------------------------------------------------------------------------


def test_object_that_came_and_went_leaves_no_trace():
    changes = ObjectChanges[str, int]()
    changes.want("a", 1)
    changes.want("a", None)
    assert changes.take() == ([], [])


def test_object_that_went_and_came_back_leaves_no_trace():
    changes = ObjectChanges[str, int]()
    changes.want("a", 1)
    changes.take()
    changes.want("a", None)
    changes.want("a", 1)
    assert changes.take() == ([], [])


def test_objects_are_taken_in_the_order_of_their_ids():
    changes = ObjectChanges[str, int]()
    for name in "cab":
        changes.want(name, ord(name))
    assert changes.take() == ([97, 98, 99], [])
    for name in "bc":
        changes.want(name, None)
    assert changes.take() == ([], ["b", "c"])


def test_set_is_created_and_filled_in_one_message():
    changes = SetChanges()
    changes.open("s")
    changes.add("s", ONE)
    assert changes.take() == ([AddressSet("s", frozenset({ONE}))], [])


def test_empty_set_is_created_too():
    changes = SetChanges()
    changes.open("s")
    assert changes.take() == ([AddressSet("s")], [])


def test_member_that_came_and_went_leaves_no_trace():
    changes = SetChanges()
    changes.open("s")
    changes.take()
    changes.add("s", ONE)
    changes.remove("s", ONE)
    assert changes.take() == ([], [])


def test_set_that_was_opened_and_closed_leaves_no_trace():
    changes = SetChanges()
    changes.open("s")
    changes.close("s")
    assert changes.take() == ([], [])


def test_set_that_was_closed_and_opened_again_comes_out_as_the_difference():
    changes = SetChanges()
    changes.open("s")
    changes.add("s", ONE)
    changes.take()
    changes.remove("s", ONE)
    changes.close("s")
    changes.open("s")
    changes.add("s", TWO)
    assert changes.take() == ([AddressSet("s", frozenset({TWO}), frozenset({ONE}))], [])


def test_set_that_is_gone_says_nothing_of_its_members():
    changes = SetChanges()
    changes.open("s")
    changes.add("s", ONE)
    changes.take()
    changes.remove("s", ONE)
    changes.close("s")
    assert changes.take() == ([], [AddressSetGone("s")])


# --- sequencer --------------------------------------------------------------------------------------------------


def test_nothing_is_said_before_in_sync_and_nothing_is_lost():
    sequencer = Sequencer()
    sequencer.block(HERE, LocalBlock(HERE))
    assert sequencer.flush(1) == ()
    sequencer.in_sync()
    assert sequencer.flush(2) == (LocalBlock(HERE), InSync(), Revision(2))


# --- set members ------------------------------------------------------------------------------------------------


def test_address_stays_while_one_endpoint_holds_it():
    sequencer = synced()
    members = SetMembers(sequencer)
    members.open("s")
    for name in ("e", "f"):
        members.readdress(name, (ONE,), ())
        members.match_started("s", name)
    assert sequencer.flush(1)[0] == AddressSet("s", frozenset({ONE}))
    members.match_stopped("s", "e")
    assert sequencer.flush(2) == (Revision(2),)
    members.match_stopped("s", "f")
    assert sequencer.flush(3)[0] == AddressSet("s", removed=frozenset({ONE}))


def test_new_address_replaces_the_old_in_every_set():
    sequencer = synced()
    members = SetMembers(sequencer)
    members.readdress("e", (ONE,), ())
    for set_id in ("s", "t"):
        members.open(set_id)
        members.match_started(set_id, "e")
    sequencer.flush(1)
    members.readdress("e", (TWO,), ("s", "t"))
    exchanged = [AddressSet(set_id, frozenset({TWO}), frozenset({ONE})) for set_id in ("s", "t")]
    assert sequencer.flush(2) == (*exchanged, Revision(2))


# --- active policies --------------------------------------------------------------------------------------------


class Scans(list):
    """Stands for the rule scanner: the calls it got."""

    def scan(self, name, profile) -> None:
        self.append((name, profile is not None))


def test_profile_is_active_from_its_first_endpoint_to_its_last():
    scans = Scans()
    active = ActivePolicies(scans)
    active.set_profile("p", ProfileSpec())
    assert scans == []
    active.set_endpoint("e", ("p",))
    active.set_endpoint("f", ("p", "q"))
    active.set_endpoint("e", ())
    assert scans == [("p", True), ("q", False)]
    active.set_endpoint("f", ("q",))
    assert scans[2:] == [("p", False)]


def test_active_profile_follows_its_edits():
    scans = Scans()
    active = ActivePolicies(scans)
    active.set_endpoint("e", ("p",))
    active.set_profile("p", ProfileSpec())
    active.set_profile("p", None)
    assert scans == [("p", False), ("p", True), ("p", False)]


# --- routes -----------------------------------------------------------------------------------------------------


def test_node_change_says_only_its_own_blocks():
    sequencer = synced()
    routes = Routes("h1", sequencer)
    routes.set_node("h2", NodeRecord((ONE,)))
    routes.set_node("h3", NodeRecord((ONE,)))
    routes.set_block("here", BlockRecord(HERE, "h2"))
    routes.set_block("there", BlockRecord(THERE, "h3"))
    sequencer.flush(1)
    routes.set_node("h3", NodeRecord((TWO,)))
    assert sequencer.flush(2) == (RemoteBlock(THERE, TWO), Revision(2))


def test_block_that_changes_hands_is_said_once():
    sequencer = synced()
    routes = Routes("h1", sequencer)
    routes.set_node("h2", NodeRecord((ONE,)))
    routes.set_block("b", BlockRecord(HERE, "h1"))
    assert sequencer.flush(1) == (LocalBlock(HERE), Revision(1))
    routes.set_block("b", BlockRecord(HERE, "h2"))
    assert sequencer.flush(2) == (RemoteBlock(HERE, ONE), Revision(2))


# --- dispatcher -------------------------------------------------------------------------------------------------


def test_value_that_cannot_be_read_counts_as_deleted_and_is_a_problem():
    seen = []

    def read(key, value):
        if value == b"bad":
            raise UserError("it is bad")
        return value

    dispatcher = Dispatcher({"/a/": feed(read, lambda key, record: seen.append(record))})
    dispatcher.update("/a/x", b"good")
    dispatcher.update("/a/x", b"bad")
    assert [(problem.key, problem.text) for problem in dispatcher.problems()] == [("/a/x", "it is bad")]
    dispatcher.update("/a/x", b"good")
    assert seen == [b"good", None, b"good"]
    assert not list(dispatcher.problems())


NESTED = b'{"metadata":{"name":"x"},"junk":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.mark.parametrize("value", [b"", b"\xff", b'{"metadata":{"name":"\xff"}}', b"null", NESTED])
@pytest.mark.parametrize("key", [keys.workload("n", "e"), keys.profile("p"), keys.node("h"), keys.block(HERE)])
def test_hostile_value_is_a_problem_of_its_key(key, value):
    graph = Graph("h")
    graph.update(key, value)
    assert graph.problems().keys() == {key}
    graph.update(key, None)
    assert graph.problems() == {}


def endpoint(**spec) -> bytes:
    fields = {"orchestrator": "o", "node": "h", "interfaceName": "i", "ipNetworks": ["10.0.0.1"], **spec}
    return encode_json({"metadata": {"name": "e"}, "spec": fields})


@pytest.mark.parametrize(
    "spec",
    [
        {"ipNetworks": []},
        {"ipNetworks": ["10.0.0.0/24"]},
        {"ipNetworks": ["10.0.0.1/" + "9" * 5000]},
        {"interfaceName": ""},
        {"interfaceName": "sixteen-letters-"},
        {"interfaceName": 'a"; drop'},
        {"interfaceName": "trailing\n"},
    ],
)
def test_endpoint_that_cannot_be_used_is_a_problem_and_not_sent(spec):
    graph = Graph("h")
    graph.update(keys.workload("n", "e"), endpoint(**spec))
    graph.in_sync()
    assert graph.flush(1) == (InSync(), Revision(1))
    assert graph.problems().keys() == {keys.workload("n", "e")}


def test_block_under_another_key_is_a_problem():
    value = {"cidr": str(THERE), "affinity": "host:h", "allocations": [], "unallocated": [], "attributes": []}
    graph = Graph("h")
    graph.update(keys.block(HERE), encode_json(value))
    assert "own key" in graph.problems()[keys.block(HERE)]


def test_problem_of_a_rule_names_where_it_is():
    graph = Graph("h")
    graph.update(
        keys.profile("p"), b'{"metadata":{"name":"p"},"spec":{"egress":[{"action":"Allow"},{"action":"Log"}]}}'
    )
    assert graph.problems() == {}
    graph.update(keys.workload("n", "e"), endpoint(profiles=["p"]))
    expected = "spec.egress[1]: action: this version does not enforce Log in a profile"
    assert graph.problems() == {keys.profile("p"): expected}
