"""Every sequence of named states, expanded in every way and flushed by every strategy, gives the picture of its content."""

from __future__ import annotations

from itertools import count

import pytest
from calc_expand import EXPANDERS
from calc_mock import LISTS, MockDataplane, named_sets
from calc_naive import picture_of
from calc_states import SEQUENCES, State, key_of
from calc_world import HOST

from ocicat.calc import Graph
from ocicat.model.keys import RESOURCES
from ocicat.model.wanted import HostSettings, InSync, Limits, LocalBlock, Revision
from ocicat.selector import parse

STATES = {state.name: state for states in SEQUENCES.values() for state in states}


class Run:
    """One graph and one dataplane, checked against the naive answer."""

    def __init__(self) -> None:
        self.graph = Graph(HOST)
        self.dataplane = MockDataplane()
        self.revisions = count(1)

    def flush(self) -> None:
        revision = next(self.revisions)
        self.dataplane.apply(self.graph.flush(revision))
        if self.dataplane.in_sync:
            assert self.dataplane.revision == revision

    def check(self, content) -> None:
        picture, problems = picture_of(content)
        assert self.dataplane.picture == picture
        assert self.graph.problems().keys() == problems


def in_sync_at_once(run: Run, steps) -> None:
    run.graph.in_sync()
    for step in steps:
        for update in step.updates:
            run.graph.update(*update)
        run.flush()
        run.check(step.content)


def in_sync_after_first_step(run: Run, steps) -> None:
    for step in steps:
        for update in step.updates:
            run.graph.update(*update)
        run.flush()  # before the first in-sync: gives nothing, loses nothing
        run.graph.in_sync()
        run.flush()
        run.check(step.content)


def in_sync_at_the_end(run: Run, steps) -> None:
    for step in steps:
        for update in step.updates:
            run.graph.update(*update)
        run.flush()
    run.graph.in_sync()
    run.flush()
    run.check(steps[-1].content)


def flush_after_each_update(run: Run, steps) -> None:
    run.graph.in_sync()
    run.flush()
    for step in steps:
        for update in step.updates:
            run.graph.update(*update)
            run.flush()
        run.check(step.content)


STRATEGIES = [in_sync_at_once, in_sync_after_first_step, in_sync_at_the_end, flush_after_each_update]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.__name__)
@pytest.mark.parametrize("expander", EXPANDERS)
@pytest.mark.parametrize("sequence", SEQUENCES)
def test_every_way_leads_to_the_picture_of_the_content(sequence, expander, strategy):
    steps = EXPANDERS[expander]([state.content for state in SEQUENCES[sequence]])
    strategy(Run(), steps)


def _run_to(state: State) -> Run:
    run = Run()
    run.graph.in_sync()
    for update in state.content.items():
        run.graph.update(*update)
    run.flush()
    return run


@pytest.mark.parametrize("name", STATES)
def test_state_is_as_written_down(name):
    state = STATES[name]
    run = _run_to(state)
    picture = run.dataplane.picture
    sets = {set_id: set(map(str, members)) for set_id, members in picture.sets.items()}
    ports = {
        set_id: {f"{address}:{port}" for address, _, port in members} for set_id, members in picture.port_sets.items()
    }
    routes = {
        str(cidr): "local" if isinstance(route, LocalBlock) else str(route.gateway)
        for cidr, route in picture.blocks.items()
    }
    translations = {
        f"{each.protocol}:{each.host_address or ''}:{each.host_port}": f"{found.addresses[0]}:{each.port}"
        for found in picture.endpoints.values()
        for each in found.port_mappings
    } | {str(each.outside): str(each.inside) for found in picture.endpoints.values() for each in found.floating}
    outgoing = " ".join(
        [",".join(map(str, picture.outgoing.sources)), *(f"!{cidr}" for cidr in picture.outgoing.inside)]
        + [
            f"{value}"
            for value in (picture.outgoing.ports, *picture.outgoing.addresses, picture.outgoing.interface)
            if value
        ]
    )
    assert sets == {parse(text).uid: members for text, members in state.members.items()}
    assert ports == {
        f"{parse(text).uid}:{protocol}:{name}": members for (text, protocol, name), members in state.ports.items()
    }
    assert picture.profiles.keys() == state.rules
    assert picture.policies.keys() == set(map(key_of, state.policies))
    assert {_name(key): found.profiles for key, found in picture.endpoints.items()} == state.endpoints
    assert _lists(picture) == {name: text for name, text in state.lists.items() if text}
    assert picture.host_endpoints.keys() == {name.partition(" ")[0] for name in state.lists} - set(state.endpoints)
    assert routes == state.routes
    assert translations == state.translated
    assert {_name(key): limits for key, limits in _limits(picture).items()} == state.limits
    assert outgoing == state.outgoing
    assert run.graph.problems().keys() == state.problems


