"""A start on a table that another version of ours has left: the new one takes over, and no packet is lost meanwhile."""

import threading
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from dataplane_bed import Bed, batch, endpoint, flood, members, profile, reaches

from ocicat.dataplane.api import Applied, DataplaneConfig, Drift, Problem
from ocicat.dataplane.skeleton import chains
from ocicat.model.net import Cidr
from ocicat.model.wanted import AddressSet, Match, WantedRule

pytestmark = pytest.mark.netns

A, B = "10.65.0.2", "10.65.0.3"
OLDER = Path(__file__).parent.parent / "golden" / "older-table.nft"
NETS = (Cidr.parse("10.65.0.0/29"), Cidr.parse("10.66.0.0/16"), Cidr.parse("fd00::/8"))
STATE = (
    members("p", A, B),
    AddressSet("s:nets", nets_added=frozenset([Cidr.parse("10.65.0.0/30"), Cidr.parse("255.0.0.0/8")])),
    AddressSet("s:all", nets_added=frozenset([Cidr.parse("0.0.0.0/0"), Cidr.parse("::/0")])),
    profile(
        "p",
        [
            WantedRule("Deny", protocol=6, destination=Match(ports=((22, 23), (25, 25)))),
            WantedRule("Allow", source=Match(sets=("s:p", "s:nets", "s:all"), nets=NETS)),
        ],
    ),
    endpoint("a", A),
    endpoint("b", B),
)


@pytest.fixture
def bed():
    made = Bed()
    yield made
    made.close()


def left(bed, table):
    """Both workloads are there, and that table in place of ours."""
    plane = bed.plane()
    plane.submit(batch(1, *STATE))
    bed.attach(plane, "a", A)
    bed.attach(plane, "b", B)
    bed.wait_in_force(1, "a", "b")
    plane.resync().result(10)
    before = bed.nft("-s", "list", "table", "inet", "ocicat")
    plane.stop()
    bed.nft("-f", "-", text=f"delete table inet ocicat\n{table(before)}")
    bed.reports.clear()
    assert reaches(bed.containers["a"], B)
    return before


BEFORE_RESENT_S = 0.9  # a SYN that was dropped is sent again after one second


@contextmanager
def connecting(fd, target):
    """New connections, one after the other; `.failed` afterwards."""
    result, ended = SimpleNamespace(tried=0, failed=0), threading.Event()

    def connect():
        while not ended.is_set():
            result.tried += 1
            result.failed += not reaches(fd, target, within_s=BEFORE_RESENT_S)
            time.sleep(0.0005)

    thread = threading.Thread(target=connect)
    thread.start()
    yield result
    ended.set()
    thread.join()


def test_a_table_of_an_earlier_version_becomes_the_new_one(bed):
    before = left(bed, lambda _: OLDER.read_text())
    with flood(bed.containers["a"], B) as ping, connecting(bed.containers["a"], B) as tcp:
        plane = bed.plane()
        plane.resync().result(10)
        plane.submit(batch(2, *STATE))
        bed.wait(lambda report: report == Applied(2))
        plane.resync().result(10)
    assert (ping.lost, tcp.failed) == (0, 0)
    assert tcp.tried > 20
    assert same(bed.nft("-s", "list", "table", "inet", "ocicat"), before)
    assert not reaches(bed.containers["a"], B, 22)


def test_base_chains_at_other_places_stay_in_force_until_all_is_known_and_are_replaced_at_once(bed):
    before = left(bed, moved)
    with flood(bed.containers["a"], B) as ping, connecting(bed.containers["a"], B) as tcp:
        plane = bed.plane()
        assert "another version" in bed.problem("dataplane")
        bed.wait(lambda report: isinstance(report, Problem))
        assert "priority raw + 5" in bed.nft("-s", "list", "table", "inet", "ocicat")
        plane.submit(batch(2, *STATE))
        bed.wait(lambda report: report == Applied(2))
    assert (ping.lost, tcp.failed) == (0, 0)
    assert tcp.tried > 20
    assert same(bed.nft("-s", "list", "table", "inet", "ocicat"), before)
    assert not reaches(bed.containers["a"], B, 22)
    bed.wait(lambda report: report == Problem("dataplane", ""))
    generation = bed.generation()
    plane.resync().result(10)
    assert bed.generation() == generation
    assert not [report for report in bed.reports if isinstance(report, Drift)]


def moved(table):
    return table.replace("priority raw;", "priority raw + 5;").replace("priority filter - 1;", "priority filter - 3;")


def same(one, other):
    """The same lines, wherever they stand."""
    return sorted(one.split()) == sorted(other.split())


def test_nft_lists_every_base_chain_where_we_put_it(bed):
    bed.plane().resync().result(10)
    listed = bed.nft("list", "table", "inet", "ocicat")
    places = [
        f"type filter hook {each.hook} priority {each.priority};" for each in chains(DataplaneConfig()) if each.hook
    ]
    assert all(place in listed for place in places)
