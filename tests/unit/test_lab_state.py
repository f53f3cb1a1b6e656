"""What is known of a lab: written whole or not at all."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from ocicat.errors import NotFound, Refused
from ocicat.lab import state
from ocicat.lab.spec import LabSpec
from ocicat.lab.state import State
from ocicat.supervise.keeper import ProcessSpec

PROCESS = ProcessSpec("agent-h1", "h1", ("true",), "/logs/agent-h1.log", "/ready")


def a_state(directory: Path) -> State:
    return State(spec=LabSpec(hosts=1, directory=str(directory)), since=50.0, processes=(PROCESS,))


def test_what_is_claimed_can_be_loaded(tmp_path: Path) -> None:
    state.claim(a_state(tmp_path / "a/b"))
    assert state.load(tmp_path / "a/b") == a_state(tmp_path / "a/b")


def test_a_claim_leaves_nothing_but_the_state(tmp_path: Path) -> None:
    state.claim(a_state(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_a_directory_can_be_claimed_once(tmp_path: Path) -> None:
    state.claim(a_state(tmp_path))
    with pytest.raises(Refused, match="there is a lab"):
        state.claim(a_state(tmp_path))


def test_of_many_claims_at_once_one_succeeds(tmp_path: Path) -> None:
    outcomes: list[bool] = []

    def claim() -> None:
        try:
            state.claim(a_state(tmp_path))
        except Refused:
            outcomes.append(False)
        else:
            outcomes.append(True)

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False] * 7 + [True]


def test_saving_replaces(tmp_path: Path) -> None:
    state.claim(a_state(tmp_path))
    changed = State(spec=LabSpec(hosts=1, directory=str(tmp_path)), since=60.0)
    state.save(changed)
    assert state.load(tmp_path) == changed


def test_without_a_state_there_is_no_lab(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no lab in"):
        state.load(tmp_path)
    assert state.find(tmp_path) is None


@pytest.mark.parametrize("text", ["", '{"spec": {"hosts"', "[]", '{"spec": {}}'])
def test_half_a_state_is_refused_with_the_way_out(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(Refused, match="ocicat lab down"):
        state.load(tmp_path)
    assert state.find(tmp_path) is None