def _limits(picture):
    found = {key: (each.ingress_limits, each.egress_limits, each.dscp) for key, each in picture.endpoints.items()}
    return {key: limits for key, limits in found.items() if limits != (Limits(), Limits(), None)}


def _name(key: str) -> str:
    """Of an object in namespace "default" the bare name."""
    parts = key.removeprefix(RESOURCES).split("/")[1:]
    return "/".join(parts).removeprefix("default/") if "workloadendpoints" in key else "/".join(parts)


def _lists(picture) -> dict[str, str]:
    """Every list of policies that is not empty, as a state writes it down."""
    endpoints = {_name(key): found for key, found in picture.endpoints.items()} | picture.host_endpoints
    found = {(name, one): getattr(endpoint, one, ()) for name, endpoint in endpoints.items() for one in LISTS}
    return {f"{name} {one}": " ".join(map(_tier, tiers)) for (name, one), tiers in found.items() if tiers}


def _tier(tier) -> str:
    policies = ["?" * ("/staged" in key) + _name(key) for key in tier.policies]
    return f"{tier.name}={','.join(policies)}{'!' * (tier.ends == 'Deny')}"


@pytest.mark.parametrize("name", STATES)
def test_equal_content_gives_equal_batches(name):
    forwards, backwards = Graph(HOST), Graph(HOST)
    for key, value in STATES[name].content.items():
        forwards.update(key, value)
    for key, value in reversed(STATES[name].content.items()):
        backwards.update(key, value)
    forwards.in_sync()
    backwards.in_sync()
    assert forwards.flush(1) == backwards.flush(1)
    assert forwards.problems() == backwards.problems()


def _kept(node: object) -> dict[str, object]:
    """Everything that a node and the nodes in it keep, but the last revision."""
    if isinstance(node, dict | set | tuple | str | bool | None):
        return node
    slots = getattr(node, "__slots__", ()) if type(node).__module__.startswith("ocicat.calc") else ()
    return {slot: _kept(getattr(node, slot)) for slot in slots if slot not in ("_said_revision", "_feeds", "_feed")}


@pytest.mark.parametrize("name", STATES)
def test_graph_is_as_new_when_everything_is_gone(name):
    run = _run_to(STATES[name])
    for key in STATES[name].content:
        run.graph.update(key, None)
    run.flush()
    assert _kept(run.graph) == _kept(_run_to(State("empty", {})).graph)


def test_first_batch_says_in_sync_and_the_revision():
    graph = Graph(HOST)
    assert graph.flush(1) == ()
    graph.in_sync()
    settings, *rest = graph.flush(2)
    assert isinstance(settings, HostSettings)
    assert rest == [InSync(), Revision(2)]


def test_unchanged_revision_says_nothing():
    run = _run_to(STATES["group over two hosts"])
    assert run.graph.flush(1) == ()


def test_new_revision_without_change_is_still_said():
    run = _run_to(STATES["group over two hosts"])
    assert run.graph.flush(2) == (Revision(2),)


def test_group_rules_name_their_set():
    picture = _run_to(STATES["group over two hosts"]).dataplane.picture
    assert named_sets(picture.profiles["a"]) == {parse("group == 'a'").uid}


def test_unknown_keys_are_skipped():
    graph = Graph(HOST)
    graph.update("/ocicat/v1/whatever", b"\xff")
    graph.update("/calico/resources/v3/projectcalico.org/bgppeers/p", b"\xff")
    graph.in_sync()
    assert graph.flush(1)[1:] == (InSync(), Revision(1))
    assert graph.problems() == {}
