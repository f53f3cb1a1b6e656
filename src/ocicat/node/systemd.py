"""The agent kept by systemd, by the unit that the packages install: told what to run, started, stopped.

Arguments of the agent stand in a drop-in of ours, recorded and taken back like every file that a command changes on a host.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from ocicat.changes.files import Item, State
from ocicat.errors import NotFound, Refused, Unavailable, UserError
from ocicat.model.base import Struct
from ocicat.node import words

UNIT = "ocicat-agent.service"
DROP_IN = f"/etc/systemd/system/{UNIT}.d/node-start.conf"
_TIMEOUT_S = 90.0
_RUNS = Path("/run/systemd/system")
_ASKED = ("LoadState", "ActiveState", "Result", "UnitFileState", "ExecMainStatus")  # as `Unit` has them
_UNFIT = {"Cc", "Cs"}


class Unit(Struct, frozen=True):
    """`load`: `loaded`, `not-found`, ...; `active`: `active`, `activating`, `failed`, `inactive`; `result`: of its last end, and
    `status` the number of it; `boot`: `enabled`, `disabled`, ..."""

    load: str
    active: str
    result: str
    boot: str
    status: str

    @property
    def running(self) -> bool:
        return self.active in {"active", "activating", "reloading"}


def is_here() -> bool:
    """Is systemd this host's first process?"""
    return _RUNS.is_dir() and shutil.which("systemctl") is not None


def unit() -> Unit | None:
    """None: no systemd, or no such unit."""
    if not is_here():
        return None
    printed = _run("show", UNIT, "--property", ",".join(_ASKED))
    said = dict(line.split("=", 1) for line in printed.splitlines() if "=" in line)
    found = Unit(*(said.get(name, "") for name in _ASKED))
    return found if found.load == "loaded" else None


def wanted(program: str, arguments: Sequence[str]) -> list[Item]:
    """The drop-in, if the agent is told more than stands in its configuration. UserError: it cannot be written in one line."""
    if not arguments:
        return []
    for word in arguments:
        if any(unicodedata.category(char) in _UNFIT for char in word):
            raise UserError(
                f"argument {word!r}: a control character, or no UTF-8: systemd has no place for it in a command line",
                hint="leave it out, or say it in /etc/ocicat/ocicat.toml",
            )
    line = " ".join(map(_quoted, (program, "agent", *arguments)))
    return [Item(DROP_IN, State("file", f"[Service]\nExecStart=\nExecStart={line}\n".encode()))]


def check() -> Unit:
    """The unit as it is. Unavailable, NotFound: what stands in the way of being kept by systemd."""
    if not is_here():
        raise Unavailable("systemd does not run on this host", hint="--with native, or --with docker")
    found = unit()
    if found is None:
        raise NotFound(f"there is no {UNIT}", hint="install the package, or --with native")
    return found


def start(*, changed: bool) -> None:
    """Now and after every boot; anew where its command line has changed."""
    if changed:
        _run("daemon-reload")
    _run("enable", UNIT)
    _run("restart" if changed else "start", UNIT)


def back(before: Unit) -> None:
    """As it was before `start`; the files are those of before already."""
    _run("daemon-reload")
    if not before.boot.startswith("enabled"):
        _run("disable", UNIT)
    _run("restart" if before.running else "stop", UNIT)


def stop(*, reload: bool) -> None:
    """Now, and not after the next boot."""
    _run("disable", "--now", UNIT)
    if reload:
        _run("daemon-reload")


def ended() -> str:
    """Why it will not serve; "" while it may."""
    found = unit()
    if found is None:
        return f"{UNIT} is gone"
    return "" if found.active == "active" else _state(found)


def failed() -> str:
    """Why systemd does not start it any more; "" where it has not given up."""
    found = unit()
    return _state(found) if found and found.active == "failed" else ""


def _state(found: Unit) -> str:
    why = words.ended(int(found.status)) if found.result == "exit-code" and found.status.isdigit() else found.result
    return f"{UNIT} is {found.active}: {why}"


def logs(*, follow: bool, lines: int) -> None:
    """This process becomes that command."""
    command = ["journalctl", "--unit", UNIT, "--lines", str(lines), *(["--follow"] if follow else ["--no-pager"])]
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise Unavailable("there is no program journalctl on this host") from error


def last_lines(lines: int = 5) -> list[str]:
    command = ["journalctl", "--unit", UNIT, "--lines", str(lines), "--no-pager", "--output", "cat"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.splitlines()


def logged_at() -> float:
    """When the journal was last told something of it, in seconds since the epoch; 0.0: never, or there is no journal."""
    command = ["journalctl", "--unit", UNIT, "--lines", "1", "--quiet", "--no-pager", "--output", "short-unix"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0.0
    return float(done.stdout.split()[0]) if done.returncode == 0 and done.stdout.strip() else 0.0


def _quoted(word: str) -> str:
    """As systemd reads a command line: `%` and `$` would be replaced, a backslash would escape."""
    plain = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return plain if plain and not any(char.isspace() or char in "\"';" for char in plain) else f'"{plain}"'


def _run(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["systemctl", *arguments], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"systemctl {arguments[0]}: {error}") from error
    if done.returncode != 0:
        raise Refused(
            f"systemctl {' '.join(arguments)}: {done.stderr.strip() or done.returncode}",
            hint=f"systemctl status {UNIT}",
        )
    return done.stdout
