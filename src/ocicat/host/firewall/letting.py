"""What a firewall of others must let through, and the rules that say so in each firewall's language. Pure.

1. Every rule bears MARK, so that it is found again whoever has loaded it, and nothing without it is ever removed.
2. A rule is written as its program lists it: what is read back can be compared.
3. Nothing is let through from everywhere: each rule names its sources, or containers' interfaces.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from itertools import groupby
from typing import NamedTuple
from xml.sax.saxutils import quoteattr

from ocicat.host.ports import Opening
from ocicat.model.base import Struct

MARK = "ocicat-host-prepare"
CONTAINERS = "oci"  # what the names of containers' interfaces begin with
_MOST_PORTS = 15  # of a multiport match
_XML = '<?xml version="1.0" encoding="utf-8"?>\n'


class Allowed(Struct, frozen=True):
    """`sources` are addresses."""

    opening: Opening
    sources: tuple[str, ...]


class Letting(Struct, frozen=True):
    """`forward`: also what goes to containers and comes from them; policy on it is ocicat's. `contained`: to which ports of this
    host containers must get, as executors to their Mesos agent. `ipv6`: containers have IPv6 addresses too."""

    allowed: tuple[Allowed, ...] = ()
    forward: bool = False
    contained: tuple[Opening, ...] = ()
    ipv6: bool = False

    def __bool__(self) -> bool:
        return self.forward or bool(self.contained) or any(one.sources for one in self.allowed)


class Rules(NamedTuple):
    """For packets to the host, and for those that it forwards; in the order in which they shall stand."""

    input: tuple[str, ...]
    forward: tuple[str, ...]


class _Group(NamedTuple):
    """Openings of one protocol for the same sources of one family."""

    version: int
    protocol: str
    ports: tuple[int, ...]
    sources: tuple[str, ...]


def for_nft(letting: Letting, family: str) -> Rules:
    """For a table of `family`: "ip", "ip6" or "inet"."""
    versions = {"ip": (4,), "ip6": (6,)}.get(family, (4, 6))
    groups = [one for one in _groups(letting.allowed) if one.version in versions]
    ends = ("iifname", "oifname") if letting.forward else ()
    contained = (
        f'iifname "{CONTAINERS}*" {_nft_ports(*one)} accept comment "{MARK}"' for one in _by_protocol(letting.contained)
    )
    return Rules(
        (*(_nft(one) for one in groups), *contained),
        tuple(f'{end} "{CONTAINERS}*" accept comment "{MARK}"' for end in ends),
    )


def for_iptables(letting: Letting, version: int) -> Rules:
    """As `iptables -S` has them, without the chain."""
    groups = [one for one in _groups(letting.allowed) if one.version == version]
    comment = f"-m comment --comment {MARK} -j ACCEPT"
    ends = ("-i", "-o") if letting.forward else ()
    contained = (
        f"-i {CONTAINERS}+ {_iptables_ports(protocol, some)} {comment}"
        for protocol, ports in _by_protocol(letting.contained)
        for some in _chunks(ports)
    )
    return Rules(
        (*(f"{match} {comment}" for one in groups for match in _iptables(one)), *contained),
        tuple(f"{end} {CONTAINERS}+ {comment}" for end in ends),
    )


def for_firewalld(letting: Letting) -> dict[str, str]:
    """Files below its directory, and their text. Policies (firewalld 0.9 and later) come before zones, and change none."""
    files = {}
    rules = "".join(_rich(group, port) for group in _groups(letting.allowed) for port in group.ports)
    if rules:
        files["policies/ocicat-peers.xml"] = _policy("CONTINUE", "ANY", "HOST", rules)
    if letting.forward:
        files["policies/ocicat-to.xml"] = _policy("ACCEPT", "ANY", "ocicat", "")
        files["policies/ocicat-from.xml"] = _policy("ACCEPT", "ocicat", "ANY", "")
    if letting.forward or letting.contained:
        files["zones/ocicat.xml"] = _zone(letting.contained)
    return files


def _zone(contained: Iterable[Opening]) -> str:
    ports = "".join(f'  <port port="{one.port}" protocol="{one.protocol}"/>\n' for one in contained)
    return (
        f"{_XML}<zone>\n  <short>ocicat</short>\n  <description>Containers of ocicat.</description>\n"
        f'  <interface name="{CONTAINERS}+"/>\n{ports}</zone>\n'
    )


def _groups(allowed: Iterable[Allowed]) -> list[_Group]:
    """By sources and protocol, in order of the addresses."""
    flat = sorted(
        {
            (_addresses(one.sources, version), one.opening.protocol, one.opening.port, version)
            for one in allowed
            for version in (4, 6)
        },
        key=lambda each: (each[3], [int(ip_address(one)) for one in each[0]], each[1], each[2]),
    )
    return [
        _Group(version, protocol, tuple(port for _, _, port, _ in some), sources)
        for (sources, protocol, version), some in groupby(flat, key=lambda each: (each[0], each[1], each[3]))
        if sources
    ]


def _addresses(sources: Iterable[str], version: int) -> tuple[str, ...]:
    """Those of one family, each once, in numerical order."""
    of_version = {one for one in map(ip_address, sources) if one.version == version}
    return tuple(str(one) for one in sorted(of_version, key=int))


def _nft(group: _Group) -> str:
    sources = f"{'ip' if group.version == 4 else 'ip6'} saddr {_nft_set(group.sources)}"
    return f'{sources} {_nft_ports(group.protocol, group.ports)} accept comment "{MARK}"'


def _nft_ports(protocol: str, ports: Sequence[int]) -> str:
    return "meta l4proto ipencap" if protocol == "ipip" else f"{protocol} dport {_nft_set(ports)}"


def _by_protocol(openings: Iterable[Opening]) -> list[tuple[str, tuple[int, ...]]]:
    pairs = sorted({(one.protocol, one.port) for one in openings})
    return [(protocol, tuple(port for _, port in some)) for protocol, some in groupby(pairs, key=lambda one: one[0])]


def _chunks(ports: Sequence[int]) -> list[Sequence[int]]:
    return [ports[at : at + _MOST_PORTS] for at in range(0, len(ports), _MOST_PORTS)]


def _nft_set(values: Sequence[object]) -> str:
    return str(values[0]) if len(values) == 1 else f"{{ {', '.join(map(str, values))} }}"


def _iptables(group: _Group) -> list[str]:
    suffix = "/32" if group.version == 4 else "/128"
    return [
        f"-s {source}{suffix} {_iptables_ports(group.protocol, ports)}"
        for source in group.sources
        for ports in _chunks(group.ports)
    ]


def _iptables_ports(protocol: str, ports: Sequence[int]) -> str:
    if protocol == "ipip":
        return "-p ipencap"
    if len(ports) == 1:
        return f"-p {protocol} -m {protocol} --dport {ports[0]}"
    return f"-p {protocol} -m multiport --dports {','.join(map(str, ports))}"


def _policy(target: str, origin: str, destination: str, rules: str) -> str:
    return (
        f'{_XML}<policy target="{target}" priority="-100">\n'
        f'  <ingress-zone name="{origin}"/>\n  <egress-zone name="{destination}"/>\n{rules}</policy>\n'
    )


def _rich(group: _Group, port: int) -> str:
    family = f"ipv{group.version}"
    what = '<protocol value="4"/>' if group.protocol == "ipip" else f'<port port="{port}" protocol="{group.protocol}"/>'
    return "".join(
        f'  <rule family="{family}"><source address={quoteattr(source)}/>{what}<accept/></rule>\n'
        for source in group.sources
    )
