"""What to start and what to end, so that an application becomes what it is to be. PURE.

1. Nothing that is ended here takes the number of ready instances below the part that must stay healthy.
2. There are never more instances than `instances` and the part that may be over, but for those that are ending or out of reach.
3. An instance of which nobody knows yet how it is is neither counted as ready nor ended for the sake of another one.
4. A failure delays the next start, each in a row by more; an instance that lived for `VIABLE_S` ends the row.

Source of the meaning of upgradeStrategy: Marathon's documentation (deployments.md and the REST API's UpgradeStrategy).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor

from ocicat.mesos.frameworks.application import Application, Backoff
from ocicat.model.base import Struct

VIABLE_S = 60.0
_ROUNDING = 1e-9  # 0.7 of 10 are 7


class View(Struct, frozen=True):
    """An instance, as far as a plan needs it. `ready` is None where that is not known yet; one that was never `heard` of since it
    was taken over may not be there at all."""

    task_id: str
    version: str
    ready: bool | None
    started: float
    heard: bool = True
    ending: bool = False
    away: bool = False  # out of reach for so long that another takes its place


class Plan(Struct, frozen=True):
    """How many to start, and which to end."""

    start: int = 0
    end: tuple[str, ...] = ()


def planned(app: Application, instances: Iterable[View]) -> Plan:
    """The next step."""
    here = [one for one in instances if not one.ending and not one.away]
    fresh = [one for one in here if one.version == app.version]
    old = [one for one in here if one.version != app.version]
    missing = app.instances - len(fresh)
    room = most(app, updating=bool(old)) - len(here)
    ending = [*_surplus(app, fresh), *_replaced(app, here, old)]
    return Plan(max(0, min(missing, room)), tuple(one.task_id for one in ending))


def least(app: Application) -> int:
    """How many must stay ready."""
    return ceil(app.instances * app.upgrade.minimum_healthy - _ROUNDING)


def most(app: Application, *, updating: bool = True) -> int:
    """How many there may be. Where all must stay healthy and none may be over, one is: else nothing could ever change."""
    if not updating:
        return app.instances
    over = floor(app.instances * app.upgrade.maximum_over + _ROUNDING)
    return app.instances + (over or (1 if app.instances and least(app) == app.instances else 0))


def _surplus(app: Application, fresh: Sequence[View]) -> list[View]:
    sure = [one for one in fresh if one.heard or not app.instances]
    return _in_order(app, sure)[: max(0, len(sure) - app.instances)]


def _replaced(app: Application, here: Sequence[View], old: Sequence[View]) -> list[View]:
    """Those that are not ready are no loss; of the others as many as can be done without."""
    ready = sum(one.ready is True for one in here)
    spare = max(0, ready - least(app)) if app.instances else len(here)
    lost = [one for one in old if one.ready is False or (one.ready is None and not app.instances)]
    return [*lost, *[one for one in _in_order(app, old) if one.ready][:spare]]


def _in_order(app: Application, instances: Sequence[View]) -> list[View]:
    """Who goes first: those that are not ready, then by age."""
    return sorted(instances, key=lambda one: (one.ready is True, one.started if app.oldest_first else -one.started))


@dataclass(slots=True)
class Delay:
    """When the next instance may start, in seconds of the clock that `failed` is given."""

    until: float = 0.0
    seconds: float = 0.0

    def failed(self, backoff: Backoff, now: float, lived_s: float) -> None:
        row = 0.0 if lived_s >= VIABLE_S else self.seconds
        self.seconds = min(row * backoff.factor if row else backoff.first_s, backoff.longest_s)
        self.until = now + self.seconds
