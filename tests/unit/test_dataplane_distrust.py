"""Chains that are not believed whatever their comments say, until they are loaded."""

from ocicat.dataplane.drift.watchman import Hints, Watchman
from ocicat.dataplane.drivers.ports import Ports
from ocicat.dataplane.reconcile.distrust import INET_TABLE, NETDEV_TABLE, Distrust
from ocicat.dataplane.reconcile.ledger import Ledger
from ocicat.dataplane.ruleset.guards import Guard
from ocicat.dataplane.ruleset.objects import Chain, Rule
from ocicat.netlink.monitor import Overrun
from ocicat.netlink.nftwatch import Commit, Lost

CHAIN, OTHER, EMPTY = Chain("one", (Rule("drop", ""),)), Chain("two", (Rule("accept", ""),)), Chain("none", ())
GUARD = Guard((b"\x0a\0\0\1",))
OURS = 7


def as_wanted():
    ledger = Ledger()
    for chain in (CHAIN, OTHER):
        ledger.want_chain(chain)
    for chain in (CHAIN, OTHER, EMPTY):
        ledger.chains.now_there(chain.name, chain.shape)
    for name in ("ocia", "ocib"):
        ledger.want_guard(name, GUARD)
        ledger.guards.now_there(name, GUARD)
    return ledger


def due(ledger):
    return [*ledger.chains.updates(), *ledger.guards.updates()]


def test_those_that_were_heard_of_differ_until_they_are_loaded():
    ledger = as_wanted()
    distrust = Distrust(ledger)
    distrust.heard({(INET_TABLE, "one"), (NETDEV_TABLE, "ocia"), (INET_TABLE, "gone"), (INET_TABLE, "none")}, ())
    assert due(ledger) == []
    distrust.show_chains()
    assert due(ledger) == ["one", "ocia"]
    ledger.chains.now_there("one", CHAIN.shape)
    ledger.guards.now_there("ocia", GUARD)  # read back again, for the pass failed
    distrust.show_chains()
    assert due(ledger) == ["one", "ocia"]
    ledger.chains.now_there("one", CHAIN.shape)
    distrust.loaded(INET_TABLE, "one")
    distrust.show_chains()
    assert due(ledger) == ["ocia"]


def test_of_a_table_all_do_but_after_what_is_drift_is_known():
    for table, names in ((INET_TABLE, ["one", "two"]), (NETDEV_TABLE, ["ocia", "ocib"])):
        ledger = as_wanted()
        distrust = Distrust(ledger)
        distrust.heard((), {table})
        distrust.show_chains()
        assert due(ledger) == []
        distrust.show_tables()
        assert due(ledger) == names


def hints(*commits, events=()):
    ours = Ports()
    ours.add(OURS)
    watchman = Watchman(ours, print)
    try:
        return watchman._hints(commits, events)
    finally:
        watchman.stop(0)


def commit(port, chains=(), named=()):
    return Commit(frozenset({INET_TABLE}), port, 1, "nft", frozenset(chains), frozenset(named))


def test_what_others_did_to_rules_of_ours_is_a_hint():
    chain, guard, strange = (INET_TABLE, "one"), (NETDEV_TABLE, "ocia"), ("ip other", "c")
    assert hints(commit(OURS, {chain}, {INET_TABLE})) == Hints()
    heard = hints(commit(8, {chain, guard, strange}, {"ip other", NETDEV_TABLE}))
    assert (heard.chains, heard.tables) == ({chain, guard}, frozenset())
    assert hints(commit(8, (), {INET_TABLE})).tables == {INET_TABLE}
    assert hints(Lost()).tables == {INET_TABLE, NETDEV_TABLE}
    assert hints(events=(Overrun(),)) == Hints(lost=True)
