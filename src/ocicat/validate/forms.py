"""The forms that texts have: each says in words what a value must be, and nothing ("") if it is. Pure."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import cast

from ocicat.errors import UserError
from ocicat.model.net import Addr, Cidr, parse_interface
from ocicat.model.v3.fields import FormName
from ocicat.model.v3.numbers import (
    PORT_PROTOCOLS,
    PROTOCOL_NUMBERS,
    dscp_value,
    has_ports,
    is_port_name,
    parse_as_number,
    parse_port,
    port_range,
    protocol_number,
)
from ocicat.selector import parse as parse_selector

ANNOTATIONS_MAX_BYTES = 256 * 1024
Written = int | str
Test = Callable[[str], str]

_FAMILIES = (4, 6)
_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_NAME = re.compile(_SUBDOMAIN)
_QUALIFIED_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_DURATION = r"(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))+|0"
_TIME = r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)"
_COMMUNITY = re.compile(r"([0-9]{1,10}):([0-9]{1,10})(:([0-9]{1,10}))?")
_PEER_WITH_PORT = re.compile(r"(?:\[([^\]]*)\]|([^:]*)):([0-9]{1,5})")


def is_name(text: str) -> bool:
    """A DNS-1123 subdomain."""
    return len(text) <= 253 and _NAME.fullmatch(text) is not None


@lru_cache(maxsize=4096)
def selector_problem(text: str) -> str:
    """Thousands of objects share a few selectors."""
    try:
        parse_selector(text)
    except UserError as error:
        return str(error)
    return ""


def labels_problem(labels: Mapping[str, str]) -> str:
    for key, value in labels.items():
        if not _is_key(key):
            return f"the key {key!r} must be NAME or DOMAIN/NAME, the name at most 63 of a-z A-Z 0-9 - _ ."
        if not _LABEL_VALUE.fullmatch(value):
            return f"the value of {key} must be at most 63 of a-z A-Z 0-9 - _ ., a letter or digit at both ends"
    return ""


def annotations_problem(annotations: Mapping[str, str]) -> str:
    for key in annotations:
        if not _is_key(key.lower()):
            return f"the key {key!r} must be NAME or DOMAIN/NAME, the name at most 63 of a-z A-Z 0-9 - _ ."
    size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
    if size > ANNOTATIONS_MAX_BYTES:
        return f"all annotations together have {size} bytes, {ANNOTATIONS_MAX_BYTES} are allowed"
    return ""


def is_community(text: str) -> bool:
    """aa:nn of 16 bits each, or aa:nn:mm of 32 bits each."""
    found = _COMMUNITY.fullmatch(text)
    high = 0xFFFFFFFF if found and found[4] else 0xFFFF
    return found is not None and all(int(part) <= high for part in text.split(":"))


def peer_family(text: str) -> int | None:
    """The family of a BGP peer's address, with or without a port; None if it is no such address."""
    found = _PEER_WITH_PORT.fullmatch(text)
    if not found:
        return family_of(text)
    family = family_of(found[1] if found[1] is not None else found[2])
    bracketed = found[1] is not None
    return family if 1 <= int(found[3]) <= 65535 and bracketed == (family == 6) else None


def family_of(text: str) -> int | None:
    """4 or 6, of an address without a prefix length."""
    try:
        return Addr.parse(text).family
    except UserError:
        return None


@lru_cache(maxsize=1024)
def network(text: str) -> Cidr | None:
    """The prefix of an address or prefix, host bits masked; None if it is neither. Several rules ask about the same text."""
    try:
        return parse_interface(text)[1]
    except UserError:
        return None


def _is_key(key: str) -> bool:
    domain, slash, name = key.rpartition("/")
    return _QUALIFIED_NAME.fullmatch(name) is not None and (not slash or is_name(domain))


def _expect(test: Callable[[str], bool], words: str) -> Test:
    return lambda text: "" if test(text) else f"must be {words}"


def _match(pattern: str, words: str) -> Test:
    compiled = re.compile(pattern)
    return _expect(lambda text: compiled.fullmatch(text) is not None, words)


def _masked(words: str, *families: int, bare: bool = False) -> Test:
    """A prefix without host bits; `bare`: or an address. Calico treats an object that has other ones as if it were not there."""

    def is_one(text: str) -> bool:
        try:
            return Cidr.parse(text).family in (families or _FAMILIES) and (bare or "/" in text)
        except UserError:
            return False

    return _expect(is_one, words)


def _interface_address(family: int, words: str) -> Test:
    return _expect(lambda text: (found := network(text)) is not None and found.family == family, words)


def _number(parse: Callable[[Written], object]) -> Test:
    """Numbers come as numbers too, whatever the type says."""

    def test(written: Written) -> str:
        try:
            parse(written)
        except UserError as error:
            return str(error)
        return ""

    return cast("Test", test)


def is_public_key(text: str) -> bool:
    """Of WireGuard: 32 bytes in base64."""
    try:
        return len(b64decode(text, validate=True)) == 32
    except ValueError:
        return False


