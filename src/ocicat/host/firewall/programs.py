"""Programs of the host that are run for what they print, or to change something: in the network namespace of the calling thread."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from shutil import which

from ocicat.errors import Refused

_TIMEOUT_S = 60.0


def present(program: str) -> bool:
    return which(program) is not None


def output(argv: Sequence[str], text: str = "") -> str:
    """What it prints. Refused, with its own first line, when it fails or is not there."""
    try:
        done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except FileNotFoundError as error:
        raise Refused(f"there is no program {argv[0]} on this host", hint="install it and run this again") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise Refused(f"{' '.join(argv)}: {error}") from error
    if done.returncode:
        lines = [
            line for line in (done.stderr or done.stdout).splitlines() if line.strip() and not line.startswith("#")
        ]
        raise Refused(f"{' '.join(argv)}: {lines[0].strip() if lines else f'exit status {done.returncode}'}")
    return done.stdout


def attempt(argv: Sequence[str]) -> str:
    """As `output`; "" where that fails."""
    try:
        return output(argv)
    except Refused:
        return ""
