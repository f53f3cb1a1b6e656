"""Whatever a lab leaves behind is found by name and removed, and nothing else."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocicat.lab import hosts, state, sweep
from ocicat.lab.processes import enter
from ocicat.lab.spec import LabSpec
from ocicat.lab.state import State
from ocicat.lab.sweep import Removed
from ocicat.netlink import namespace
from ocicat.supervise import proc
from ocicat.supervise.keeper import Run

pytestmark = pytest.mark.netns

NAME = "t-sweep"
FREEZER = Path("/sys/fs/cgroup/freezer")


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    sweep.sweep(NAME, tmp_path / "lab")
    yield tmp_path / "lab"
    sweep.sweep(NAME, tmp_path / "lab")


def spec(directory: Path) -> LabSpec:
    return LabSpec(hosts=1, name=NAME, directory=str(directory))


def sleeping(*prefix: str) -> subprocess.Popen[bytes]:
    """A process that says when it is where it should be."""
    line = [*prefix, "sh", "-c", "echo there; exec sleep 60"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    with process.stdout:
        process.stdout.readline()
    return process


def test_nothing_to_remove(directory: Path) -> None:
    assert sweep.sweep(NAME, directory) == Removed()
    assert str(Removed()) == "nothing to remove"


def test_what_was_removed_is_told() -> None:
    assert str(Removed(1, 2, 0, 4, directory=True)) == "1 process, 2 mounts, 4 namespaces, 1 directory"


def test_namespaces_and_whoever_is_in_them_go_without_any_state(directory: Path) -> None:
    namespace.create(f"oc{NAME}-h1")
    with sleeping(*enter(f"oc{NAME}-h1")) as process:
        assert sweep.sweep(NAME, directory) == Removed(processes=1, namespaces=1)
        assert process.wait() != 0
    assert sweep.traces(NAME, directory) == sweep.Traces()


def test_a_half_written_state_is_no_hindrance(directory: Path) -> None:
    namespace.create(f"oc{NAME}-fabric")
    directory.mkdir()
    (directory / "state.json").write_text('{"spec": {"hos')
    assert sweep.sweep(NAME, directory) == Removed(namespaces=1, directory=True)
    assert not directory.exists()


def test_a_recorded_process_is_ended_wherever_it_is(directory: Path) -> None:
    with sleeping() as process:
        run = Run("agent-h1", identity=proc.identity(process.pid))
        state.claim(State(spec=spec(directory), since=1.0, runs=(run,)))
        assert sweep.sweep(NAME, directory).processes == 1
        process.wait()


def test_a_process_that_only_has_the_number_of_a_recorded_one_lives_on(directory: Path) -> None:
    with sleeping() as process:
        run = Run("agent-h1", identity=proc.Identity(process.pid, 1))
        state.claim(State(spec=spec(directory), since=1.0, runs=(run,)))
        assert sweep.sweep(NAME, directory).processes == 0
        assert process.poll() is None
        process.kill()


def test_containers_die_with_their_cgroups(directory: Path) -> None:
    group = FREEZER / f"oc{NAME}-h1" / "container"
    group.mkdir(parents=True)
    with sleeping() as process:
        (group / "cgroup.procs").write_text(str(process.pid))
        assert sweep.sweep(NAME, directory) == Removed(processes=1, cgroups=2)
        process.wait()
    assert not group.parent.exists()


def test_mounts_below_the_directory_are_unmounted_before_it_is_removed(directory: Path) -> None:
    point = directory / "h1/mesos/run/ns"
    point.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "oct-sweep", str(point)], check=True)
    assert sweep.sweep(NAME, directory) == Removed(mounts=1, directory=True)


def test_foreign_files_in_the_directory_stay(directory: Path) -> None:
    directory.mkdir()
    (directory / "notes.txt").write_text("mine")
    (directory / "logs").mkdir()
    sweep.sweep(NAME, directory)
    assert [path.name for path in directory.iterdir()] == ["notes.txt"]
    (directory / "notes.txt").unlink()


def test_namespaces_of_similar_names_stay(directory: Path) -> None:
    similar = [f"oc{NAME}-h1-x", f"oc{NAME}x-h1"]
    try:
        for name in similar:
            namespace.create(name)
        assert sweep.sweep(NAME, directory) == Removed()
        assert set(similar) <= set(namespace.names())
    finally:
        hosts.remove(similar)
