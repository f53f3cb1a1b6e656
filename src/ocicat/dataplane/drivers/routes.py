"""Our routes in the main table.

Invariants: 1. A route that another made is never replaced: what we have not in the kernel is added exclusively.
2. A deletion names our protocol, so it cannot hit another's. 3. One route's failure stops no other.
"""

from __future__ import annotations

from collections.abc import Sequence

from ocicat.dataplane.ownership import ROUTE_PROTOCOL
from ocicat.errors import Unavailable
from ocicat.model.base import Struct, field
from ocicat.netlink import inet, route
from ocicat.netlink.errors import NetlinkError
from ocicat.netlink.route import MAIN, Route
from ocicat.netlink.socket import RouteSocket


class Change(Struct, frozen=True):
    """`replace`: destinations where one of ours is already."""

    add: Sequence[Route] = ()
    replace: Sequence[Route] = ()
    delete: Sequence[Route] = ()


class Outcome(Struct, frozen=True):
    """`refused` says why, for each route that is not in the kernel."""

    made: tuple[Route, ...] = ()
    gone: tuple[Route, ...] = ()
    refused: list[tuple[Route, str]] = field(default_factory=list)


def change(sock: RouteSocket, wanted: Change) -> Outcome:
    """Deletions first. Unavailable if the kernel does not answer, or refuses a deletion."""
    deletions = sock.batch([route.delete(each) for each in wanted.delete])
    for error in deletions:
        if error is not None and not error.missing:
            raise Unavailable(error.message, hint=error.hint)
    asked = [*wanted.add, *wanted.replace]
    errors = sock.batch([*map(route.add, wanted.add), *map(route.replace, wanted.replace)])
    outcomes = list(zip(asked, errors, strict=True))
    return Outcome(
        made=tuple(each for each, error in outcomes if error is None),
        gone=tuple(wanted.delete),
        refused=[(each, _reason(error)) for each, error in outcomes if error is not None],
    )


def read(sock: RouteSocket) -> tuple[Route, ...]:
    """All of ours, worded as they are asked for: the interface that the kernel found for a gateway is the kernel's affair."""
    found = [
        each
        for family in (inet.INET, inet.INET6)
        for each in sock.dump(route.dump(family, table=MAIN, protocol=ROUTE_PROTOCOL))
    ]
    return tuple(_as_asked(each) for each in found)


def _as_asked(found: Route) -> Route:
    if not found.gateway:
        return found
    return Route(found.dst, gateway=found.gateway, protocol=found.protocol, priority=found.priority)


def _reason(error: NetlinkError) -> str:
    return "a route that is not ours is in the way" if error.exists else error.message
