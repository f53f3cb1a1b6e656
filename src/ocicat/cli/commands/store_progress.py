"""How far a long transfer is, on standard error: a line that changes on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys

from ocicat.clock import Clock, SystemClock

_TERMINAL_S = 0.1
_LINES_S = 10.0


class Ticker:
    """Called with how many keys are done, and of how many. What is done at once is not worth a line."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._terminal = sys.stderr.isatty()
        self._every_s = _TERMINAL_S if self._terminal else _LINES_S
        self._next = self._clock.monotonic() + self._every_s
        self._open = False

    def __call__(self, done: int, total: int) -> None:
        last = done == total and self._open
        if self._clock.monotonic() < self._next and not last:
            return
        self._next = self._clock.monotonic() + self._every_s
        self._open = self._terminal and not last
        start, end = ("\r", "" if self._open else "\n") if self._terminal else ("", "\n")
        sys.stderr.write(f"{start}{done} of {total} keys{end}")
        sys.stderr.flush()
