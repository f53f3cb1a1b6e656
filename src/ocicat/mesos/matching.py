"""Which waiting task goes to which offer.

1. PURE. First fit: tasks in the order they came, offers in the order Mesos sent them, as many tasks as fit on each.
2. A task that constrains its host goes nowhere else; an offer is never overdrawn.
3. For every task left over it is known, per host that made an offer, what was missing: a task that never finds a place can say why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ocicat.mesos.types import Offer, TaskSpec

_HOSTS_SHOWN = 5


@dataclass(slots=True)
class Matched:
    """`placed`: offer id -> task ids, only offers that got some. `missed`: task id -> {host name: what was missing}."""

    placed: dict[str, list[str]] = field(default_factory=dict)
    missed: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass(slots=True)
class _Rest:
    """What is left of an offer. Mesos counts resources in thousandths; so do we, to be as exact as it is."""

    offer: Offer
    cpus: float
    mem_mb: float

    def missing(self, spec: TaskSpec) -> str:
        """ "" when `spec` fits."""
        if spec.hostname not in ("", self.offer.hostname):
            return "another host"
        if self.cpus < spec.cpus:
            return f"{self.cpus:g} cpus"
        return f"{self.mem_mb:g} MB of memory" if self.mem_mb < spec.mem_mb else ""

    def take(self, spec: TaskSpec) -> None:
        self.cpus = round(self.cpus - spec.cpus, 3)
        self.mem_mb = round(self.mem_mb - spec.mem_mb, 3)


def first_fit(tasks: Iterable[tuple[str, TaskSpec]], offers: Sequence[Offer]) -> Matched:
    """`tasks` are (task id, spec)."""
    rests = [_Rest(offer, offer.cpus, offer.mem_mb) for offer in offers]
    matched = Matched()
    for task_id, spec in tasks:
        missed: dict[str, str] = {}
        for rest in rests:
            if missing := rest.missing(spec):
                missed[rest.offer.hostname] = missing
                continue
            rest.take(spec)
            matched.placed.setdefault(rest.offer.id, []).append(task_id)
            break
        else:
            matched.missed[task_id] = missed
    return matched


def why_not_placed(spec: TaskSpec, missed: Mapping[str, str]) -> str:
    """One sentence for a task that waited in vain; `missed` is what the offers of all that time lacked, by host."""
    if not missed:
        return "no agent offered anything: none is registered, or others hold all resources"
    if spec.hostname and spec.hostname not in missed:
        return f"no offer came from host {spec.hostname!r}, only from {_some(missed)}"
    short = [f"{host} had {what}" for host, what in missed.items() if what != "another host"]
    return f"needs {spec.cpus:g} cpus and {spec.mem_mb:g} MB of memory, but {_some(short)}"


def _some(words: Iterable[str]) -> str:
    words = list(words)
    more = len(words) - _HOSTS_SHOWN
    return ", ".join(words[:_HOSTS_SHOWN]) + (f" and {more} more" if more > 0 else "")
