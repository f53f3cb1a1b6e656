"""Rules for the firewalls in force: at once in the kernel, and after the next boot in each firewall's own way. Pure.

    firewalld      files of its own kind: policies, and a zone for containers' interfaces; it reads them again
    nftables       rules at the top of its chains; and at the end of the file that its unit loads, if that makes these chains
    ufw            rules at the top of ufw-before-input and -forward; and in before.rules, the file for an operator's rules
    iptables       rules at the top of INPUT and FORWARD; and in the file that iptables-persistent or iptables-services load
    Docker         rules in DOCKER-USER, its chain for an operator's rules

What none of these files brings back, the unit ocicat-host does (`preparing.boot`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ocicat.changes.files import Item, State
from ocicat.changes.settings import Wish
from ocicat.host.firewall import live
from ocicat.host.firewall.letting import Letting, Rules, for_firewalld, for_iptables, for_nft
from ocicat.host.firewall.places import Place
from ocicat.host.prepare import Planned
from ocicat.host.preparing.boot import Command, chain_commands
from ocicat.model.base import Struct

_FIREWALLD = "/etc/firewalld"


class Need(Struct, frozen=True):
    """What a place would keep out and must not. `file`: that which brings its rules back after a boot; "" when there is none."""

    place: Place
    letting: Letting
    file: str = ""


def plan(needs: Sequence[Need]) -> tuple[Planned, tuple[Command, ...]]:
    """And what has to be done at each boot."""
    items = dict.fromkeys(
        item for need in needs if need.place.kind == "firewalld" for item in _firewalld(need.letting)
    )  # the same of both families
    chained = [need for need in needs if need.place.kind != "firewalld"]
    wishes = live_wishes(needs)
    kept = [
        _kept(path, [need for need in chained if need.file == path])
        for path in sorted({need.file for need in chained} - {""})
    ]
    boot = [command for need in chained for command in _at_boot(need)]
    return Planned(tuple(items), (*wishes, *kept)), tuple(boot)


def _firewalld(letting: Letting) -> Iterable[Item]:
    for name, text in for_firewalld(letting).items():
        yield Item(f"{_FIREWALLD}/{name}", State("file", text.encode()))


def _rules(need: Need) -> Rules:
    place = need.place
    return for_iptables(need.letting, place.version) if place.program else for_nft(need.letting, place.family)


def _chains(need: Need) -> list[tuple[str, tuple[str, ...]]]:
    """With their rules; those without any are left out."""
    rules = _rules(need)
    pairs = [*((one, rules.input) for one in need.place.input), *((one, rules.forward) for one in need.place.forward)]
    return [(chain, mine) for chain, mine in pairs if mine]


def live_wishes(needs: Iterable[Need]) -> list[Wish]:
    """Rules in the kernel."""
    chained = [need for need in needs if need.place.kind != "firewalld"]
    return [Wish(live.name(need.place, chain), "\n".join(rules)) for need in chained for chain, rules in _chains(need)]


def _kept(path: str, needs: Sequence[Need]) -> Wish:
    lines = [
        line
        for need in needs
        for chain, rules in _chains(need)
        if in_file(chain)
        for line in _lines(need.place, chain, rules)
    ]
    return Wish(f"lines {path}", "\n".join(lines))


def _lines(place: Place, chain: str, rules: Sequence[str]) -> list[str]:
    if place.program:
        return [f"-I {chain} {at} {rule}" for at, rule in enumerate(rules, 1)]
    return [f"insert rule {place.family} {place.table} {chain} {rule}" for rule in reversed(rules)]


def _at_boot(need: Need) -> Iterable[Command]:
    for chain, rules in _chains(need):
        if not need.file or not in_file(chain):
            yield from chain_commands(need.place, chain, rules)


def in_file(chain: str) -> bool:
    """Docker makes its chains when it starts, after these files are loaded."""
    return not chain.startswith("DOCKER")
