"""One rule as it is written, resolved: names to numbers, text to prefixes, selectors to one selector for each side. Pure.

Promise: a rule is either resolved to the letter, or becomes a rule with a `problem`, which denies whatever reaches it: a condition
that we dropped would make an Allow wider than it was written. No rule raises.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from ocicat.errors import UserError
from ocicat.model.net import Cidr, parse_interface
from ocicat.model.packet import ICMP_OF
from ocicat.model.v3.fields import Port
from ocicat.model.v3.numbers import parse_port, port_range, protocol_number
from ocicat.model.v3.policy import EntityRule, ICMPFields, Rule
from ocicat.policy.model import SCTP, TCP, UDP, Icmp, Ports, ResolvedRule, Rules, Side
from ocicat.policy.selectors import of_side

_WITH_PORTS = (TCP, UDP, SCTP)
_FAMILIES = (4, 6)


def resolve_rules(rules: Iterable[Rule], namespace: str) -> Rules:
    """`namespace` is that of the policy; empty for a global policy or a profile."""
    return tuple(resolve_rule(rule, namespace) for rule in rules)


def resolve_rule(rule: Rule, namespace: str) -> ResolvedRule:
    try:
        return _resolve(rule, namespace)
    except UserError as error:
        return ResolvedRule(action="Deny", problem=str(error))


def _resolve(rule: Rule, namespace: str) -> ResolvedRule:
    _refuse_unsupported(rule)
    protocol = _protocol("protocol", rule.protocol)
    source = _side("source", rule.source, protocol, namespace)
    destination = _side("destination", rule.destination, protocol, namespace)
    return ResolvedRule(
        action=rule.action,
        families=_families(rule.ip_version, protocol, source, destination),
        protocol=protocol,
        not_protocol=_protocol("notProtocol", rule.not_protocol),
        icmp=_icmp(rule.icmp),
        not_icmp=_icmp(rule.not_icmp),
        source=source,
        destination=destination,
    )


def unsupported(rule: Rule) -> Iterator[tuple[str, str, str]]:
    """(field, why it is not enforced, what to do instead)."""
    if rule.http is not None:
        yield "http", "the kernel sees packets, not requests", "leave it out, and match the port"
    for side, entity in (("source", rule.source), ("destination", rule.destination)):
        if entity.services is not None:
            yield f"{side}.services", "Mesos has no Kubernetes services", "use selector, nets and ports"


def _refuse_unsupported(rule: Rule) -> None:
    for field, why, hint in unsupported(rule):
        raise UserError(f"{field}: {why}", hint=hint)


def _protocol(field: str, written: int | str | None) -> int | None:
    number = None if written is None else protocol_number(written)
    if written is not None and number is None:
        raise UserError(
            f"{field}: {written!r} is no protocol", hint="TCP, UDP, ICMP, ICMPv6, SCTP, UDPLite or 1 to 255"
        )
    return number


def _icmp(fields: ICMPFields | None) -> Icmp | None:
    """Without a type it says nothing."""
    return None if fields is None or fields.type is None else Icmp(fields.type, fields.code)


def _side(side: str, entity: EntityRule, protocol: int | None, namespace: str) -> Side:
    with _within(side):
        peers = of_side(entity, namespace)
        return Side(
            nets=_nets(entity.nets),
            not_nets=_nets(entity.not_nets),
            selector=peers.selector,
            not_selector=peers.not_selector,
            ports=_ports("ports", entity.ports, protocol),
            not_ports=_ports("notPorts", entity.not_ports, protocol),
        )


@contextmanager
def _within(side: str) -> Iterator[None]:
    """Says which side was at fault."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{side}: {error.message}", hint=error.hint) from error


def _nets(texts: tuple[str, ...]) -> tuple[Cidr, ...]:
    return tuple(parse_interface(text)[1] for text in texts)  # host bits are ignored, as Calico does


def _ports(field: str, written: tuple[Port, ...], protocol: int | None) -> Ports:
    """Named ports alone need no protocol: they bring TCP along."""
    ports = [(port, port_range(port)) for port in map(parse_port, written)]
    ranges = tuple(found for _, found in ports if found is not None)
    names = tuple(str(name) for name, found in ports if found is None)
    if (ranges or (names and protocol is not None)) and protocol not in _WITH_PORTS:
        raise UserError(f"{field}: ports need a protocol that has them", hint="say protocol TCP, UDP or SCTP")
    return Ports(ranges, names)


def _families(version: int | None, protocol: int | None, source: Side, destination: Side) -> tuple[int, ...]:
    """Those that every part of the rule allows. A list of prefixes, a negative one too, of which none is of a family leaves
    nothing to match in that family (Felix, FilterRuleToIPVersion)."""
    lists = (source.nets, source.not_nets, destination.nets, destination.not_nets)
    return tuple(
        family
        for family in _FAMILIES
        if version in (None, family)
        and not any(protocol == icmp and family != of for of, icmp in ICMP_OF.items())
        and all(any(net.family == family for net in nets) for nets in lists if nets)
    )
