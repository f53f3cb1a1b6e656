"""The rows of an interval as records. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ocicat.agent.flowlog.flows import Key, Row
from ocicat.agent.flowlog.record import FlowRecord, Hit, LostRecord, Trace, timestamp
from ocicat.dataplane.ruleset.identity import Decider
from ocicat.model.base import Struct
from ocicat.model.net import Addr
from ocicat.model.v3.numbers import PROTOCOL_NUMBERS

_KINDS = {
    "np": "NetworkPolicy",
    "gnp": "GlobalNetworkPolicy",
    "snp": "StagedNetworkPolicy",
    "sgnp": "StagedGlobalNetworkPolicy",
}
_NAMESPACED = ("np", "snp")
_GLOBAL = "-"
_END = -1
_NO_PROFILE = "__NO_MATCH__"  # Felix's words
_PROFILES = "__PROFILE__"
_PROTOCOLS = {number: name.lower() for name, number in PROTOCOL_NUMBERS.items()}
_REPORTERS = {"ingress": "dst", "egress": "src"}

TierOf = Callable[[str], str]
"""From a policy's name, as deciders have it, to its tier; "" where that is not known any more."""


class Interval(Struct, frozen=True):
    """Seconds since the epoch."""

    start: float
    end: float
    host: str


def records(interval: Interval, rows: Iterable[tuple[Key, Row]], tier_of: TierOf) -> Iterator[FlowRecord]:
    for (source, destination, protocol, port, steps), row in rows:
        deciders = tuple(step.decider for step in steps)
        last, sender, receiver = deciders[-1], source.name(), destination.name()
        yield FlowRecord(
            start_time=timestamp(interval.start),
            end_time=timestamp(interval.end),
            host=interval.host,
            source_type=sender.type,
            source_namespace=sender.namespace,
            source_name=sender.name,
            source_labels=sender.labels,
            source_ips=_texts(row.sources),
            dest_type=receiver.type,
            dest_namespace=receiver.namespace,
            dest_name=receiver.name,
            dest_labels=receiver.labels,
            dest_ips=_texts(row.destinations),
            dest_port=port,
            proto=_PROTOCOLS.get(protocol, str(protocol)),
            action=last.action.lower() if steps[-1].final else "pass",
            reporter=_REPORTERS[last.direction],
            policies=Trace(_hits(enforced(deciders), tier_of), _hits(pending(deciders, tier_of), tier_of)),
            num_flows_started=row.connections,
            packets=row.packets,
            bytes=row.size_bytes,
            first_seen=timestamp(row.first),
            last_seen=timestamp(row.last),
        )


def lost(interval: Interval, unread: int, uncounted: int) -> LostRecord:
    return LostRecord(
        start_time=timestamp(interval.start),
        end_time=timestamp(interval.end),
        host=interval.host,
        unread=unread,
        uncounted=uncounted,
    )


def enforced(trace: Iterable[Decider]) -> tuple[Decider, ...]:
    return tuple(decider for decider in trace if not decider.staged)


def pending(trace: Iterable[Decider], tier_of: TierOf) -> tuple[Decider, ...]:
    """The way the packet would have gone with the staged policies in force, as far as the trace tells: where one of them decides,
    nobody is asked any more; where it passes, nobody of its tier."""
    found: list[Decider] = []
    passed = ""
    for decider in trace:
        if passed and _tier(decider, tier_of) == passed:
            continue
        passed = ""
        found.append(decider)
        if decider.staged and decider.action in ("Allow", "Deny"):
            break
        if decider.staged and decider.action == "Pass":
            passed = _tier(decider, tier_of)
    return tuple(found)


def _hits(trace: Iterable[Decider], tier_of: TierOf) -> tuple[Hit, ...]:
    return tuple(_hit(place, decider, tier_of) for place, decider in enumerate(trace))


def _hit(place: int, decider: Decider, tier_of: TierOf) -> Hit:
    kind, namespace, name = _object(decider)
    return Hit(
        kind=kind,
        namespace=namespace,
        name=name,
        tier=_tier(decider, tier_of),
        action=decider.action.lower(),
        policy_index=place,
        rule_index=_END if decider.index is None else decider.index,
    )


def _object(decider: Decider) -> tuple[str, str, str]:
    """(kind, namespace, name)."""
    match decider.owner:
        case "tier":
            return "EndOfTier", _GLOBAL, ""
        case "profile" | "profiles":
            return "Profile", _GLOBAL, decider.name or _NO_PROFILE
        case "policy":
            kind, _, rest = decider.name.partition("/")
            namespace, name = rest.split("/", 1) if kind in _NAMESPACED and "/" in rest else (_GLOBAL, rest)
            return _KINDS.get(kind, kind), namespace, name


def _tier(decider: Decider, tier_of: TierOf) -> str:
    match decider.owner:
        case "tier":
            return decider.name
        case "policy":
            return tier_of(decider.name)
        case _:
            return _PROFILES


def _texts(addresses: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(str(Addr.unpack(address)) for address in addresses)
