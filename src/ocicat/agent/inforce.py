"""Who waits for an endpoint's policy to be in the kernel. One event loop; no I/O.

1. Only what is reported while somebody expects it counts: whoever is about to change an endpoint expects it first, then changes it.
2. Nothing is remembered of an endpoint that nobody expects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ocicat.errors import Refused


@dataclass(slots=True)
class InForce:
    """Fed with the dataplane's reports; asked by ADD."""

    _expected: dict[str, list[tuple[int, asyncio.Future[None]]]] = field(default_factory=dict)  # by endpoint key

    @contextmanager
    def expected(self, key: str, revision: int) -> Iterator[asyncio.Future[None]]:
        """A future that is done when the endpoint is reported in force at that revision or a later one; Refused when it failed.

        The caller bounds the time. Leaving the block forgets it.
        """
        entry = (revision, asyncio.get_running_loop().create_future())
        self._expected.setdefault(key, []).append(entry)
        try:
            yield entry[1]
        finally:
            self._expected[key].remove(entry)
            if not self._expected[key]:
                del self._expected[key]
            if not entry[1].cancel() and not entry[1].cancelled():
                entry[1].exception()  # seen, also where nobody came to await it

    def reached(self, key: str, revision: int) -> None:
        """The endpoint is in the kernel as the datastore's `revision` wants it."""
        for wanted, future in self._expected.get(key, ()):
            if wanted <= revision and not future.done():
                future.set_result(None)

    def failed(self, key: str, text: str) -> None:
        for _, future in self._expected.get(key, ()):
            if not future.done():
                future.set_exception(Refused(f"the kernel refused the endpoint's policy: {text}"))
