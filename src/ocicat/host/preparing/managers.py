"""Who else looks after links, kept from containers' interfaces; and what other networks have left, removed. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from ocicat.changes.files import Item, State
from ocicat.changes.settings import Wish
from ocicat.errors import Refused
from ocicat.host.facts.others import CALICO_CHAINS, CALICO_LINKS, CALICO_SETS, Others, Use
from ocicat.host.facts.settings import HEAD
from ocicat.host.prepare import Planned
from ocicat.model.base import Struct

NETWORKMANAGER = "/etc/NetworkManager/conf.d/90-ocicat.conf"
NETWORKD = "/etc/systemd/networkd.conf.d/90-ocicat.conf"
NETWORKD_LINKS = "/etc/systemd/network/00-ocicat.network"
# A section of its own, and not the list `unmanaged-devices`: to replace that would hand an operator's links over to it, and even
# one word more turns a list round that so far has exceptions only.
_NETWORKMANAGER = "[device-ocicat]\nmatch-device=interface-name:oci*;interface-name:bwoci*\nmanaged=0\n"
_NETWORKD = "[Network]\nManageForeignRoutes=no\n"
_LINKS = "[Match]\nName=oci* bwoci*\n\n[Link]\nUnmanaged=yes\n"
_PROGRAMS = {
    "ip": "iptables-nft",
    "ip6": "ip6tables-nft",
    "iptables-legacy": "iptables-legacy",
    "ip6tables-legacy": "ip6tables-legacy",
}


class Leftovers(Struct, frozen=True):
    """`settings`: of chains, sets and routes, by their names. `kept_rules`, `foreign_uses`: as `Others` has them."""

    interfaces: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    kept_rules: tuple[str, ...] = ()
    foreign_uses: tuple[Use, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.interfaces or self.settings)

    @property
    def said(self) -> list[str]:
        return [*self.interfaces, *self.settings]

    @property
    def wishes(self) -> list[Wish]:
        return [*(Wish(one, "") for one in self.settings), *(Wish(f"interface {one}", None) for one in self.interfaces)]


def plan(others: Others, left: Leftovers, *, remove: bool) -> Planned:
    """`remove`: what others have left. Refused where something else needs that."""
    items = []
    if others.networkmanager is not None:
        items.append(_item(NETWORKMANAGER, _NETWORKMANAGER))
    if others.networkd is not None:
        items += [_item(NETWORKD, _NETWORKD), _item(NETWORKD_LINKS, _LINKS)]
    if not left:
        return Planned(tuple(items))
    if not remove:
        remark = f"other networks have left {', '.join(left.said)}: give --remove-leftovers to have them removed"
        return Planned(tuple(items), remarks=(remark,))
    for use in left.foreign_uses:
        problem = f"{use.by} uses Calico's set {use.set}, and would lose it"
        raise Refused(problem, hint="take that out first, or let it use a set of your own")
    lost = ("interfaces that Calico has left do not come back with `ocicat host undo`",) if left.interfaces else ()
    kept = (f"{path} brings Calico's chains back at a boot: save the rules anew afterwards" for path in left.kept_rules)
    return Planned(tuple(items), tuple(left.wishes), (*lost, *kept))


def leftovers(others: Others, settings: Iterable[str], routes: Iterable[str]) -> Leftovers:
    """`settings`: names of those that an earlier run has changed. `routes`: their settings, where they are there now."""
    if others.calico_runs:
        return Leftovers()
    before = [name for name in settings if name.startswith(("chains ", "sets ", "routes "))]
    chains = [
        f"chains {_PROGRAMS[family]} {','.join(CALICO_CHAINS)}"
        for one in others.chains
        if (family := one.split(" ")[0]) in _PROGRAMS
    ]
    sets = [f"sets {prefix}" for prefix in CALICO_SETS if any(one.startswith(prefix) for one in others.sets)]
    return Leftovers(
        interfaces=tuple(name for name in others.interfaces if name.startswith(CALICO_LINKS)),
        settings=tuple(sorted(dict.fromkeys((*before, *chains, *sets, *routes)), key=_after_chains)),
        kept_rules=others.kept_rules,
        foreign_uses=others.foreign_uses,
    )


def _after_chains(name: str) -> bool:
    """A set that a rule looks in cannot go."""
    return not name.startswith("chains ")


def _item(path: str, text: str) -> Item:
    return Item(path, State("file", (HEAD + text).encode()))
