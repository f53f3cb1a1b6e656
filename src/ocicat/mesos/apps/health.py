"""Whether an instance is healthy, by what its checks have answered. PURE.

1. Unknown until the first answer that counts; then healthy until `failures` failures in a row.
2. Until the first success, failures do not count for `grace_s` from the start.
"""

from __future__ import annotations

from dataclasses import dataclass

from ocicat.mesos.frameworks.application import Check


@dataclass(slots=True)
class Judge:
    """One check of one instance. `started`: by the clock of `heard`."""

    check: Check
    started: float
    succeeded: bool = False
    failed_in_row: int = 0
    last_failure: str = ""

    def heard(self, failure: str, now: float) -> None:
        """`failure` is "" for a success."""
        if not failure:
            self.succeeded, self.failed_in_row, self.last_failure = True, 0, ""
            return
        self.last_failure = failure
        if self.succeeded or now >= self.started + self.check.grace_s:
            self.failed_in_row += 1

    @property
    def healthy(self) -> bool | None:
        if self.failed_in_row:
            return self.succeeded and self.failed_in_row < max(1, self.check.failures)
        return True if self.succeeded else None

    @property
    def hopeless(self) -> bool:
        """The instance is to be ended."""
        return 0 < self.check.failures <= self.failed_in_row


def together(answers: list[bool | None]) -> bool | None:
    """Healthy by all; one that is not decides, then one that is not known."""
    if False in answers:
        return False
    return None if None in answers else True
