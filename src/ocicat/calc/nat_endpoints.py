"""Under which other addresses and ports an endpoint can be reached: floating addresses, and ports of its host.

Promise: of several endpoints of this host that claim one port, the first by datastore key has it, and the others have a problem; so
has what cannot be had at all. A port of the host is claimed for all of its addresses, for those of a family, or for one; what
overlaps excludes each other. (Floating addresses are claimed in the whole cluster: `floating`.)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from ocicat.calc.problems import Problem
from ocicat.errors import UserError
from ocicat.model.base import Struct
from ocicat.model.net import Addr, Cidr
from ocicat.model.v3.endpoints import IPNAT, WorkloadEndpointPort
from ocicat.model.v3.numbers import PORT_PROTOCOLS, PROTOCOL_NUMBERS, protocol_number
from ocicat.model.wanted import FloatingAddress, PortMapping

Subject = tuple[int, int]
"""(protocol, port of the host)"""

_WITH_PORTS = frozenset(PROTOCOL_NUMBERS[name] for name in PORT_PROTOCOLS)
_UNROUTED = tuple(
    Cidr.parse(text) for text in ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3", "::/127", "fe80::/10", "ff00::/8")
)
"""What no packet can be sent to through a host, or not to one receiver."""


class Translations(Struct, frozen=True):
    """What one endpoint asks for, and what is wrong with the rest."""

    floating: tuple[FloatingAddress, ...] = ()
    ports: tuple[PortMapping, ...] = ()
    problems: tuple[str, ...] = ()


NONE = Translations()


def translations(
    nats: Iterable[IPNAT], ports: Iterable[WorkloadEndpointPort], addresses: tuple[Addr, ...]
) -> Translations:
    """`nats`: those that count; of `ports` those without a hostPort say only a name."""
    problems: list[str] = []
    floating: dict[Addr, FloatingAddress] = {}
    mappings = []
    for nat in nats:
        try:
            found = _floating(nat, addresses)
            if floating.setdefault(found.outside, found) != found:
                raise UserError(f"it leads to {floating[found.outside].inside} already")
        except UserError as error:
            problems.append(f"ipNATs: {nat.external_ip} is passed over: {error}")
    for port in ports:
        try:
            mappings += [_mapping(port, addresses)] if port.host_port else []
        except UserError as error:
            problems.append(f"hostPort {port.host_port} is passed over: {error}")
    return Translations(tuple(floating.values()), tuple(dict.fromkeys(mappings)), tuple(problems))


def _floating(nat: IPNAT, addresses: tuple[Addr, ...]) -> FloatingAddress:
    outside, inside = Addr.parse(nat.external_ip), Addr.parse(nat.internal_ip)
    if inside not in addresses:
        raise UserError(f"{inside} is not an address of the endpoint", hint="internalIP must be one of its ipNetworks")
    if outside.family != inside.family:
        raise UserError(f"{inside} is of another family")
    if any(outside in net for net in _UNROUTED):
        raise UserError("it cannot be the address of one workload", hint="use one that your network routes")
    return FloatingAddress(outside, inside)


def _mapping(port: WorkloadEndpointPort, addresses: tuple[Addr, ...]) -> PortMapping:
    protocol = protocol_number(port.protocol)
    if protocol not in _WITH_PORTS:
        raise UserError(f"{port.protocol} has no ports", hint=", ".join(PORT_PROTOCOLS))
    if not (0 < port.port <= 0xFFFF and 0 < port.host_port <= 0xFFFF):
        raise UserError(f"it leads to port {port.port}", hint="both must be 1 to 65535")
    host = Addr.parse(port.host_ip) if port.host_ip else None
    if host and all(host.family != address.family for address in addresses):
        raise UserError(f"the endpoint has no address of the family of hostIP {host}")
    return PortMapping(protocol, port.host_port, port.port, host)


class Claims:
    """Of all endpoints in force on this host, by datastore key."""

    __slots__ = ("_asked", "_claimants")

    def __init__(self) -> None:
        self._asked: dict[str, Translations] = {}
        self._claimants: defaultdict[Subject, set[str]] = defaultdict(set)

    def ask(self, key: str, wanted: Translations) -> set[str]:
        """From now on `key` asks for this. The other endpoints that may get more or less by it."""
        before = self._asked.get(key, NONE)
        if wanted == before:
            return set()
        subjects = {_subject(claim) for claim in before.ports}
        for subject in subjects:
            self._claimants[subject].discard(key)
        if wanted == NONE:
            del self._asked[key]
        else:
            self._asked[key] = wanted
        for subject in map(_subject, wanted.ports):
            subjects.add(subject)
            self._claimants[subject].add(key)
        others = {other for subject in subjects for other in self._claimants[subject]} - {key}
        for subject in [subject for subject in subjects if not self._claimants[subject]]:
            del self._claimants[subject]
        return others

    def granted(self, key: str) -> tuple[PortMapping, ...]:
        lost = {claim for claim, _ in self._lost(key)}
        return tuple(claim for claim in self._asked.get(key, NONE).ports if claim not in lost)

    def problems(self) -> Iterator[Problem]:
        for key, wanted in self._asked.items():
            lost = [f"{_said(claim)} leads to {holder} already" for claim, holder in self._lost(key)]
            if texts := [*wanted.problems, *lost]:
                yield Problem(key, "; ".join(texts))

    def _lost(self, key: str) -> Iterator[tuple[PortMapping, str]]:
        """What `key` asks for and another endpoint, or another claim of its own, has."""
        for claim in self._asked.get(key, NONE).ports:
            for holder, held in self._holders(_subject(claim)):
                if (holder, held) != (key, claim) and held.excludes(claim):
                    yield claim, holder
                    break

    def _holders(self, subject: Subject) -> list[tuple[str, PortMapping]]:
        """Those who have it: the first by key, and whoever excludes none of those before."""
        holders: list[tuple[str, PortMapping]] = []
        for key in sorted(self._claimants.get(subject, ())):
            for claim in self._asked[key].ports:
                if _subject(claim) == subject and not any(held.excludes(claim) for _, held in holders):
                    holders.append((key, claim))
        return holders


def _subject(claim: PortMapping) -> Subject:
    return claim.protocol, claim.host_port


def _said(claim: PortMapping) -> str:
    where = f" of {claim.host_address}" if claim.host_address else ""
    return f"hostPort {claim.host_port}{where}"