def _usable_port(written: Written) -> None:
    bounds = port_range(parse_port(written))
    if bounds is not None and bounds[0] < 1:
        raise UserError("port 0 does not exist: it must be between 1 and 65535")


def _numeric_port(written: Written) -> None:
    _usable_port(written)
    if port_range(parse_port(written)) is None:
        raise UserError("must be a port or a range like 80:90, not a name")


def _protocol(written: Written) -> None:
    if not protocol_number(written):
        raise UserError(f"must be 1 to 255 or one of {', '.join(PROTOCOL_NUMBERS)}")


def _protocol_with_ports(written: Written) -> None:
    if not has_ports(written):
        raise UserError(f"must be one of {', '.join(PORT_PROTOCOLS)}")


def _dscp(written: Written) -> None:
    if dscp_value(written) is None:
        raise UserError("must be 0 to 63 or the name of a code point: DF, EF, AF11 to AF43, CS0 to CS7")


def _regexp(text: str) -> str:
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        return f"must be a regular expression: {error}"
    return ""


_COMMUNITY_WORDS = "aa:nn (0 to 65535 each) or aa:nn:mm (0 to 4294967295 each)"

FORMS: Mapping[FormName, Test] = MappingProxyType(
    {
        "address": _expect(lambda text: family_of(text) is not None, "an IP address, without a prefix length"),
        "address or prefix": _expect(
            lambda text: network(text) is not None, "an IP address or a prefix: 10.0.0.0/8, fd00::/8"
        ),
        "annotations": cast("Test", annotations_problem),
        "as number": _number(parse_as_number),
        "bgp community": _expect(is_community, _COMMUNITY_WORDS),
        "cluster id": _expect(lambda text: family_of(text) == 4, "an IPv4 address, or an identifier of that form"),
        "container id": _match(r"[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?", "letters, digits and inner dashes"),
        "dscp": _number(_dscp),
        "duration": _match(_DURATION, "a duration: 90s, 1h30m"),
        "duration or Auto": _match(rf"Auto|{_DURATION}", "a duration (90s, 1h30m) or Auto"),
        "endpoint port name": _match(
            r"(?=.{1,15}\Z)(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*",
            "the name of a port: at most 15 of a-z 0-9 and single inner dashes, a letter among them",
        ),
        "host or address": _match("[a-zA-Z0-9:._+-]{1,64}", "a host name or an IP address"),
        "interface": _match("[a-zA-Z0-9_.-]{1,15}", "an interface: at most 15 of a-z A-Z 0-9 _ . -"),
        "interface filter": _match(
            "[a-zA-Z0-9:._+-]{1,15}", "an interface, or its beginning and +: at most 15 characters"
        ),
        "interface glob": _match("[a-zA-Z0-9_.*-]{1,15}", "an interface, * for any part of it: at most 15 characters"),
        "ipv4": _expect(lambda text: family_of(text) == 4, "an IPv4 address, without a prefix length"),
        "ipv4 address or prefix": _interface_address(4, "an IPv4 address or prefix: 192.0.2.1, 10.0.0.0/8"),
        "ipv4 interface": _interface_address(4, "an IPv4 address, with or without the prefix length of its subnet"),
        "ipv4 prefix": _masked("an IPv4 prefix without host bits: 10.0.0.0/8", 4),
        "ipv6": _expect(lambda text: family_of(text) == 6, "an IPv6 address, without a prefix length"),
        "ipv6 interface": _interface_address(6, "an IPv6 address, with or without the prefix length of its subnet"),
        "ipv6 prefix": _masked("an IPv6 prefix without host bits: fd00::/8", 6),
        "label": _match(rf"(?=.{{1,63}}\Z){_LABEL}", "at most 63 of a-z 0-9 -, a letter or digit at both ends"),
        "labels": cast("Test", labels_problem),
        "mac": _match("[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}", "an Ethernet address: 02:42:ac:11:00:02"),
        "masked address or prefix": _masked(
            "an IP address, or a prefix without host bits: 10.0.0.0/8, fd00::/8", bare=True
        ),
        "masked prefix": _masked("a prefix without host bits: 10.0.0.0/8, 192.0.2.1/32, fd00::/8"),
        "name": _expect(is_name, "at most 253 of a-z 0-9 - ., a letter or digit at both ends of every part"),
        "numeric port": _number(_numeric_port),
        "peer address": _expect(
            lambda text: peer_family(text) is not None,
            "an IP address, or ADDRESS:PORT with brackets around IPv6: [fd00::1]:179",
        ),
        "policy community": _expect(is_community, _COMMUNITY_WORDS),
        "port": _number(_usable_port),
        "port name": _expect(is_port_name, "the name of a port: at most 128 of a-z A-Z 0-9 - _ ."),
        "prefix": _expect(lambda text: "/" in text and network(text) is not None, "a prefix: 10.0.0.0/8, fd00::/8"),
        "protocol": _number(_protocol),
        "protocol with ports": _number(_protocol_with_ports),
        "public key": _expect(is_public_key, "a key of WireGuard: 32 bytes in base64"),
        "regexp": _regexp,
        "selector": selector_problem,
        "time": _match(_TIME, "a time: 2006-01-02T15:04:05Z"),
    }
)
