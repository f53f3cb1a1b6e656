"""The records there are: found by name, changed by owner."""

from __future__ import annotations

import random

from ocicat.dns.names import wire
from ocicat.dns.wire import Type
from ocicat.dns.zone import Entry, Zone

WEB, DB = wire("web.f.mesos"), wire("db.f.mesos")


def a(name, number):
    return Entry(wire(name), Type.A, bytes([10, 0, 0, number]))


def test_several_owners_of_a_name_are_found_together_and_what_is_alike_once():
    zone = Zone()
    assert zone.set("one", [a("web.f.mesos", 1)])
    assert zone.set("two", [a("web.f.mesos", 2), a("slave.mesos", 9)])
    assert zone.set("three", [a("slave.mesos", 9)])
    assert [one.data[3] for one in zone.find(WEB, Type.A)] == [1, 2]
    assert [one.data[3] for one in zone.find(wire("slave.mesos"), Type.A)] == [9]
    assert zone.find(WEB, Type.AAAA) == []
    assert zone.types(WEB) == [Type.A]
    assert zone.set("two", [])
    assert [one.data[3] for one in zone.find(WEB, Type.A)] == [1]
    assert [one.data[3] for one in zone.find(wire("slave.mesos"), Type.A)] == [9]
    assert zone.owners() == ("one", "three")


def test_nothing_new_is_no_change():
    zone = Zone()
    entries = [a("web.f.mesos", 1), a("web.f.mesos", 1)]
    assert zone.set("one", entries)
    assert not zone.set("one", entries)
    assert zone.set("one", [])
    assert not zone.set("one", [])
    assert list(zone) == []


def test_a_name_exists_while_something_is_at_it_or_below_it():
    zone = Zone()
    zone.set("one", [a("web.f.mesos", 1)])
    zone.set("two", [a("db.f.mesos", 1)])
    assert all(map(zone.exists, (WEB, DB, wire("f.mesos"), wire("mesos"))))
    assert not zone.exists(wire("other.mesos"))
    zone.set("one", [])
    assert not zone.exists(WEB)
    assert zone.exists(wire("f.mesos"))
    zone.set("two", [])
    assert not zone.exists(wire("mesos"))


def test_what_is_not_to_be_seen_is_not_found():
    zone = Zone()
    zone.set("one", [a("web.f.mesos", 1), a("web.f.mesos", 2)])
    assert [one.data[3] for one in zone.find(WEB, Type.A, lambda entry: entry.data[3] == 2)] == [2]
    assert zone.types(WEB, lambda entry: False) == []


def test_what_several_names_have_in_common():
    zone = Zone()
    zone.set("one", [a("x.label.mesos", 1), a("y.label.mesos", 1)])
    zone.set("two", [a("x.label.mesos", 2)])
    zone.set("three", [a("y.label.mesos", 3), a("x.label.mesos", 3)])
    names = (wire("x.label.mesos"), wire("y.label.mesos"))
    assert [one.data[3] for one in zone.find_common(names, Type.A)] == [1, 3]
    assert zone.find_common((*names, wire("z.label.mesos")), Type.A) == []


def test_any_order_of_changes_gives_the_same_zone():
    rng = random.Random(7)
    final = {f"o{i}": [a(f"n{i % 3}.f.mesos", i), a(f"o{i}.mesos", i)] for i in range(8)}
    for _ in range(30):
        zone = Zone()
        for _ in range(20):
            zone.set(f"o{rng.randrange(10)}", [a(f"n{rng.randrange(4)}.f.mesos", rng.randrange(4))][: rng.randrange(2)])
        for owner in rng.sample([*final, "o8", "o9"], 10):
            zone.set(owner, final.get(owner, []))
        assert set(zone) == {entry for entries in final.values() for entry in entries}
        assert {one.data for one in zone.find(wire("n1.f.mesos"), Type.A)} == {bytes([10, 0, 0, i]) for i in (1, 4, 7)}
        assert not zone.exists(wire("n3.f.mesos"))
        assert zone.exists(wire("f.mesos"))
