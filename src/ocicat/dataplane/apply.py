"""The one thread that owns netlink, nft and setns, and what the rest of the process may ask of it.

Everything goes through one queue. The thread takes all that is queued, does it, and brings the kernel in line in one pass;
so what comes faster than the kernel takes it is joined into fewer, larger passes.

    submit ─┐                                        ┌─> reports
    attach ─┼─> queue ─> [all that is there] ─> pass ┤
    detach ─┘                                        └─> futures

Invariants: 1. The callers never block and never touch the kernel. 2. The thread does not die: what it did not expect is reported as
the dataplane's problem, the kernel is read back, and the pass is tried again, at growing intervals up to 10 s.
3. `stop` leaves the kernel as it is: traffic goes on by the last state.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TypeVar

from ocicat.dataplane.api import Attach, Attached, DataplaneConfig, Detach, Problem, Report
from ocicat.dataplane.drift.watchman import Hints, Watchman
from ocicat.dataplane.drivers import guards, links, routes
from ocicat.dataplane.drivers.kernel import Kernel
from ocicat.dataplane.engine import Engine
from ocicat.dataplane.jobs import AfterPass, BeforePass, Job, Settled
from ocicat.dataplane.reaper import Done, Reaper
from ocicat.dataplane.ruleset import nftext
from ocicat.dataplane.ruleset.identity import Decider
from ocicat.errors import Bug, OcicatError, Unavailable
from ocicat.model.wanted import Batch

T = TypeVar("T")

log = logging.getLogger(__name__)

_OBJECT = "dataplane"
_FIRST_RETRY_S = 0.1
_LAST_RETRY_S = 10.0
_TIDY_AFTER_S = 0.5
_BETWEEN_DOUBTS_S = 1.0  # a program that fights us over our table must not take the whole processor


class Dataplane:
    """`report` is called on the dataplane's thread: it must return at once, and must not raise."""

    def __init__(self, config: DataplaneConfig, report: Callable[[Report], None]) -> None:
        self._report = report
        self._queue: SimpleQueue[Job] = SimpleQueue()
        self._reaper = Reaper(self._reaped)
        self._engine = Engine(config, self._reaper)
        self._watchman = Watchman(self._engine.ports, self._heard)
        self._read_back_at = 0.0  # when the kernel was last read back, by the monotonic clock
        self._thread = threading.Thread(target=self._run, name="ocicat-dataplane", daemon=True)
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._state = ""

    @property
    def deciders(self) -> Mapping[str, Decider]:
        """Whose the prefixes of flow logs are. Any thread may look one up, and do nothing else with it."""
        return self._engine.deciders

    def start(self) -> None:
        """In the network namespace of the calling thread: reads the kernel, puts the base of the ruleset in place."""
        self._reaper.start()
        self._watchman.start()
        self._thread.start()

    def submit(self, batch: Batch) -> None:
        """Never blocks."""
        self._put(BeforePass(lambda engine: engine.batch(batch))).add_done_callback(self._tell_failure)

    def attach(self, attach: Attach) -> Future[Attached]:
        """Done when the interface is there; closed until its endpoint is reported in force.

        NotFound: no such namespace. Refused: the container has that interface already, or the name is another endpoint's.
        UserError: a bad name, no address. Unavailable: the ruleset is not in place yet, or the kernel has no more of something.
        """
        return self._put(BeforePass(lambda engine: engine.attach(attach)))

    def complete(self, attach: Attach) -> Future[None]:
        """Done when a lent interface, in the namespace that is named now, has the routes of a further network.

        NotFound: it is not there yet. Unavailable.
        """
        return self._put(BeforePass(lambda engine: engine.complete(attach)))

    def detach(self, detach: Detach) -> Future[None]:
        """Done when it is closed, has no route, and its name is free. Unavailable: try again."""
        return self._put(Settled(lambda engine: engine.detach(detach)))

    def verify(self, name: str, attach: Attach | None = None) -> Future[list[str]]:
        """What is wrong with the endpoint of that key or host interface; with `attach` the container's side is looked at too."""
        return self._put(AfterPass(lambda engine: engine.verify(name, attach)))

    def resync(self) -> Future[None]:
        """Done when everything of ours was read back and what differed is mended."""
        return self._put(Settled(lambda engine: engine.read_back()))

    def answers(self) -> Future[None]:
        """Done when the thread has come to it, and has nothing else to do before. Unavailable: the last pass failed, and why."""
        return self._put(AfterPass(lambda engine: None))

    def stop(self, timeout_s: float = 5.0) -> None:
        """Leaves the kernel as it is. What was asked and is not done yet is Unavailable. May be called twice."""
        self._stopping.set()
        self._watchman.stop(timeout_s)
        self._put(BeforePass(lambda engine: None))  # wakes the thread
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        self._reaper.stop(timeout_s)

    def _put(self, job: BeforePass[T] | Settled[T] | AfterPass[T]) -> Future[T]:
        self._queue.put(job)
        if self._ended.is_set():
            self._turn_away(self._take(0))
        return job.future

    def _run(self) -> None:
        failures = 1  # nothing is known of the kernel yet
        jobs: list[Job] = []
        while not self._stopping.is_set():
            error = self._round(jobs, fresh=failures > 0 or self._doubt_s() == 0)
            failures = failures + 1 if error else 0
            jobs = self._take(0 if self._stopping.is_set() else self._delay_s(failures))
        self._engine.close()
        self._ended.set()
        self._turn_away([*jobs, *self._take(0)])

    def _round(self, jobs: list[Job], *, fresh: bool) -> OcicatError | None:
        """All the jobs, then one pass. `fresh`: what we believe of the kernel is not to be trusted."""
        error = self._attempt(self._read_back) if fresh else None
        if not fresh:
            self._look()
        for job in jobs:
            job.before_pass(self._engine)
        if jobs:  # an attach takes as long as its endpoint's batch needs to get here: one pass serves both
            late = self._take(0)
            for job in late:
                job.before_pass(self._engine)
            jobs = [*jobs, *late]
        error = error or self._attempt(lambda: self._pass(tidy=not jobs and self._engine.cut_wait_s() is None))
        for job in jobs:
            job.after_pass(self._engine, error)
        self._tell_state(error)
        return error

    def _look(self) -> None:
        """What cannot be looked at hinders nothing: it is read back in the next round."""
        if error := self._attempt(self._engine.look):
            self._engine.doubt(f"what changes in silence could not be looked at: {error}")

    def _read_back(self) -> None:
        self._read_back_at = time.monotonic()
        self._engine.read_back()

    def _doubt_s(self) -> float | None:
        """How long until the kernel should be read back because another hand was in it; None: there is no sign of any."""
        if not self._engine.in_doubt:
            return None
        return max(0.0, self._read_back_at + _BETWEEN_DOUBTS_S - time.monotonic())

    def _pass(self, *, tidy: bool) -> None:
        for report in self._engine.run_pass(tidy=tidy):
            self._tell(report)
        for report in self._engine.cut():
            self._tell(report)

    def _delay_s(self, failures: int) -> float | None:
        """How long to wait for work before doing something unasked: trying again, cutting flows, looking round, or tidying up."""
        if failures:
            return min(_FIRST_RETRY_S * 2.0 ** min(failures - 1, 10), _LAST_RETRY_S)
        tidy_s = _TIDY_AFTER_S if self._engine.untidy else None
        waits = (self._doubt_s(), self._engine.cut_wait_s(), tidy_s, self._engine.look_wait_s)
        return min((each for each in waits if each is not None), default=None)

    def _take(self, timeout_s: float | None) -> list[Job]:
        """Everything that is queued; waits for the first. None: as long as it takes."""
        jobs: list[Job] = []
        try:
            jobs.append(self._queue.get(timeout=timeout_s) if timeout_s != 0 else self._queue.get_nowait())
            while True:
                jobs.append(self._queue.get_nowait())
        except Empty:
            return jobs

    @staticmethod
    def _attempt(work: Callable[[], None]) -> OcicatError | None:
        try:
            work()
        except OcicatError as error:
            return error
        except Exception as error:
            log.exception("the dataplane failed")
            return Bug(f"{type(error).__name__}: {error}")
        return None

    @staticmethod
    def _turn_away(jobs: list[Job]) -> None:
        for job in jobs:
            job.refuse(Unavailable("the dataplane is stopped"))

    def _tell_state(self, error: OcicatError | None) -> None:
        """Once for each change of the text."""
        text = str(error) if error else ""
        if text != self._state:
            self._state = text
            self._tell(Problem(_OBJECT, text))

    def _tell_failure(self, future: Future[None]) -> None:
        error = future.exception()
        if error is not None and not self._stopping.is_set():
            self._tell(Problem(_OBJECT, f"a batch could not be taken: {error}"))

    def _tell(self, report: Report) -> None:
        try:
            self._report(report)
        except Exception:
            log.exception("the receiver of the dataplane's reports failed on %r", report)

    def _heard(self, hints: Hints) -> None:
        """From the watchman's thread to ours."""
        self._put(BeforePass(lambda engine: engine.suspect(hints)))

    def _reaped(self, done: Done) -> None:
        """From the reaper's thread to ours."""
        self._put(BeforePass(lambda engine: engine.reaped(done)))


def cleanup(config: DataplaneConfig) -> None:
    """Removes everything of ours from the network namespace of the calling thread, and nothing else. Unavailable."""
    kernel = Kernel(config.nft)
    try:
        kernel.reopen()
        for link in links.ours(kernel.route, config.interface_prefix):
            links.remove(kernel.route, link.name)
        for link in links.ifbs(kernel.route):
            links.remove(kernel.route, link.index)
        ours = routes.read(kernel.route)
        routes.change(kernel.route, routes.Change(delete=ours))
        kernel.nft.run(nftext.table_removal())
        guards.clear(kernel.netfilter)
    finally:
        kernel.close()
