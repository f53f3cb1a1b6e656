"""What each firewall in force would keep out of what the cluster needs, found by trying."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ocicat.host.firewall import live, places, rehearsal
from ocicat.host.firewall.letting import Letting
from ocicat.host.firewall.places import Place
from ocicat.host.firewall.rehearsal import Knock
from ocicat.host.ports import Opening
from ocicat.model.base import Struct

CONTAINERS = "containers"  # as a source


class Blocked(Struct, frozen=True):
    """`opening` None: forwarding to containers, or from them; then which peer it was tried with does not matter."""

    place: Place
    opening: Opening | None
    source: str


def blocked(letting: Letting) -> list[Blocked]:
    """As the rules are now. Refused: they cannot be listed, or not be copied."""
    knocks = wanted(letting)
    return [one for place in places.active() for one in at(place, knocks)]


def wanted(letting: Letting) -> list[Knock]:
    """What shall get through. Sources to which there is no route cannot be tried, and are left out."""
    ways = rehearsal.ways(source for one in letting.allowed for source in one.sources)
    found = rehearsal.knocks(letting.allowed, ways)
    if not letting.forward and not letting.contained:
        return found
    for version in (4, 6) if letting.ipv6 else (4,):
        way = next((one for one in ways if one.version == version), None) or rehearsal.anywhere(version)
        if way:
            found += [Knock(way, one, from_container=True) for one in letting.contained]
            found += [Knock(way, None, from_container=one) for one in (False, True) if letting.forward]
    return found


def at(
    place: Place, knocks: Sequence[Knock], *, without_ours: bool = False, without: Sequence[str] = ()
) -> list[Blocked]:
    """By that place alone; or by it as it would be without rules of ours. `without`: as `rehearsal.kept_out`."""
    change = _without_ours(place) if without_ours else None
    if not knocks:
        return []
    return [_blocked(place, one) for one in rehearsal.kept_out([place], knocks, change, without=without)]


def _blocked(place: Place, knock: Knock) -> Blocked:
    return Blocked(place, knock.opening, CONTAINERS if knock.from_container else knock.way.peer)


def _without_ours(place: Place) -> Callable[[], None]:
    def change() -> None:
        for chain in (*place.input, *place.forward):
            live.by_name(live.name(place, chain).split(" ")[1:]).write(None)

    return change
