"""First fit: who gets which offer, and why somebody gets none."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ocicat.mesos.matching import first_fit, why_not_placed
from ocicat.mesos.types import Offer, TaskSpec


def offer(host, cpus=4.0, mem_mb=1024.0):
    return Offer(f"o-{host}", f"s-{host}", host, "*", cpus, mem_mb)


def spec(cpus=1.0, mem_mb=100.0, hostname=""):
    return TaskSpec("t", "true", cpus=cpus, mem_mb=mem_mb, hostname=hostname)


def test_several_tasks_share_an_offer_until_it_is_full():
    tasks = [(str(n), spec(cpus=2)) for n in range(3)]
    matched = first_fit(tasks, [offer("h1"), offer("h2")])
    assert matched.placed == {"o-h1": ["0", "1"], "o-h2": ["2"]}
    assert matched.missed == {}


def test_a_host_constraint_is_kept():
    matched = first_fit([("t", spec(hostname="h2"))], [offer("h1"), offer("h2")])
    assert matched.placed == {"o-h2": ["t"]}


def test_a_smaller_task_goes_where_a_greater_one_did_not_fit():
    matched = first_fit([("big", spec(cpus=8)), ("small", spec())], [offer("h1")])
    assert matched.placed == {"o-h1": ["small"]}
    assert matched.missed == {"big": {"h1": "4 cpus"}}


def test_ten_tenths_make_one():
    tasks = [(str(n), spec(cpus=0.1)) for n in range(11)]
    assert first_fit(tasks, [offer("h1", cpus=1)]).placed["o-h1"] == [str(n) for n in range(10)]


def test_without_offers_nothing_is_missed_anywhere():
    assert first_fit([("t", spec())], []).missed == {"t": {}}


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 5000), st.integers(1, 500), st.sampled_from(["", "h1", "h9"])), max_size=20),
    st.lists(st.tuples(st.integers(0, 8000), st.integers(0, 900)), max_size=5),
)
def test_no_offer_is_overdrawn_and_every_task_is_placed_once_or_missed(wishes, sizes):
    offers = [offer(f"h{n}", milli / 1000, mem) for n, (milli, mem) in enumerate(sizes)]
    specs = {str(n): spec(milli / 1000, mem, host) for n, (milli, mem, host) in enumerate(wishes)}
    matched = first_fit(specs.items(), offers)
    placed = [task_id for task_ids in matched.placed.values() for task_id in task_ids]
    assert sorted([*placed, *matched.missed]) == sorted(specs)
    for one in offers:
        mine = [specs[task_id] for task_id in matched.placed.get(one.id, [])]
        assert round(sum(task.cpus for task in mine), 3) <= one.cpus
        assert sum(task.mem_mb for task in mine) <= one.mem_mb
        assert all(task.hostname in ("", one.hostname) for task in mine)


def test_a_task_says_that_nobody_offered():
    assert "no agent offered anything" in why_not_placed(spec(), {})


def test_a_task_says_which_host_never_came():
    missed = {"h1": "another host", "h2": "another host"}
    assert why_not_placed(spec(hostname="h9"), missed) == "no offer came from host 'h9', only from h1, h2"


def test_a_task_says_what_was_too_small():
    missed = {"h1": "4 cpus", "h2": "another host"}
    text = why_not_placed(spec(cpus=8, hostname="h1"), missed)
    assert text == "needs 8 cpus and 100 MB of memory, but h1 had 4 cpus"


def test_a_thousand_hosts_do_not_make_a_long_sentence():
    missed = {f"h{n}": "1 cpus" for n in range(1000)}
    assert why_not_placed(spec(), missed).endswith("and 995 more")
