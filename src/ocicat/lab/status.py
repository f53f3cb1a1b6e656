"""How a lab is: what its state says, compared with what lives.

Promises: needs no supervisor, so that a lab can be looked at after a crash of any part of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Literal

from ocicat.lab.state import SUPERVISOR, State
from ocicat.model.base import Struct
from ocicat.supervise.keeper import ProcessSpec, Run
from ocicat.supervise.proc import Identity, alive

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
    """`leader`: the host whose master leads, if somebody asked; else empty."""

    directory: str
    since: float
    hosts: tuple[HostStatus, ...]
    processes: tuple[ProcessStatus, ...]
    leader: str = ""

    @property
    def up(self) -> bool:
        return all(process.state == "running" for process in self.processes)


def status(
    state: State,
    now: float,
    *,
    lives: Callable[[Identity], bool] = alive,
    exists: Callable[[str], bool] = os.path.exists,
) -> Status:
    """The lab as it is at `now` (wall-clock seconds); the two functions ask the system."""
    runs = {run.name: run for run in (state.supervisor, *state.runs)}
    living = {name for name, run in runs.items() if run.identity is not None and lives(run.identity)}

    def describe(process: ProcessSpec) -> ProcessStatus:
        run = runs.get(process.name, Run(process.name))
        judged = _judge(run, process.name in living, exists(process.ready), SUPERVISOR in living)
        return _describe(process, run, judged, now)

    processes = tuple(describe(process) for process in (_supervisor(state), *state.processes))
    hosts = tuple(HostStatus(h.name, h.namespace, h.address) for h in (*state.spec.master_hosts, *state.spec.nodes))
    return Status(state.spec.directory, state.since, hosts, processes)


def _supervisor(state: State) -> ProcessSpec:
    """As if it were one of its own processes."""
    return ProcessSpec(SUPERVISOR, "", (), str(state.spec.log(SUPERVISOR)), str(state.spec.control_socket))


def _judge(run: Run, lives: bool, ready: bool, supervised: bool) -> ProcessState:
    if lives:
        return "running" if ready else "starting"
    if not run.wanted:
        return "stopped"
    return "waiting" if supervised else "dead"


def _describe(process: ProcessSpec, run: Run, judged: ProcessState, now: float) -> ProcessStatus:
    lives = judged in {"running", "starting"}
    supervised = lives or judged == "waiting"  # then the supervisor tells, or is about to tell, how it ended
    unseen = not supervised and run.identity is not None
    return ProcessStatus(
        name=process.name,
        host=process.host,
        state=judged,
        pid=run.identity.pid if lives and run.identity is not None else 0,
        restarts=run.restarts,
        uptime_s=round(now - run.since, 3) if lives else 0.0,
        last_exit="ended, and nobody saw how" if unseen else run.last_exit,
        log=process.log,
    )
