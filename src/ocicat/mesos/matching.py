"""Which waiting task goes to which offer.

1. PURE. First fit: tasks in the order they came, offers in the order Mesos sent them, as many tasks as fit on each.
2. A task that constrains its host goes nowhere else; an offer is never overdrawn.
3. For every task left over it is known, per host that made an offer, what was missing: a task that never finds a place can say why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ocicat.mesos.placing import BREAKS, Place, granted, misfit, place_of, without
from ocicat.mesos.types import Offer, PortRange, TaskSpec

_HOSTS_SHOWN = 5


@dataclass(slots=True)
class Matched:
    """`placed`: offer id -> task ids, only offers that got some. `missed`: task id -> {host name: what was missing}.

    `ports`: the ports of its host that each task got which wanted any.
    """

    placed: dict[str, list[str]] = field(default_factory=dict)
    missed: dict[str, dict[str, str]] = field(default_factory=dict)
    ports: dict[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(slots=True)
class _Rest:
    """What is left of an offer. Mesos counts resources in thousandths; so do we, to be as exact as it is."""

    offer: Offer
    cpus: float
    mem_mb: float
    disk_mb: float
    ports: tuple[PortRange, ...]

    def missing(self, spec: TaskSpec, kin: Sequence[Place]) -> str:
        """ "" when `spec` fits."""
        if spec.hostname not in ("", self.offer.hostname):
            return "another host"
        if why := misfit(spec.constraints, place_of(self.offer), kin):
            return why
        if self.cpus < spec.cpus:
            return f"{self.cpus:g} cpus"
        if self.mem_mb < spec.mem_mb:
            return f"{self.mem_mb:g} MB of memory"
        if self.disk_mb < spec.disk_mb:
            return f"{self.disk_mb:g} MB of disk"
        return "" if granted(spec.host_ports, self.ports) is not None else f"not all the ports wanted ({_ports(spec)})"

    def take(self, spec: TaskSpec) -> tuple[int, ...]:
        """The ports it gets."""
        self.cpus = round(self.cpus - spec.cpus, 3)
        self.mem_mb = round(self.mem_mb - spec.mem_mb, 3)
        self.disk_mb = round(self.disk_mb - spec.disk_mb, 3)
        numbers = granted(spec.host_ports, self.ports) or ()
        self.ports = without(self.ports, numbers)
        return numbers


def first_fit(
    tasks: Iterable[tuple[str, TaskSpec]], offers: Sequence[Offer], kin: Mapping[str, Sequence[Place]] | None = None
) -> Matched:
    """`tasks` are (task id, spec); `kin`: where the tasks are that run already, by `TaskSpec.kin`."""
    rests = [_Rest(offer, offer.cpus, offer.mem_mb, offer.disk_mb, offer.ports) for offer in offers]
    places = {name: list(there) for name, there in (kin or {}).items()}
    matched = Matched()
    for task_id, spec in tasks:
        relatives = places.setdefault(spec.kin, []) if spec.constraints else []
        missed: dict[str, str] = {}
        for rest in rests:
            if missing := rest.missing(spec, relatives):
                missed[rest.offer.hostname] = missing
                continue
            if numbers := rest.take(spec):
                matched.ports[task_id] = numbers
            relatives.append(place_of(rest.offer))
            matched.placed.setdefault(rest.offer.id, []).append(task_id)
            break
        else:
            matched.missed[task_id] = missed
    return matched


def _ports(spec: TaskSpec) -> str:
    return ", ".join(str(port.number or "any") for port in spec.host_ports)


def why_not_placed(spec: TaskSpec, missed: Mapping[str, str]) -> str:
    """One sentence for a task that waited in vain; `missed` is what the offers of all that time lacked, by host."""
    if not missed:
        return "no agent offered anything: none is registered, or others hold all resources"
    if spec.hostname and spec.hostname not in missed:
        return f"no offer came from host {spec.hostname!r}, only from {_some(missed)}"
    had = {host: what if what.startswith(BREAKS) else f"had {what}" for host, what in missed.items()}
    short = [f"{host} {had[host]}" for host, what in missed.items() if what != "another host"]
    disk = f" and {spec.disk_mb:g} MB of disk" if spec.disk_mb else ""
    return f"needs {spec.cpus:g} cpus and {spec.mem_mb:g} MB of memory{disk}, but {_some(short)}"


def _some(words: Iterable[str]) -> str:
    words = list(words)
    more = len(words) - _HOSTS_SHOWN
    return ", ".join(words[:_HOSTS_SHOWN]) + (f" and {more} more" if more > 0 else "")
