"""Logged packets, summed up as flows.

What policy says of one packet in one direction comes as several copies: first what does not decide (staged policies, Pass, Log
rules), then the one rule that does. Copies of one packet come in order; those of others may stand between them.

    copies --by connection and direction--> traces --by names, port and trace--> rows of the interval

Promises: 1. memory is bounded: rows, unfinished traces and remembered connections each have a most; what finds no room is counted.
2. Who had an address is asked when the packet is read: an endpoint may be gone when the interval ends. 3. A trace that no rule
ends (a stage that leaves a packet to the next) is told after `UNDECIDED_S`, or when its connection comes again. No I/O.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ocicat.agent.flowlog.packet import Headers, headers
from ocicat.agent.flowlog.parties import Parties, Party
from ocicat.dataplane.ruleset.identity import Decider
from ocicat.netlink.nflog import Logged

MOST_ROWS = 10_000
MOST_TRACES = 10_000
MOST_REMEMBERED = 1 << 16
MOST_SAMPLES = 5
UNDECIDED_S = 2.0
REMEMBERED_S = 60.0

_FINAL = frozenset({"Allow", "Deny"})

Connection = tuple[bytes, bytes, int, int, int, int]
"""Addresses, protocol, ports, and the direction that policy looked in (its NFLOG group)."""


@dataclass(slots=True, eq=False)
class Step:
    """A rule of a trace; one object for each prefix, compared by identity."""

    prefix: str
    decider: Decider
    final: bool


Key = tuple[Party, Party, int, int, tuple[Step, ...]]
"""Source, destination, protocol, the destination's port, what decided."""


@dataclass(slots=True)
class Row:
    first: float
    last: float
    connections: int = 0
    packets: int = 0
    size_bytes: int = 0
    sources: list[bytes] = field(default_factory=list)  # the first few
    destinations: list[bytes] = field(default_factory=list)

    def add(self, seen: Headers, now: float, *, new: bool) -> None:
        self.last = now
        self.connections += new
        self.packets += 1
        self.size_bytes += seen.size_bytes
        if len(self.sources) < MOST_SAMPLES and seen.source not in self.sources:
            self.sources.append(seen.source)
        if len(self.destinations) < MOST_SAMPLES and seen.destination not in self.destinations:
            self.destinations.append(seen.destination)


@dataclass(slots=True)
class _Trace:
    since: float
    seen: Headers
    steps: list[Step]


@dataclass(slots=True)
class Sums:
    """Of one interval. `uncounted`: packets of flows that found no room."""

    rows: dict[Key, Row] = field(default_factory=dict)
    uncounted: int = 0


class Flows:
    """`decider`: whose prefix it is; None: nobody's of ours."""

    __slots__ = ("_decider", "_parties", "_recent", "_steps", "_sums", "_traces")

    def __init__(self, parties: Parties, decider: Callable[[str], Decider | None]) -> None:
        self._parties = parties
        self._decider = decider
        self._steps: dict[str, Step | None] = {}  # by prefix; None: none of ours
        self._traces: dict[Connection, _Trace] = {}  # unfinished ones, the oldest first
        self._recent = Recent()
        self._sums = Sums()

    def add(self, logged: Logged, now: float) -> None:
        """Copies that are not of our rules, or of no IP packet, are passed over."""
        step = self._step(logged.prefix)
        seen = headers(logged.packet)
        if step is None or seen is None:
            return
        connection = (
            seen.source,
            seen.destination,
            seen.protocol,
            seen.source_port,
            seen.destination_port,
            logged.group,
        )
        if not step.final:
            self._go_on(connection, step, seen, now)
            return
        trace = self._traces.pop(connection, None)
        self._count(connection, (*trace.steps, step) if trace else (step,), seen, now)

    def close_old(self, now: float, *, older_than_s: float = UNDECIDED_S) -> None:
        while self._traces:
            connection, trace = next(iter(self._traces.items()))
            if now - trace.since < older_than_s:
                return
            self._close(connection, now)

    def take(self) -> Sums:
        """Those of the interval that ends now. Names of rules are asked for anew in the next one."""
        taken, self._sums = self._sums, Sums()
        self._steps.clear()
        return taken

    def _step(self, prefix: str) -> Step | None:
        if prefix not in self._steps:
            decider = self._decider(prefix)
            self._steps[prefix] = Step(prefix, decider, _is_final(decider)) if decider else None
        return self._steps[prefix]

    def _go_on(self, connection: Connection, step: Step, seen: Headers, now: float) -> None:
        trace = self._traces.get(connection)
        if trace is not None and any(one.prefix == step.prefix for one in trace.steps):
            self._close(connection, now)  # its next packet
            trace = None
        if trace is not None:
            trace.steps.append(step)
        elif len(self._traces) < MOST_TRACES:
            self._traces[connection] = _Trace(now, seen, [step])
        else:
            self._sums.uncounted += 1

    def _close(self, connection: Connection, now: float) -> None:
        trace = self._traces.pop(connection)
        self._count(connection, tuple(trace.steps), trace.seen, now)

    def _count(self, connection: Connection, steps: tuple[Step, ...], seen: Headers, now: float) -> None:
        source, destination = self._parties.find(seen.source), self._parties.find(seen.destination)
        key = (source, destination, seen.protocol, seen.destination_port, steps)
        row = self._sums.rows.get(key)
        if row is None:
            if len(self._sums.rows) == MOST_ROWS:
                self._sums.uncounted += 1
                return
            row = self._sums.rows[key] = Row(now, now)
        row.add(seen, now, new=self._recent.note(hash((connection, steps[-1].prefix)), now))


def _is_final(decider: Decider) -> bool:
    return decider.action in _FINAL and not decider.staged


class Recent:
    """Connections seen within the last minute or two, if not too many: two generations, of which the older is forgotten at once."""

    __slots__ = ("_now", "_since", "_then")

    def __init__(self) -> None:
        self._now: set[int] = set()
        self._then: set[int] = set()
        self._since = 0.0

    def note(self, connection: int, now: float) -> bool:
        """Is it new?"""
        if len(self._now) >= MOST_REMEMBERED or now - self._since > REMEMBERED_S:
            self._then, self._now, self._since = self._now, set(), now
        if connection in self._now:
            return False
        self._now.add(connection)
        return connection not in self._then
