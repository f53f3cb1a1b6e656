"""What each asker may have of a thread's time. One thread's own; no I/O.

1. Who saved nothing gets `share` of the time from now on; who asked little lately has up to `saved_s` seconds at hand.
2. One asker's spending takes nothing from another's.
3. Who spends more than he has owes it, but no more than twice what he can save.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from ocicat.clock import Clock

_MOST_KEPT = 4096  # askers; beyond that those with all their savings are forgotten, which changes nothing


@dataclass(slots=True)
class Allowance:
    clock: Clock
    share: float
    saved_s: float
    _spent: dict[Hashable, tuple[float, float]] = field(default_factory=dict)  # what was left, and when

    def left_s(self, asker: Hashable) -> float:
        """Below 0 he owes."""
        left, since = self._spent.get(asker, (self.saved_s, 0.0))
        return min(self.saved_s, left + (self.clock.monotonic() - since) * self.share)

    def spend(self, asker: Hashable, seconds: float) -> None:
        if asker not in self._spent and len(self._spent) >= _MOST_KEPT:
            self._spent = {each: kept for each, kept in self._spent.items() if self.left_s(each) < self.saved_s}
        left = max(self.left_s(asker) - seconds, -2 * self.saved_s)
        self._spent[asker] = (left, self.clock.monotonic())
