"""Under which other addresses and ports this host's workloads can be reached: floating addresses, and ports of the host.

Promise: of several endpoints that claim the same, the first by datastore key has it, and the others have a problem; so has what
cannot be had at all. A port of the host is claimed for all of its addresses, for those of a family, or for one; what overlaps
excludes each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from ocicat.calc.problems import Problem
from ocicat.errors import UserError
from ocicat.model.base import Struct
from ocicat.model.net import Addr
from ocicat.model.v3.endpoints import IPNAT, WorkloadEndpointPort
from ocicat.model.v3.numbers import PORT_PROTOCOLS, PROTOCOL_NUMBERS, protocol_number
from ocicat.model.wanted import FloatingAddress, PortMapping

Claim = FloatingAddress | PortMapping
Subject = tuple[int, int] | Addr
"""What only one may have: (protocol, port of the host), or a floating address."""

_WITH_PORTS = frozenset(PROTOCOL_NUMBERS[name] for name in PORT_PROTOCOLS)


class Translations(Struct, frozen=True):
    """What one endpoint asks for, and what is wrong with the rest."""

    floating: tuple[FloatingAddress, ...] = ()
    ports: tuple[PortMapping, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def claims(self) -> tuple[Claim, ...]:
        return (*self.floating, *self.ports)


NONE = Translations()


def translations(
    nats: Iterable[IPNAT], ports: Iterable[WorkloadEndpointPort], addresses: tuple[Addr, ...]
) -> Translations:
    """`nats`: those that count; of `ports` those without a hostPort say only a name."""
    problems: list[str] = []
    floating, mappings = [], []
    for nat in nats:
        try:
            floating.append(_floating(nat, addresses))
        except UserError as error:
            problems.append(f"ipNATs: {nat.external_ip} is passed over: {error}")
    for port in ports:
        try:
            mappings += [_mapping(port, addresses)] if port.host_port else []
        except UserError as error:
            problems.append(f"hostPort {port.host_port} is passed over: {error}")
    return Translations(tuple(dict.fromkeys(floating)), tuple(dict.fromkeys(mappings)), tuple(problems))


def _floating(nat: IPNAT, addresses: tuple[Addr, ...]) -> FloatingAddress:
    outside, inside = Addr.parse(nat.external_ip), Addr.parse(nat.internal_ip)
    if inside not in addresses:
        raise UserError(f"{inside} is not an address of the endpoint", hint="internalIP must be one of its ipNetworks")
    if outside.family != inside.family:
        raise UserError(f"{inside} is of another family")
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


class Granted(Struct, frozen=True):
    floating: tuple[FloatingAddress, ...] = ()
    ports: tuple[PortMapping, ...] = ()


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
        subjects = {_subject(claim) for claim in before.claims}
        for subject in subjects:
            self._claimants[subject].discard(key)
        if wanted == NONE:
            del self._asked[key]
        else:
            self._asked[key] = wanted
        for subject in map(_subject, wanted.claims):
            subjects.add(subject)
            self._claimants[subject].add(key)
        others = {other for subject in subjects for other in self._claimants[subject]} - {key}
        for subject in [subject for subject in subjects if not self._claimants[subject]]:
            del self._claimants[subject]
        return others

    def granted(self, key: str) -> Granted:
        wanted = self._asked.get(key, NONE)
        lost = {claim for claim, _ in self._lost(key)}
        return Granted(
            tuple(claim for claim in wanted.floating if claim not in lost),
            tuple(claim for claim in wanted.ports if claim not in lost),
        )

    def problems(self) -> Iterator[Problem]:
        for key, wanted in self._asked.items():
            lost = [f"{_said(claim)} leads to {holder} already" for claim, holder in self._lost(key)]
            if texts := [*wanted.problems, *lost]:
                yield Problem(key, "; ".join(texts))

    def _lost(self, key: str) -> Iterator[tuple[Claim, str]]:
        """What `key` asks for and another endpoint, or another claim of its own, has."""
        for claim in self._asked.get(key, NONE).claims:
            for holder, held in self._holders(_subject(claim)):
                if (holder, held) != (key, claim) and _exclude(held, claim):
                    yield claim, holder
                    break

    def _holders(self, subject: Subject) -> list[tuple[str, Claim]]:
        """Those who have it: the first by key, and whoever excludes none of those before."""
        holders: list[tuple[str, Claim]] = []
        for key in sorted(self._claimants.get(subject, ())):
            for claim in self._asked[key].claims:
                if _subject(claim) == subject and not any(_exclude(held, claim) for _, held in holders):
                    holders.append((key, claim))
        return holders


def _subject(claim: Claim) -> Subject:
    return claim.outside if isinstance(claim, FloatingAddress) else (claim.protocol, claim.host_port)


def _exclude(one: Claim, other: Claim) -> bool:
    """Of the same subject."""
    if isinstance(one, PortMapping) and isinstance(other, PortMapping):
        return one.excludes(other)
    return True


def _said(claim: Claim) -> str:
    if isinstance(claim, FloatingAddress):
        return f"ipNATs: {claim.outside}"
    where = f" of {claim.host_address}" if claim.host_address else ""
    return f"hostPort {claim.host_port}{where}"
