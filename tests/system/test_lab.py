"""The lab with the real Mesos: up, looked at, disturbed, and gone without a trace, whatever was killed before."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ocicat.errors import NotFound, Refused
from ocicat.lab import hosts, sweep
from ocicat.lab import lab as labs
from ocicat.lab.lab import Lab
from ocicat.lab.processes import enter
from ocicat.lab.spec import LabSpec
from ocicat.lab.status import ProcessStatus
from ocicat.lab.sweep import Traces
from ocicat.netlink import namespace
from ocicat.supervise import proc
from ocicat.supervise.keeper import ProcessSpec

pytestmark = [pytest.mark.system, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

SHARED = "t-lab"  # one lab for all tests that leave it as they found it
OWN = "t-own"  # for a test that breaks its lab
MACHINE = "oct-lab-machine"
PATIENCE_S = 30.0
THEIRS = """
table inet theirs {
    set s { type ipv4_addr; elements = { 10.0.0.1 }; }
    chain input { type filter hook input priority 0; policy drop; iif lo accept; ip saddr @s accept; }
}
"""


@pytest.fixture(scope="module", autouse=True)
def alone() -> Iterator[None]:
    """Another run of these tests on the same machine would take our labs for its own leftovers: it waits."""
    with (Path(tempfile.gettempdir()) / "oct-lab.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    directory = tmp_path_factory.mktemp("lab") / "lab"
    sweep.sweep(SHARED, directory)
    with Lab.up(LabSpec(hosts=2, name=SHARED, directory=str(directory))) as lab:
        yield lab


@pytest.fixture
def own(tmp_path: Path) -> Iterator[LabSpec]:
    """A lab that a test may start, and that is gone afterwards whatever the test does."""
    spec = LabSpec(hosts=1, name=OWN, directory=str(tmp_path / "lab"))
    sweep.sweep(OWN, spec.root)
    yield spec
    sweep.sweep(OWN, spec.root)


def ocicat(*arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "ocicat", *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)


def about(spec: LabSpec) -> list[str]:
    return ["--name", spec.name, "--dir", spec.directory]


def process(lab: Lab, name: str) -> ProcessStatus:
    return next(found for found in lab.status().processes if found.name == name)


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE_S} s"
        time.sleep(0.02)


def assert_no_trace(spec: LabSpec) -> None:
    assert sweep.traces(spec.name, spec.root) == Traces()
    assert not spec.root.exists()


# --- a lab that is up ---------------------------------------------------------------------------------------------


def test_everything_is_running(lab: Lab) -> None:
    found = lab.status()
    names = ["supervisor", "master", "agent-h1", "mesos-h1", "agent-h2", "mesos-h2"]
    assert [(each.name, each.state) for each in found.processes] == [(name, "running") for name in names]
    assert found.up


def test_status_as_json_and_its_exit_code(lab: Lab) -> None:
    done = ocicat("lab", "status", "-o", "json", *about(lab.spec))
    assert done.returncode == 0, done.stderr
    assert {host["name"]: host["address"] for host in json.loads(done.stdout)["hosts"]} == {
        "master": "172.30.77.10/24",
        "h1": "172.30.77.11/24",
        "h2": "172.30.77.12/24",
    }


def test_commands_run_on_a_host_with_their_exit_code(lab: Lab) -> None:
    done = ocicat("lab", "exec", *about(lab.spec), "h2", "--", "sh", "-c", "ip -o -4 address; exit 7")
    assert done.returncode == 7
    assert "172.30.77.12/24" in done.stdout


def test_commands_on_a_host_know_the_labs_store(lab: Lab) -> None:
    done = ocicat("lab", "exec", *about(lab.spec), "h1", "--", sys.executable, "-m", "ocicat", "pool", "list")
    assert lab.spec.pool in done.stdout, done.stderr


def test_an_unknown_host_is_not_found(lab: Lab) -> None:
    done = ocicat("lab", "exec", *about(lab.spec), "h9", "--", "true")
    assert done.returncode == NotFound.exit_code
    assert "there are master and h1, h2" in done.stderr


def test_the_log_of_a_process_is_shown_from_its_end(lab: Lab) -> None:
    done = ocicat("lab", "logs", *about(lab.spec), "supervisor", "-n", "2")
    assert len(done.stdout.splitlines()) == 2
    assert ocicat("lab", "logs", *about(lab.spec), "nobody").returncode == NotFound.exit_code


def test_a_killed_process_is_started_again(lab: Lab) -> None:
    before = process(lab, "agent-h2")
    os.kill(before.pid, signal.SIGKILL)
    until(lambda: process(lab, "agent-h2").restarts == before.restarts + 1, "a restart")
    until(lambda: lab.status().up, "the agent ready again")
    assert process(lab, "agent-h2").last_exit == "ended by SIGKILL"


@pytest.mark.parametrize("name", ["agent-h1", "mesos-h1"])
def test_a_restart_by_kill_returns_when_the_process_is_ready_again(lab: Lab, name: str) -> None:
    before = process(lab, name)
    done = ocicat("lab", "restart", *about(lab.spec), name, "--kill")
    assert done.returncode == 0, done.stderr
    after = process(lab, name)
    assert (after.state, after.restarts) == ("running", before.restarts + 1)
    assert after.pid != before.pid


def test_a_stopped_process_stays_down_until_it_is_started(lab: Lab) -> None:
    lab.stop("mesos-h2")
    done = ocicat("lab", "status", *about(lab.spec))
    assert done.returncode == 1
    assert "stopped" in done.stdout
    lab.start("mesos-h2")
    assert lab.status().up


def test_a_second_lab_in_its_place_is_refused_with_the_way_out(lab: Lab) -> None:
    done = ocicat("lab", "up", *about(lab.spec))
    assert done.returncode == 1
    assert f"there is a lab in {lab.directory} since 20" in done.stderr
    assert f"ocicat lab down --name {SHARED} --dir {lab.directory}" in done.stderr
    assert lab.status().up


def test_a_lab_of_the_same_name_elsewhere_is_refused_and_leaves_nothing(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="oct-lab-h1"):
        Lab.up(LabSpec(name=SHARED, directory=str(tmp_path / "other")))
    assert not (tmp_path / "other").exists()
    assert lab.status().up


# --- the end of a lab ---------------------------------------------------------------------------------------------


def test_without_a_lab_there_is_nothing_to_show_or_remove(own: LabSpec) -> None:
    assert ocicat("lab", "status", *about(own)).returncode == NotFound.exit_code
    done = ocicat("lab", "down", *about(own))
    assert (done.returncode, done.stderr) == (0, "nothing to remove\n")


def test_down_ends_and_removes_everything(own: LabSpec) -> None:
    lab = Lab.up(own)
    pids = [each.pid for each in lab.status().processes]
    removed = lab.down()
    assert (removed.processes, removed.namespaces, removed.directory) == (4, 3, True)
    assert not any(proc.identity(pid) for pid in pids)
    assert_no_trace(own)


def test_a_lab_beside_another_is_no_conflict(lab: Lab, own: LabSpec) -> None:
    with Lab.up(own) as other:
        assert other.status().up
    assert lab.status().up
    assert_no_trace(own)


def test_down_after_everything_was_killed(own: LabSpec) -> None:
    lab = Lab.up(own)
    for each in lab.status().processes:
        os.kill(each.pid, signal.SIGKILL)
    until(lambda: not any(each.pid for each in lab.status().processes), "all dead")
    assert {each.state for each in lab.status().processes} == {"dead"}
    lab.down()
    assert_no_trace(own)


def test_the_containers_of_a_killed_lab_die_with_it(own: LabSpec) -> None:
    lab = Lab.up(own)
    task = ("ocicat", "run", "--network", lab.network, "--detach", "--", "sleep", "4711")
    launched = ocicat("lab", "exec", *about(own), "master", "--", sys.executable, "-m", *task)
    assert launched.returncode == 0, launched.stderr
    assert sweep.traces(own.name, own.root).mounts, "a container has its namespace mounted"
    for each in lab.status().processes:
        os.kill(each.pid, signal.SIGKILL)
    removed = lab.down()
    assert (removed.processes > 0, removed.mounts > 0, removed.cgroups > 0) == (True, True, True)
    assert_no_trace(own)


def test_of_two_ups_at_once_one_wins(own: LabSpec) -> None:
    line = [sys.executable, "-m", "ocicat", "lab", "up", "--hosts", "1", *about(own)]
    both = [subprocess.Popen(line, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert sorted(up.wait(timeout=60) for up in both) == [0, 1]
    assert Lab.open(own.root).status().up


def test_down_without_a_state_finds_a_running_lab(own: LabSpec) -> None:
    lab = Lab.up(own)
    pids = [each.pid for each in lab.status().processes]
    own.state_file.unlink()
    assert ocicat("lab", "down", *about(own)).returncode == 0
    until(lambda: not any(proc.identity(pid) for pid in pids), "all dead")
    assert_no_trace(own)


def test_down_from_inside_the_lab_spares_the_one_who_asks(own: LabSpec) -> None:
    lab = Lab.up(own)
    line = [*lab.enter("h1"), "sh", "-c", f"{sys.executable} -m ocicat lab down {' '.join(about(own))} && echo alive"]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "alive\n", done.stderr
    assert_no_trace(own)


@pytest.mark.parametrize("milestone", ["network", "datastore", "plugin", "master"])
def test_an_up_that_is_killed_on_the_way_can_be_removed(own: LabSpec, milestone: str) -> None:
    line = [sys.executable, "-m", "ocicat", "lab", "up", "--hosts", "1", *about(own)]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as up:
        assert up.stderr is not None
        assert any(milestone in line for line in up.stderr)
        up.kill()
    assert ocicat("lab", "up", *about(own)).returncode == 1  # it says what is left
    assert ocicat("lab", "down", *about(own)).returncode == 0
    assert_no_trace(own)


def test_an_up_that_is_interrupted_takes_down_what_it_made(own: LabSpec) -> None:
    line = [sys.executable, "-m", "ocicat", "lab", "up", "--hosts", "1", *about(own)]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as up:
        assert up.stderr is not None
        assert any("plugin" in line for line in up.stderr)
        up.send_signal(signal.SIGINT)
        assert "taking the lab down" in up.stderr.read()
        assert up.wait(timeout=30) == 130
    assert_no_trace(own)


def test_a_process_that_fails_is_named_with_its_last_words_and_all_is_removed(own: LabSpec, monkeypatch) -> None:
    complete = labs.processes

    def with_a_broken_one(spec: LabSpec, library: str) -> tuple[ProcessSpec, ...]:
        line = (*enter(spec.master.namespace), "sh", "-c", "echo no luck today >&2; exit 3")
        broken = ProcessSpec("broken", "master", line, str(spec.log("broken")), f"{spec.directory}/never")
        return (*complete(spec, library), broken)

    monkeypatch.setattr(labs, "processes", with_a_broken_one)
    with pytest.raises(Refused, match=r"broken ended with status 3[^$]*no luck today"):
        Lab.up(own)
    assert_no_trace(own)


# --- the machine around it ----------------------------------------------------------------------------------------


@pytest.fixture
def machine() -> Iterator[list[str]]:
    """A namespace with a firewall of its own, for the machine on which the lab is started."""
    hosts.remove([MACHINE])  # of a run that was killed
    namespace.create(MACHINE)
    try:
        prefix = list(enter(MACHINE))
        subprocess.run([*prefix, "nft", "-f", "-"], input=THEIRS, text=True, check=True)
        subprocess.run([*prefix, "ip", "link", "add", "fabric", "type", "bridge"], check=True)
        yield prefix
    finally:
        namespace.delete(MACHINE)


def everything(prefix: list[str]) -> str:
    commands = (
        ["nft", "list", "ruleset"],
        ["ip", "-o", "address"],
        ["ip", "route", "show", "table", "all"],
        ["ip", "rule"],
    )
    return "".join(
        subprocess.run([*prefix, *line], capture_output=True, text=True, check=True).stdout for line in commands
    )


def test_the_machines_own_firewall_and_links_stay_as_they_are(own: LabSpec, machine: list[str]) -> None:
    before = everything(machine)
    up = subprocess.run(
        [*machine, sys.executable, "-m", "ocicat", "lab", "up", "--hosts", "1", *about(own)], check=False
    )
    assert up.returncode == 0
    assert everything(machine) == before
    assert ocicat("lab", "down", *about(own)).returncode == 0
    assert everything(machine) == before


def test_a_hosts_own_firewall_stays_as_it_is(lab: Lab) -> None:
    rules = "table inet theirs { chain input { type filter hook input priority 10; tcp dport 9 drop; } ; }"
    host = lab.enter("h1")
    subprocess.run([*host, "nft", "-f", "-"], input=rules, text=True, check=True)
    before = subprocess.run(
        [*host, "nft", "list", "table", "inet", "theirs"], capture_output=True, text=True, check=True
    ).stdout
    lab.restart("agent-h1", kill=True)
    after = subprocess.run(
        [*host, "nft", "list", "table", "inet", "theirs"], capture_output=True, text=True, check=True
    ).stdout
    subprocess.run([*host, "nft", "delete", "table", "inet", "theirs"], check=True)
    assert after == before
