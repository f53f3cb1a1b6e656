"""The words in which a record states what its fields may hold, and the types that many of them share.

Decoding ignores these statements on purpose: an object that breaks one stays readable, so that it can be shown, explained and
mended; only values of the wrong JSON type stop it. A field that holds its default is unset, and no statement applies to it. Pure.
"""

from __future__ import annotations

from typing import Annotated, Literal

from ocicat.model.base import Struct

FormName = Literal[
    "address",
    "address or prefix",
    "annotations",
    "as number",
    "bgp community",
    "cluster id",
    "container id",
    "duration",
    "duration or Auto",
    "endpoint port name",
    "host or address",
    "interface",
    "interface filter",
    "interface glob",
    "ipv4",
    "ipv4 address or prefix",
    "ipv4 interface",
    "ipv4 prefix",
    "ipv6",
    "ipv6 interface",
    "ipv6 prefix",
    "label",
    "labels",
    "mac",
    "masked address or prefix",
    "masked prefix",
    "name",
    "numeric port",
    "peer address",
    "policy community",
    "port",
    "port name",
    "prefix",
    "protocol",
    "protocol with ports",
    "public key",
    "regexp",
    "selector",
    "time",
    "dscp",
]


class Form(Struct, frozen=True):
    """A text that must have the form of that name: `ocicat.validate.forms` knows them."""

    name: FormName


class OneOf(Struct, frozen=True):
    values: tuple[str | int, ...]
    ignore_case: bool = False


class Range(Struct, frozen=True):
    """A number between two bounds, both included."""

    low: int
    high: int


class MaxLength(Struct, frozen=True):
    """Of a text, in characters."""

    high: int


class Matches(Struct, frozen=True):
    """A text that a regular expression matches as a whole; `meaning` says it in words."""

    pattern: str
    meaning: str


class Items(Struct, frozen=True):
    """How many elements a list may have, and whether two may be equal."""

    high: int | None = None
    unique: bool = False


def one_of(*values: str | int) -> OneOf:
    return OneOf(values)


def any_case(*values: str) -> OneOf:
    return OneOf(values, ignore_case=True)


Address = Annotated[str, Form("address")]
AsNumber = Annotated[int | str, Form("as number")]
Duration = Annotated[str, Form("duration")]
Enabled = Annotated[str, one_of("Enabled", "Disabled")]
Interface = Annotated[str, Form("interface")]
IPv4 = Annotated[str, Form("ipv4")]
IPv6 = Annotated[str, Form("ipv6")]
Labels = Annotated[dict[str, str], Form("labels")]
Net = Annotated[str, Form("address or prefix")]
NetSet = Annotated[tuple[Net, ...], Items(unique=True)]
NodeName = Annotated[str, MaxLength(253), Form("name")]
Port = int | str
PortNumber = Annotated[int, Range(1, 65535)]
ProfileNames = Annotated[tuple[Annotated[str, Form("name")], ...], Items(unique=True)]
ProtocolWithPorts = Annotated[int | str, Form("protocol with ports")]
RoutePriority = Annotated[int, Range(1, 2147483646)]
Selector = Annotated[str, MaxLength(1024), Form("selector")]
Time = Annotated[str, Form("time")]
