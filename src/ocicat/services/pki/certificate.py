"""A certificate, as `openssl x509` tells about it. Pure.

Source: openssl-x509(1), the forms that OpenSSL 1.1.1 and 3 have in common.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from ipaddress import ip_address

from ocicat.errors import UserError
from ocicat.model.base import Struct

QUESTIONS = ("-noout", "-subject", "-issuer", "-serial", "-startdate", "-enddate", "-fingerprint", "-sha256", "-text")
"""To `openssl x509`; with `-nameopt RFC2253`."""

_DAY_S = 86400.0
_NAMES = re.compile(r"X509v3 Subject Alternative Name:[^\n]*\n\s*(.*)")
_USAGE = re.compile(r"X509v3 Extended Key Usage:[^\n]*\n\s*(.*)")
_SIGNS = re.compile(r"X509v3 Basic Constraints:[^\n]*\n\s*CA:TRUE")


class Certificate(Struct, frozen=True, kw_only=True):
    """Times are seconds since the epoch."""

    path: str
    subject: str
    issuer: str
    serial: str
    fingerprint: str
    addresses: tuple[str, ...]
    is_authority: bool
    for_servers: bool
    for_clients: bool
    not_before: float
    not_after: float

    def days_left(self, now: float) -> float:
        return (self.not_after - now) / _DAY_S

    def covers(self, address: str) -> bool:
        """Is it good for a server that is reached by this name or address?"""
        try:
            return str(ip_address(address)) in self.addresses
        except ValueError:
            name = address.lower()
            return name in self.addresses or f"*.{name.partition('.')[2]}" in self.addresses


def parse(path: str, text: str) -> Certificate:
    """`text` answers `QUESTIONS`. UserError when it does not."""
    told = dict(line.split("=", 1) for line in text.splitlines() if re.match(r"[A-Za-z0-9 ]+=", line))
    usage = _found(_USAGE, text)
    try:
        return Certificate(
            path=path,
            subject=told["subject"].strip(),
            issuer=told["issuer"].strip(),
            serial=told["serial"].strip(),
            fingerprint=next(value for key, value in told.items() if key.lower() == "sha256 fingerprint").strip(),
            addresses=tuple(_plain(name) for name in _found(_NAMES, text).split(",") if name.strip()),
            is_authority=bool(_SIGNS.search(text)),
            for_servers="Server Authentication" in usage,
            for_clients="Client Authentication" in usage,
            not_before=_seconds(told["notBefore"]),
            not_after=_seconds(told["notAfter"]),
        )
    except (KeyError, StopIteration, ValueError) as error:
        raise UserError(f"{path}: what openssl says of it is not understood: {error}") from error


def day(seconds: float) -> str:
    """For people."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def _found(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[1] if match else ""


def _plain(name: str) -> str:
    kind, _, value = name.strip().partition(":")
    return str(ip_address(value)) if kind == "IP Address" else value


def _seconds(text: str) -> float:
    return datetime.strptime(text.strip(), "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC).timestamp()
