"""What is asked of the dataplane's thread, each with the future that its caller waits on.

Invariants: 1. A future is always settled, by a value or an OcicatError. 2. What was cancelled before it began is not done.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, Protocol, TypeVar

from ocicat.dataplane.engine import Engine
from ocicat.errors import Bug, OcicatError

T = TypeVar("T")

log = logging.getLogger(__name__)


class Job(Protocol):
    """Both are called, in this order, once; `refuse` instead of them, or of the second."""

    def before_pass(self, engine: Engine) -> None: ...

    def after_pass(self, engine: Engine, error: OcicatError | None) -> None: ...

    def refuse(self, error: OcicatError) -> None: ...


class _Asked(Generic[T]):
    __slots__ = ("_begun", "_work", "future")

    def __init__(self, work: Callable[[Engine], T]) -> None:
        self._work = work
        self._begun = False
        self.future: Future[T] = Future()

    def refuse(self, error: OcicatError) -> None:
        if self._begin():
            self.future.set_exception(error)

    def _begin(self) -> bool:
        """False: cancelled, or done. From here on the caller cannot cancel any more."""
        if not self._begun:
            self._begun = True
            return self.future.set_running_or_notify_cancel()
        return not self.future.done()

    def _do(self, engine: Engine) -> list[T]:
        """The result; nothing if it failed, which the future then knows."""
        try:
            return [self._work(engine)]
        except OcicatError as error:
            self.future.set_exception(error)
        except Exception as error:
            log.exception("a request to the dataplane failed")
            self.future.set_exception(Bug(f"{type(error).__name__}: {error}"))
        return []


class BeforePass(_Asked[T]):
    """Done before the pass, whose outcome is another matter."""

    __slots__ = ()

    def before_pass(self, engine: Engine) -> None:
        if self._begin():
            for result in self._do(engine):
                self.future.set_result(result)

    def after_pass(self, engine: Engine, error: OcicatError | None) -> None:
        pass


class Settled(_Asked[T]):
    """Begun before the pass and done only if the pass succeeds."""

    __slots__ = ("_results",)

    def before_pass(self, engine: Engine) -> None:
        self._results = self._do(engine) if self._begin() else []

    def after_pass(self, engine: Engine, error: OcicatError | None) -> None:
        if error is not None and self._results:
            self.future.set_exception(error)
            return
        for result in self._results:
            self.future.set_result(result)


class AfterPass(_Asked[T]):
    """Looks at what the pass has left."""

    __slots__ = ()

    def before_pass(self, engine: Engine) -> None:
        pass

    def after_pass(self, engine: Engine, error: OcicatError | None) -> None:
        if error is not None:
            self.refuse(error)
        elif self._begin():
            for result in self._do(engine):
                self.future.set_result(result)
