"""The thread that reads what policy logs, and writes it to the flow log.

Promises: 1. nobody waits for it: what it must know comes through a queue, and it gives the interpreter away every half millisecond;
2. nothing ends it but `stop`: a group that another program reads, a full disk, what it did not expect are told once, and it goes on
trying; 3. what is lost, in the kernel's buffer or for want of room, is counted, in the flow log and in the agent's log; 4. a `stop`
writes what there is; a crash loses one interval at most.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue

from ocicat.agent.flowlog import file
from ocicat.agent.flowlog.flows import Flows
from ocicat.agent.flowlog.parties import Parties
from ocicat.agent.flowlog.record import line
from ocicat.agent.flowlog.telling import Interval, lost, records
from ocicat.clock import Clock
from ocicat.dataplane.ruleset.identity import GROUPS, Decider
from ocicat.errors import OcicatError
from ocicat.netlink.nflog import NflogSocket

_TICK_S = 1.0
_RETRY_S = 5.0
_GATHER_S = 0.01  # between two readings: many datagrams at once cost less than each on its own
_SLICE_S = 0.0005
_YIELD_S = 0.0001
_KEPT_BACK_S = 0.15  # longer than the kernel keeps a few copies back
_LAST_S = 0.5  # for what is there when it is stopped

log = logging.getLogger(__name__)

Change = Callable[[Parties], None]


class Reader:
    """`decider` is asked on the thread. `interval_s` may be changed at any time."""

    def __init__(
        self,
        path: Path,
        host: str,
        clock: Clock,
        decider: Callable[[str], Decider | None],
        tier_of: Callable[[str], str],
        *,
        interval_s: float,
    ) -> None:
        self.interval_s = interval_s
        self._path, self._host, self._clock, self._tier_of = path, host, clock, tier_of
        self._parties = Parties()
        self._flows = Flows(self._parties, decider)
        self._changes: SimpleQueue[Change] = SimpleQueue()
        self._since = clock.now()
        self._begun = clock.monotonic()
        self._unread = 0  # of the interval
        self._trouble = ""
        self._slice_ends = 0.0  # by the system's own clock
        self._stopping = threading.Event()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="ocicat-flow-log", daemon=True)

    def start(self) -> None:
        """In the network namespace of the calling thread."""
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """May be called twice."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        os.eventfd_write(self._wake, 1)
        self._thread.join(timeout_s)
        if not self._thread.is_alive():
            os.close(self._wake)

    def change(self, change: Change) -> None:
        """Never blocks: it is taken in before the next packets are read."""
        self._changes.put(change)

    # --- the thread ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with NflogSocket(GROUPS.values()) as sock:
                    self._tell("")
                    self._read(sock)
            except OcicatError as error:
                self._tell(f"flows are not logged: {error}")
            except Exception:
                log.exception("the reader of flow logs failed, and begins again")
            self._take_changes()
            self._stopping.wait(_RETRY_S)
        self._flows.close_old(self._clock.now(), older_than_s=0.0)
        self._write()

    def _read(self, sock: NflogSocket) -> None:
        """Until it is stopped; and then what has come until then."""
        poll = select.poll()
        for descriptor in (sock.fileno(), self._wake):
            poll.register(descriptor, select.POLLIN)
        while not self._stopping.is_set():
            poll.poll(min(_TICK_S, self.interval_s) * 1000)
            self._take(sock)
            self._take_changes()
            self._flows.close_old(self._clock.now())
            if self._clock.monotonic() - self._begun >= self.interval_s:
                self._write()
            self._stopping.wait(_GATHER_S)
        poll.unregister(self._wake)
        deadline = self._clock.monotonic() + _LAST_S
        while poll.poll(_KEPT_BACK_S * 1000) and self._clock.monotonic() < deadline:
            self._take(sock)

    def _take(self, sock: NflogSocket) -> None:
        before = sock.lost
        for packets in sock.read():
            self._take_changes()
            now = self._clock.now()
            for one in packets:
                self._flows.add(one, now)
            self._give_way()
        self._unread += sock.lost - before

    def _take_changes(self) -> None:
        while True:
            try:
                change = self._changes.get_nowait()
            except Empty:
                return
            change(self._parties)
            self._give_way()

    def _give_way(self) -> None:
        """Without this the others would get the interpreter only every 5 ms."""
        if time.monotonic() >= self._slice_ends:
            time.sleep(_YIELD_S)
            self._slice_ends = time.monotonic() + _SLICE_S

    def _write(self) -> None:
        """What the interval has seen, and the next one begins."""
        sums, unread, self._unread = self._flows.take(), self._unread, 0
        interval = Interval(self._since, self._clock.now(), self._host)
        self._since, self._begun = interval.end, self._clock.monotonic()
        lines = [line(record) for record in records(interval, sums.rows.items(), self._tier_of)]
        if unread or sums.uncounted:
            log.warning("flow log: %d packets were not read in time, %d had no room", unread, sums.uncounted)
            lines.append(line(lost(interval, unread, sums.uncounted)))
        if lines:
            try:
                file.append(self._path, lines)
                self._tell("")
            except OcicatError as error:
                self._tell(f"flow log: {error}")

    def _tell(self, trouble: str) -> None:
        """Each once when it comes, once when it goes."""
        if trouble != self._trouble:
            if trouble:
                log.error("%s", trouble)
            else:
                log.info("flow log: solved")
            self._trouble = trouble
