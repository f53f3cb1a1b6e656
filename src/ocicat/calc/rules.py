"""One rule as it is written, resolved: names to numbers, text to prefixes, selectors to the ids of address sets.

Promise: a rule is either enforced to the letter, or it becomes a rule with a `problem`, which denies whatever reaches it: a
condition that we dropped would make an Allow wider than it was written. No rule raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ocicat.errors import UserError
from ocicat.model.net import Cidr, parse_interface
from ocicat.model.resources import EntityRule, Port, Rule
from ocicat.model.wanted import Match, PortRange, WantedRule
from ocicat.selector import Selector, parse

_ICMP, _TCP, _UDP, _ICMPV6, _SCTP, _UDPLITE = 1, 6, 17, 58, 132, 136
_PROTOCOLS = {"tcp": _TCP, "udp": _UDP, "icmp": _ICMP, "icmpv6": _ICMPV6, "sctp": _SCTP, "udplite": _UDPLITE}
_WITH_PORTS = frozenset({_TCP, _UDP, _SCTP})
_FAMILY_OF = {_ICMP: 4, _ICMPV6: 6}
_MAX_PORT = 65535

# What a rule may say and this version does not enforce, by the name it has in the datastore.
_UNSUPPORTED_IN_RULE: dict[str, Callable[[Rule], object]] = {
    "notProtocol": lambda rule: rule.not_protocol,
    "icmp": lambda rule: rule.icmp,
    "notICMP": lambda rule: rule.not_icmp,
    "http": lambda rule: rule.http,
}
_UNSUPPORTED_IN_ENTITY: dict[str, Callable[[EntityRule], object]] = {
    "notNets": lambda entity: entity.not_nets or None,
    "notSelector": lambda entity: entity.not_selector or None,
    "notPorts": lambda entity: entity.not_ports or None,
    "namespaceSelector": lambda entity: entity.namespace_selector or None,
    "serviceAccounts": lambda entity: entity.service_accounts,
    "services": lambda entity: entity.services,
}


def resolve(rule: Rule) -> tuple[WantedRule, tuple[Selector, ...]]:
    """The rule for the dataplane, and the selectors whose address sets it names."""
    try:
        return _resolve(rule)
    except UserError as error:
        return WantedRule("Deny", problem=str(error)), ()


def _resolve(rule: Rule) -> tuple[WantedRule, tuple[Selector, ...]]:
    _refuse_unsupported(rule)
    protocol = _protocol(rule.protocol)
    source, source_selectors = _match("source", rule.source, protocol)
    destination, destination_selectors = _match("destination", rule.destination, protocol)
    family = _family(rule.ip_version, protocol, (*source.nets, *destination.nets))
    families = (4, 6) if family is None else (family,)
    wanted = WantedRule(rule.action, families, protocol, source, destination)
    return wanted, (*source_selectors, *destination_selectors)


def _refuse_unsupported(rule: Rule) -> None:
    if rule.action not in ("Allow", "Deny"):
        raise UserError(f"action: this version does not enforce {rule.action} in a profile")
    fields = [name for name, get in _UNSUPPORTED_IN_RULE.items() if get(rule) is not None]
    for side, entity in (("source", rule.source), ("destination", rule.destination)):
        fields += [f"{side}.{name}" for name, get in _UNSUPPORTED_IN_ENTITY.items() if get(entity) is not None]
    if fields:
        raise UserError(f"{', '.join(fields)}: this version does not enforce it")


def _protocol(written: int | str | None) -> int | None:
    """A number may also be written as text, as Calico reads it."""
    if written is None:
        return None
    number = _PROTOCOLS.get(written.lower(), _number(written)) if isinstance(written, str) else written
    if number is None or not 1 <= number <= 255:
        raise UserError(
            f"protocol: {written!r} is not a protocol", hint="TCP, UDP, ICMP, ICMPv6, SCTP, UDPLite or 1 to 255"
        )
    return number


def _match(side: str, entity: EntityRule, protocol: int | None) -> tuple[Match, tuple[Selector, ...]]:
    if entity.ports and protocol not in _WITH_PORTS:
        raise UserError(f"{side}.ports: ports need a protocol that has them", hint="say protocol TCP, UDP or SCTP")
    with _within(f"{side}.selector"):
        selectors = (parse(entity.selector),) if entity.selector else ()
    with _within(f"{side}.nets"):
        nets = tuple(parse_interface(text)[1] for text in entity.nets)  # host bits are ignored, as Calico does
    sets = tuple(selector.uid for selector in selectors)
    return Match(nets, sets, tuple(_port_range(side, port) for port in entity.ports)), selectors


@contextmanager
def _within(field: str) -> Iterator[None]:
    """Says which field was at fault."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{field}: {error.message}", hint=error.hint) from error


def _port_range(side: str, port: Port) -> PortRange:
    first_text, colon, last_text = str(port).partition(":")
    first = _number(first_text)
    last = _number(last_text) if colon else first
    if first is None or last is None:
        raise UserError(
            f"{side}.ports: {port!r}: this version does not enforce named ports", hint="write the number or first:last"
        )
    if not 1 <= first <= last <= _MAX_PORT:
        raise UserError(f"{side}.ports: {port!r} is not a port", hint=f"1 to {_MAX_PORT}, or first:last")
    return first, last


def _family(version: int | None, protocol: int | None, nets: tuple[Cidr, ...]) -> int | None:
    """The family that the rule's parts agree on, None when none of them says any."""
    if version not in (None, 4, 6):
        raise UserError(f"ipVersion: {version} is not 4 or 6")
    said = {version, _FAMILY_OF.get(protocol or 0), *(net.family for net in nets)} - {None}
    if len(said) > 1:
        raise UserError("ipVersion, protocol and nets speak of both IPv4 and IPv6", hint="make it two rules")
    return next(iter(said), None)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(_MAX_PORT)) else None
