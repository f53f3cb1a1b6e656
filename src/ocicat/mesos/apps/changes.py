"""What differs between the applications that are wanted now and those that somebody defines. PURE."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ocicat.mesos.frameworks.application import Application
from ocicat.model.base import Struct, fields


class Difference(Struct, frozen=True, kw_only=True):
    """`change`: "new", "scaled" (no instance restarts but those that are too many end), "replaced" (every instance by one of
    another version), "changed" (only in how it is looked after) or "unchanged". `fields`: which differ."""

    app: str
    change: str
    instances: int
    before: int = 0
    version: str = ""
    fields: tuple[str, ...] = ()


def differences(present: Mapping[str, Application], defined: Iterable[Application]) -> tuple[Difference, ...]:
    return tuple(_difference(present.get(app.id), app) for app in defined)


def _difference(before: Application | None, after: Application) -> Difference:
    if before is None:
        return Difference(app=after.id, change="new", instances=after.instances, version=after.version)
    different = tuple(
        _plain(name, before, after) for name in _names(Application) if getattr(before, name) != getattr(after, name)
    )
    if before.version != after.version:
        change = "replaced"
    elif before.instances != after.instances:
        change = "scaled"
    else:
        change = "changed" if different else "unchanged"
    return Difference(
        app=after.id,
        change=change,
        instances=after.instances,
        before=before.instances,
        version=after.version,
        fields=different,
    )


def _plain(name: str, before: Application, after: Application) -> str:
    if name != "spec":
        return name
    specs = before.spec, after.spec
    return ", ".join(one for one in _names(type(before.spec)) if getattr(specs[0], one) != getattr(specs[1], one))


def _names(kind: type[Struct]) -> list[str]:
    return [one.name for one in fields(kind)]
