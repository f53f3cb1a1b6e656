"""Where firewalls of others have their say in this network namespace, found from what is in the kernel.

A firewall that is installed and has no rules in the kernel is not in force, and no place.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ocicat.dataplane.ownership import TABLE
from ocicat.errors import Refused
from ocicat.host.firewall.programs import attempt, output, present
from ocicat.model.base import Struct
from ocicat.model.codec import decode_json

Kind = Literal["firewalld", "ufw", "nftables", "iptables"]

_LEGACY_TABLES = {4: Path("/proc/net/ip_tables_names"), 6: Path("/proc/net/ip6_tables_names")}
_XTABLES = ("filter", "nat", "mangle", "raw", "security")
_VERSIONS = {"ip": 4, "ip6": 6}
_UFW_INPUT = {4: "ufw-before-input", 6: "ufw6-before-input"}
_UFW_FORWARD = {4: "ufw-before-forward", 6: "ufw6-before-forward"}
_FIREWALLD = ("-N INPUT_ZONES", "-N IN_public")  # with FirewallBackend=iptables, since 0.7 and before
_DOCKER = "DOCKER-USER"  # Docker makes it for the operator's rules, and leaves it alone


class Place(Struct, frozen=True):
    """A table (`family`, `table`) of nftables, or what one iptables program manages (`program`).

    `input`, `forward`: the chains in which a rule of ours comes before what could drop the packet.
    """

    kind: Kind
    family: str = ""
    table: str = ""
    program: str = ""
    version: int = 0
    input: tuple[str, ...] = ()
    forward: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.kind == "nftables":
            return f"nftables table {self.family} {self.table}"
        if self.kind == "iptables":
            return self.program
        return self.kind if self.version != 6 else f"{self.kind} (IPv6)"


class _Chain(Struct, frozen=True):
    family: str
    table: str
    name: str
    type: str = ""
    hook: str = ""
    prio: int = 0


class _Item(Struct, frozen=True):
    chain: _Chain | None = None


class _Listing(Struct, frozen=True):
    nftables: tuple[_Item, ...]


def active() -> tuple[Place, ...]:
    """Those that look at packets to this host or through it. Refused where rules are there that cannot be listed.

    A table named as iptables-nft names its own, with what that program cannot read or without that program, is one of nftables.
    """
    chains = _base_chains()
    tables = sorted({(one.family, one.table) for one in chains if one.family in ("ip", "ip6", "inet")})
    found = [_nft_place(family, table, chains) for family, table in tables if not _by_iptables(family, table, chains)]
    managed = sorted({family for family, table in tables if table == "filter" and _by_iptables(family, table, chains)})
    for family in managed:
        program = f"{_prefix(_VERSIONS[family])}-nft"
        foreign = not attempt([program, "-S"])
        found.append(_nft_place(family, "filter", chains) if foreign else _xtables(program, _VERSIONS[family]))
    found += [_legacy(version) for version, path in _LEGACY_TABLES.items() if _has_filter(path)]
    return tuple(one for one in found if one.input or one.forward)


def _base_chains() -> list[_Chain]:
    if not present("nft"):
        return []
    listing = decode_json(
        _Listing, output(["nft", "-j", "list", "chains"]) or '{"nftables": []}', what="what nft lists"
    )
    chains = [item.chain for item in listing.nftables if item.chain and item.chain.hook]
    return [one for one in chains if (one.family, one.table) != ("inet", TABLE)]


def _nft_place(family: str, table: str, chains: list[_Chain]) -> Place:
    filters = [one for one in chains if (one.family, one.table, one.type) == (family, table, "filter")]
    by_hook = {hook: tuple(one.name for one in filters if one.hook == hook) for hook in ("input", "forward")}
    kind: Kind = "firewalld" if table == "firewalld" else "nftables"
    return Place(kind, family, table, input=by_hook["input"], forward=by_hook["forward"])


def _by_iptables(family: str, table: str, chains: list[_Chain]) -> bool:
    """iptables-nft names its tables and base chains as the old kernel did."""
    mine = [one for one in chains if (one.family, one.table) == (family, table)]
    return family in _VERSIONS and table in _XTABLES and all(one.name == one.hook.upper() for one in mine)


def _has_filter(path: Path) -> bool:
    try:
        return "filter" in path.read_text().split()
    except OSError:
        return False


def _prefix(version: int) -> str:
    return "iptables" if version == 4 else "ip6tables"


def _legacy(version: int) -> Place:
    """The kernel has such a table: whether it drops anything, its program alone can tell."""
    program = f"{_prefix(version)}-legacy"
    try:
        output([program, "-S"])
    except Refused as error:
        hint = "install iptables, or boot without that module"
        raise Refused(
            f"the kernel has a table filter of the old {_prefix(version)}: {error.message}", hint=hint
        ) from error
    return _xtables(program, version)


def _xtables(program: str, version: int) -> Place:
    listed = attempt([program, "-S"])
    if any(one in listed for one in _FIREWALLD):
        return Place("firewalld", "", "filter", program, version, ("INPUT",), ("FORWARD",))
    if _UFW_INPUT[version] in listed:
        forward = (_DOCKER,) if f"-N {_DOCKER}" in listed else (_UFW_FORWARD[version],)
        return Place("ufw", "", "filter", program, version, (_UFW_INPUT[version],), forward)
    judging = any(not line.endswith(" ACCEPT") for line in listed.splitlines() if line.startswith(("-P", "-A")))
    if not judging:
        return Place("iptables")
    forward = (_DOCKER,) if f"-N {_DOCKER}" in listed else ("FORWARD",)
    return Place("iptables", "", "filter", program, version, ("INPUT",), forward)
