"""Who waits for an endpoint's policy to be in the kernel, and who has it there. One event loop; no I/O."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from ocicat.errors import Refused


@dataclass(slots=True)
class InForce:
    """Fed with the dataplane's reports; asked by ADD."""

    _revisions: dict[str, int] = field(default_factory=dict)  # endpoint key -> newest revision in the kernel
    _waiting: dict[str, list[tuple[int, asyncio.Future[None]]]] = field(default_factory=dict)

    def reached(self, key: str, revision: int) -> None:
        """The endpoint is in the kernel as the datastore's `revision` wants it."""
        self._revisions[key] = max(revision, self._revisions.get(key, 0))
        left = []
        for wanted, future in self._waiting.pop(key, []):
            if wanted > revision:
                left.append((wanted, future))
            elif not future.done():
                future.set_result(None)
        if left:
            self._waiting[key] = left

    def failed(self, key: str, text: str) -> None:
        for _, future in self._waiting.pop(key, []):
            if not future.done():
                future.set_exception(Refused(f"the kernel refused the endpoint's policy: {text}"))

    def forget(self, key: str) -> None:
        """The endpoint is going: what was in force says nothing about its successor of the same name."""
        self._revisions.pop(key, None)

    async def wait(self, key: str, revision: int) -> None:
        """Returns when the endpoint is in force at that revision or a later one; the caller bounds the time."""
        if self._revisions.get(key, -1) >= revision:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append((revision, future))
        await future
