"""Progress for people: one line a step on standard error, with the seconds since the beginning."""

from __future__ import annotations

import sys
import time


class Progress:
    """Call it with a line when a step is done."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, line: str) -> None:
        sys.stderr.write(f"[{time.monotonic() - self._began:5.2f} s] {line}\n")
        sys.stderr.flush()
