"""What is asked of the authority, checked, and in the words of openssl's configuration. Pure.

1. What gets into a configuration is letters, digits and a few signs: nothing that is given can begin a line of its own there.
2. A certificate has no common name unless one is asked for: etcd takes it for the name of a user.
3. A server's certificate is good for clients too: etcd calls itself with it, and members call each other.

Source: x509v3_config(5); RFC 5280 sections 4.2.1.3, 4.2.1.6, 4.2.1.12.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Literal

from ocicat.errors import UserError
from ocicat.model.base import Struct

Kind = Literal["server", "client"]

LONGEST_DAYS = 3650
AUTHORITY_DAYS = 3650
DAYS = 365
ORGANIZATION = "ocicat"

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?", re.ASCII)
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)
_LONGEST_DNS_NAME = 253
_USAGE = {"server": "serverAuth,clientAuth", "client": "clientAuth"}


class Request(Struct, frozen=True):
    """`addresses`: names and addresses that the certificate is good for. `user`: its common name, empty for none."""

    name: str
    kind: Kind
    addresses: tuple[str, ...] = ()
    days: int = DAYS
    user: str = ""


def checked(request: Request) -> Request:
    """UserError for what no certificate can be made of."""
    check_name(request.name, "the name of a certificate")
    if request.user:
        check_name(request.user, "the name of a user")
    if request.kind == "server" and not request.addresses:
        raise UserError(
            f"certificate {request.name}: a server's names no address",
            hint="give every name and address that it is reached by: --address h1.example.com --address 10.0.0.1",
        )
    for address in request.addresses:
        alternative_name(address)
    check_days(request.days, LONGEST_DAYS)
    return request


def check_name(name: str, what: str) -> str:
    if not _NAME.fullmatch(name):
        raise UserError(f"{name!r} is not {what}", hint="use up to 64 letters, digits, '.', '_' and '-'")
    return name


def check_days(days: int, most: int) -> int:
    if not 1 <= days <= most:
        raise UserError(f"{days} days: a certificate lasts 1 to {most} days")
    return days


def alternative_name(address: str) -> str:
    """As openssl has it: `IP:10.0.0.1` or `DNS:h1.example.com`."""
    try:
        return f"IP:{ip_address(address)}"
    except ValueError:
        labels = address.removeprefix("*.").split(".")
        if len(address) <= _LONGEST_DNS_NAME and all(_LABEL.fullmatch(label) for label in labels):
            return f"DNS:{address.lower()}"
    raise UserError(f"{address!r} is neither an IP address nor a DNS name", hint="give a host, without a port")


def authority_text(name: str) -> str:
    """The configuration of a certificate that signs others, and no other authority."""
    extensions = (
        "basicConstraints=critical,CA:TRUE,pathlen:0",
        "keyUsage=critical,keyCertSign,cRLSign",
        "subjectKeyIdentifier=hash",
    )
    return _text([f"O={ORGANIZATION}", f"CN={check_name(name, 'the name of an authority')}"], extensions)


def request_text(request: Request) -> str:
    """The configuration of what is asked for."""
    extensions = [
        "basicConstraints=critical,CA:FALSE",
        "keyUsage=critical,digitalSignature",
        f"extendedKeyUsage={_USAGE[request.kind]}",
        "subjectKeyIdentifier=hash",
        "authorityKeyIdentifier=keyid",
    ]
    if request.addresses:
        names = dict.fromkeys(map(alternative_name, request.addresses))  # each once, in the order given
        extensions.append(f"subjectAltName={','.join(names)}")
    subject = [f"O={ORGANIZATION}", f"OU={request.name}"] + ([f"CN={request.user}"] if request.user else [])
    return _text(subject, extensions)


def _text(subject: Iterable[str], extensions: Iterable[str]) -> str:
    lines = ["[req]", "prompt=no", "distinguished_name=subject", "[subject]", *subject, "[extensions]", *extensions]
    return "\n".join([*lines, ""])
