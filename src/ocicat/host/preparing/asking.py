"""What the firewalls of this host keep out, and which of their files bring rules back after a boot: found out, nothing changed."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from ocicat.changes.files import Tree
from ocicat.errors import Refused
from ocicat.host.changing import reloads
from ocicat.host.changing.texts import with_lines
from ocicat.host.firewall import live, places, rehearsal
from ocicat.host.firewall.blocked import CONTAINERS, at, wanted
from ocicat.host.firewall.letting import Allowed, Letting
from ocicat.host.firewall.places import Place
from ocicat.host.firewall.programs import attempt, output
from ocicat.host.firewall.rehearsal import Knock
from ocicat.host.ports import Opening
from ocicat.host.preparing.firewalls import Need, live_wishes
from ocicat.netlink import namespace

_POLICIES = (0, 9)  # the first version of firewalld that has them
_Tried = tuple[Opening | None, str]

_UNITS = "/etc/systemd/system"
_NFT_FILES = ("/etc/nftables.conf", "/etc/sysconfig/nftables.conf")
_UFW_FILES = {4: "/etc/ufw/before.rules", 6: "/etc/ufw/before6.rules"}
_IPTABLES_FILES = {
    4: (("/etc/iptables/rules.v4", "netfilter-persistent"), ("/etc/sysconfig/iptables", "iptables")),
    6: (("/etc/iptables/rules.v6", "netfilter-persistent"), ("/etc/sysconfig/ip6tables", "ip6tables")),
}


def needs(tree: Tree, letting: Letting, going: Sequence[str] = ()) -> list[Need]:
    """Of each firewall in force: what it would keep out if no rules of ours were there, nor chains whose names begin with one of
    `going`. Refused: that cannot be tried."""
    knocks = wanted(letting)
    found = [Need(place, _lacking(place, letting, knocks, going), file_of(tree, place)) for place in places.active()]
    return [need for need in found if need.letting]


def check(needs: Sequence[Need], letting: Letting, going: Sequence[str] = ()) -> None:
    """Refused when something would still be kept out with all rules of ours in place: tried in a copy, before anything changes."""
    tried = [place for place in places.active() if place.kind != "firewalld"]
    knocks = wanted(letting)

    def change() -> None:
        for wish in live_wishes(needs):
            live.by_name(wish.name.split(" ")[1:]).write(wish.value)

    left = rehearsal.kept_out(tried, knocks, change, without=going) if tried and knocks else []
    if left:
        what = str(left[0].opening or "forwarding to containers")
        raise Refused(
            f"{what} from {left[0].way.peer} would still be kept out by {', '.join(map(str, tried))}",
            hint="a chain before the input chain drops it (raw, prerouting): let it through there",
        )


def _lacking(place: Place, letting: Letting, knocks: Sequence[Knock], going: Sequence[str]) -> Letting:
    """firewalld keeps out what no zone lets through; its own files are not looked into. Who cannot be tried is let through."""
    if place.kind == "firewalld":
        _check_policies(place, knocks)
        return letting
    tried = {(one.opening, one.way.peer) for one in knocks}
    out = {(one.opening, one.source) for one in at(place, knocks, without_ours=True, without=going)}
    version = place.version
    lacking = [
        Allowed(one.opening, tuple(source for source in one.sources if _lets(one, source, tried, out)))
        for one in letting.allowed
        if version != 6 or one.opening.protocol != "ipip"
    ]
    forward = letting.forward and any(opening is None for opening, _ in out)
    contained = tuple(one for one in letting.contained if (one, CONTAINERS) in out)
    return Letting(tuple(one for one in lacking if one.sources), forward, contained, letting.ipv6)


def _check_policies(place: Place, knocks: Sequence[Knock]) -> None:
    """Refused where firewalld has none, and something is still to be let through. Only then is that tried."""
    reloads.check_runs()
    version = output(["firewall-cmd", "--version"]).strip()
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) >= _POLICIES:
        return
    if out := at(place, knocks):
        what = ", ".join(dict.fromkeys(str(one.opening or "forwarding to containers") for one in out))
        raise Refused(
            f"firewalld {version} has no policies, as 0.9 and later have, and keeps out {what}",
            hint="open that by hand (docs/host-prepare.md, Firewalls), or update firewalld",
        )


def _lets(one: Allowed, source: str, tried: set[_Tried], out: set[_Tried]) -> bool:
    return (one.opening, source) in out or (one.opening, source) not in tried


def file_of(tree: Tree, place: Place) -> str:
    if place.kind == "ufw":
        return _UFW_FILES[place.version]
    if place.kind == "iptables":
        return _iptables_file(tree, place)
    return _nft_file(tree, place) if place.kind == "nftables" else ""


def _iptables_file(tree: Tree, place: Place) -> str:
    """Loaded by the program of that name, whichever of the two it is here."""
    variant = "nf_tables" if place.program.endswith("-nft") else "legacy"
    if variant not in attempt([place.program.partition("-")[0], "--version"]):
        return ""
    files = [path for path, unit in _IPTABLES_FILES[place.version] if tree.is_file(path) and starts(tree, unit)]
    return next((path for path in files if "*filter" in tree.text(path).split()), "")


def _nft_file(tree: Tree, place: Place) -> str:
    """One that makes the chains of this place when it is loaded: tried in a namespace of its own."""
    files = [path for path in _NFT_FILES if tree.is_file(path) and starts(tree, "nftables")]
    return next((path for path in files if _makes(tree.text(path), place)), "")


def _makes(text: str, place: Place) -> bool:
    fd = namespace.unnamed()
    try:
        with namespace.inside(fd):
            output(["nft", "-f", "-"], with_lines(text, [], commit=False))
            return all(
                live.by_name(live.name(place, one).split(" ")[1:]).read() is not None
                for one in (*place.input, *place.forward)
            )
    except Refused:
        return False
    finally:
        os.close(fd)


def starts(tree: Tree, unit: str) -> bool:
    """At boot, by systemd."""
    wants = [name for name in tree.names(_UNITS) if name.endswith((".wants", ".requires"))]
    return any(tree.at(f"{_UNITS}/{name}/{unit}.service").is_symlink() for name in wants)
