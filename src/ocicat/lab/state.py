"""What is known about a running lab, in one file: `state.json` in its directory.

Promises: a reader finds a whole state or none (replaced by rename); of two labs that claim one directory, one gets it.
Must not: be written by anybody but `up` (before there is a supervisor) and the supervisor (ever after).

Status needs no supervisor: it is this file, compared with /proc.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from ocicat.errors import NotFound, Refused, UserError
from ocicat.lab.proc import Identity, alive
from ocicat.lab.spec import LabSpec
from ocicat.model.base import Struct
from ocicat.model.codec import decode_json, pretty_json

SUPERVISOR = "supervisor"


class ProcessSpec(Struct, frozen=True):
    """A process to keep running. It is ready when the path `ready` exists, which is removed before each start."""

    name: str
    host: str
    argv: tuple[str, ...]
    log: str
    ready: str


class Run(Struct, frozen=True):
    """What the supervisor last saw of a process. `since` is wall-clock seconds; `identity` None: not running."""

    name: str
    wanted: bool = True
    identity: Identity | None = None
    since: float = 0.0
    restarts: int = 0
    last_exit: str = ""


class State(Struct, frozen=True, kw_only=True):
    spec: LabSpec
    since: float
    processes: tuple[ProcessSpec, ...] = ()
    supervisor: Run = Run(SUPERVISOR)
    runs: tuple[Run, ...] = ()


ProcessState = Literal["running", "starting", "waiting", "stopped", "dead"]


class ProcessStatus(Struct, frozen=True):
    """`starting`: not ready yet. `waiting`: it ended and is about to be started again. `dead`: nobody will start it again."""

    name: str
    host: str
    state: ProcessState
    pid: int
    restarts: int
    uptime_s: float
    last_exit: str
    log: str


class HostStatus(Struct, frozen=True):
    name: str
    namespace: str
    address: str


class Status(Struct, frozen=True):
    directory: str
    since: float
    hosts: tuple[HostStatus, ...]
    processes: tuple[ProcessStatus, ...]

    @property
    def up(self) -> bool:
        return all(process.state == "running" for process in self.processes)


def claim(state: State) -> None:
    """Make the directory ours: the state's first writing. Refused when another lab has it."""
    file = state.spec.state_file
    try:
        make_directory(state.spec.root)
        fresh = _write_beside(state)
        try:
            os.link(fresh, file)
        finally:
            fresh.unlink()
    except FileExistsError as error:
        raise Refused(f"{file} exists: there is a lab", hint=down_hint(state.spec)) from error
    except OSError as error:
        raise Refused(f"{state.spec.root}: {error.strerror}", hint="choose another with --dir") from error


def save(state: State) -> None:
    _write_beside(state).rename(state.spec.state_file)


def load(directory: Path) -> State:
    """NotFound where there is none, Refused where it cannot be read."""
    file = directory / "state.json"
    try:
        return decode_json(State, file.read_bytes(), what=str(file))
    except FileNotFoundError as error:
        raise NotFound(f"there is no lab in {directory}", hint="start one: ocicat lab up") from error
    except (OSError, UserError) as error:
        raise Refused(f"the state of the lab is not readable: {error}", hint="remove it: ocicat lab down") from error


def find(directory: Path) -> State | None:
    """The state if there is a readable one: for those that clean up, and must manage without."""
    with contextlib.suppress(NotFound, Refused):
        return load(directory)
    return None


def down_hint(spec: LabSpec) -> str:
    return f"remove it: ocicat lab down --name {spec.name} --dir {spec.directory}"


def status(
    state: State,
    now: float,
    *,
    lives: Callable[[Identity], bool] = alive,
    exists: Callable[[str], bool] = os.path.exists,
) -> Status:
    """The state as it is now; the two functions ask the system."""

    def is_live(run: Run) -> bool:
        return run.identity is not None and lives(run.identity)

    def judge(run: Run, ready: bool) -> ProcessState:
        if is_live(run):
            return "running" if ready else "starting"
        if not run.wanted:
            return "stopped"
        return "waiting" if is_live(state.supervisor) and run.name != SUPERVISOR else "dead"

    def describe(run: Run, host: str, ready: bool, log: str) -> ProcessStatus:
        live = run.identity if is_live(run) else None
        uptime_s = round(now - run.since, 3) if live else 0.0
        last_exit = run.last_exit if live or run.identity is None else "ended, and nobody saw how"
        pid = live.pid if live else 0
        return ProcessStatus(run.name, host, judge(run, ready), pid, run.restarts, uptime_s, last_exit, log)

    runs = {run.name: run for run in state.runs}
    described = [
        describe(state.supervisor, "", exists(str(state.spec.control_socket)), str(state.spec.log(SUPERVISOR)))
    ]
    for process in state.processes:
        run = runs.get(process.name, Run(process.name))
        described.append(describe(run, process.host, exists(process.ready), process.log))
    hosts = tuple(HostStatus(h.name, h.namespace, h.address) for h in (state.spec.master, *state.spec.nodes))
    return Status(state.spec.directory, state.since, hosts, tuple(described))


def make_directory(path: Path) -> None:
    """With its parents; every user may pass through it, because containers run as any."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o755)


def _write_beside(state: State) -> Path:
    fresh = state.spec.root / f"state.json.{os.getpid()}"  # of our own: another `up` may be at the same point
    fresh.write_text(pretty_json(state))
    return fresh
