"""SIGHUP from the moment a process is an agent: remembered until it can be answered, and never the end of the process.

It is asked for before anything else of the agent is imported, so nothing is imported here.
"""

from __future__ import annotations

import signal
from types import FrameType


class Remembered:
    """Takes the signal in place of the default, which ends the process."""

    came: bool = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.came = True


def remember() -> None:
    """From now on. A signal before it ends the process, as one always does that comes while the interpreter starts."""
    signal.signal(signal.SIGHUP, Remembered())


def has_come(taker: object) -> bool:
    """`taker`: what took the signal so far."""
    return isinstance(taker, Remembered) and taker.came
