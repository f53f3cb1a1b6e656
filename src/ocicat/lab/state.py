"""What is known about a running lab, in one file: `state.json` in its directory.

Promises: a reader finds a whole state or none (replaced by rename); of two labs that claim one directory, one gets it.
Must not: be written by anybody but `up` (before there is a supervisor) and the supervisor (ever after).
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

from ocicat.errors import NotFound, Refused, UserError
from ocicat.lab.spec import LabSpec
from ocicat.model.base import Struct
from ocicat.model.codec import decode_json, pretty_json
from ocicat.supervise.keeper import ProcessSpec, Run

SUPERVISOR = "supervisor"


class State(Struct, frozen=True, kw_only=True):
    spec: LabSpec
    since: float
    processes: tuple[ProcessSpec, ...] = ()
    supervisor: Run = Run(SUPERVISOR)
    runs: tuple[Run, ...] = ()


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


def make_directory(path: Path) -> None:
    """With its parents; every user may pass through it, because containers run as any."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o755)


def _write_beside(state: State) -> Path:
    name = f"state.json.{os.getpid()}.{threading.get_ident()}"  # of our own: another `up` may be at the same point
    fresh = state.spec.root / name
    fresh.write_text(pretty_json(state))
    return fresh
