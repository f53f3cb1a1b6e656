"""Docker by its own program: what is there, and one command of a plan. All that is done can be typed, and be printed first.

Errors: Unavailable, where there is no such program or its engine does not answer; Refused, with what Docker says.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Sequence

from ocicat.errors import NotFound, Refused, Unavailable
from ocicat.model.base import Struct, field
from ocicat.model.codec import decode_json
from ocicat.node.container import LABEL, Present

PROGRAM = "docker"
TIMEOUT_S = 120.0
PULL_S = 1800.0
_NO_ENGINE = ("Cannot connect to the Docker daemon", "error during connect", "failed to connect to the docker API")


class _Configured(Struct, frozen=True):
    image: str = field(default="", name="Image")
    labels: dict[str, str] | None = field(default=None, name="Labels")


class _State(Struct, frozen=True):
    status: str = field(default="", name="Status")
    exit_code: int = field(default=0, name="ExitCode")


class Container(Struct, frozen=True):
    """As the engine describes it."""

    image: str = field(default="", name="Image")
    state: _State = field(default=_State(), name="State")
    config: _Configured = field(default=_Configured(), name="Config")
    restarts: int = field(default=0, name="RestartCount")
    created: str = field(default="", name="Created")
    id: str = field(default="", name="Id")

    @property
    def running(self) -> bool:
        return self.state.status == "running"

    @property
    def present(self) -> Present:
        return Present(self.image, (self.config.labels or {}).get(LABEL, ""), self.running)


class _Image(Struct, frozen=True):
    id: str = field(default="", name="Id")


def container(name: str) -> Container | None:
    """None: there is none."""
    try:
        (found,) = decode_json(list[Container], run("container", "inspect", name), what=f"container {name}")
    except NotFound:
        return None
    return found


def containers(names: Iterable[str]) -> dict[str, Present]:
    found = {name: container(name) for name in names}
    return {name: each.present for name, each in found.items() if each}


def last_end(of: Container) -> int | None:
    """The status with which it has ended last; None: it has not, or the engine does not know any more."""
    only = ("--filter", f"container={of.id}", "--filter", "event=die")
    form = '{{index .Actor.Attributes "exitCode"}}'
    told = run("events", "--since", of.created, "--until", "0s", *only, "--format", form)
    last = next(reversed(told.split()), "")
    return int(last) if last.isdigit() else None


def image_id(image: str) -> str:
    """NotFound: the engine has not got it."""
    (found,) = decode_json(list[_Image], run("image", "inspect", image), what=f"image {image}")
    return found.id


def run(*arguments: str, timeout_s: float = TIMEOUT_S) -> str:
    """What it prints. NotFound: there is no such container or image."""
    try:
        done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=timeout_s, check=False)
    except FileNotFoundError as error:
        raise Unavailable(f"there is no program {PROGRAM} on this host", hint="install it, or --with native") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{PROGRAM} {arguments[0]}: {error}") from error
    if done.returncode != 0:
        raise _failure(arguments, done.stderr.strip() or done.stdout.strip())
    return done.stdout


def replace_by(arguments: Sequence[str]) -> None:
    """This process becomes that command. Returns only by an error."""
    try:
        os.execvp(PROGRAM, [PROGRAM, *arguments])
    except OSError as error:
        raise Unavailable(f"there is no program {PROGRAM} on this host") from error


def last_lines(name: str, lines: int = 5) -> list[str]:
    """Of what a container has said; none if that cannot be had."""
    command = [PROGRAM, "logs", "--tail", str(lines), name]
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.splitlines() if done.returncode == 0 else []


def _failure(arguments: Sequence[str], said: str) -> Exception:
    if "No such container" in said or "No such image" in said:
        return NotFound(f"{PROGRAM} {' '.join(arguments[:2])}: {said}")
    if any(sign in said for sign in _NO_ENGINE):
        return Unavailable(
            f"Docker's engine does not answer: {said}", hint="is it started? is this user allowed to ask it?"
        )
    return Refused(f"{PROGRAM} {arguments[0]}: {said}")
