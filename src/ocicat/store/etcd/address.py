"""The address of an etcd cluster, taken apart: `etcd://h1:2379,h2:2379?ca=FILE&cert=FILE&key=FILE&user=NAME&password-file=FILE`.

1. With `ca` the connections are TLS; `cert` and `key` prove who we are. Without it they are plain text.
2. Files are read here, once; what cannot be read, and parameters that are unknown or do not fit together, are a `UserError`.
3. The address itself never holds a secret: it may be printed.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qsl

from ocicat.errors import UserError
from ocicat.model.base import Struct

FORM = "etcd://HOST:PORT,HOST:PORT[?ca=FILE&cert=FILE&key=FILE&user=NAME&password-file=FILE&timeout=SECONDS]"
_SCHEME = "etcd://"
_PARAMETERS = {"ca", "cert", "key", "user", "password-file", "timeout"}
_ENDPOINT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:\d{1,5})?", re.ASCII)
_PORT = ":2379"
_TIMEOUT_S = 5.0


class Identity(Struct, frozen=True):
    """PEM, as read from the files."""

    certificate: bytes
    key: bytes


class Parts(Struct, frozen=True):
    """`given`: the parameters as they are written. `timeout_s`: how long one call may take."""

    endpoints: tuple[str, ...]
    given: dict[str, str]
    timeout_s: float


class Address(Struct, frozen=True):
    """`ca`: PEM, empty for plain text. `timeout_s`: how long one call may take. `user`: empty for none."""

    url: str
    endpoints: tuple[str, ...]
    ca: bytes = b""
    identity: Identity | None = None
    user: str = ""
    password: str = ""
    timeout_s: float = _TIMEOUT_S


def read_address(url: str) -> Address:
    """`url` begins with `etcd://`. Raises UserError naming the part that is wrong."""
    parts = check_address(url)
    user, password = _login(url, parts.given)
    return Address(
        url=url,
        endpoints=parts.endpoints,
        ca=_file(url, parts.given, "ca"),
        identity=_identity(url, parts.given),
        user=user,
        password=password,
        timeout_s=parts.timeout_s,
    )


def check_address(url: str) -> Parts:
    """The words of it alone: no file is looked at. Raises UserError as `read_address` does."""
    hosts, _, query = url.removeprefix(_SCHEME).partition("?")  # not for urllib: it knows of one host
    if "@" in hosts:  # a password, perhaps: it is not repeated
        raise UserError("store etcd://: no user in front of the hosts", hint="use ?user=NAME&password-file=FILE")
    given = _parameters(url, query)
    return Parts(
        endpoints=tuple(_endpoint(url, text) for text in hosts.removesuffix("/").split(",")),
        given=given,
        timeout_s=_seconds(url, given.get("timeout", str(_TIMEOUT_S))),
    )


def _parameters(url: str, query: str) -> dict[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    given = dict(pairs)
    if unknown := given.keys() - _PARAMETERS:
        raise _wrong(url, f"has no parameter {', '.join(sorted(unknown))}")
    if len(given) < len(pairs) or "" in given.values():
        raise _wrong(url, "has a parameter twice or without a value")
    if given.keys() & {"cert", "key"} and not given.keys() >= {"ca", "cert", "key"}:
        raise _wrong(url, "has to have ca, cert and key together")
    if ("user" in given) != ("password-file" in given):
        raise _wrong(url, "has to have user and password-file together")
    return given


def _endpoint(url: str, text: str) -> str:
    found = _ENDPOINT.fullmatch(text)
    if not found or not 0 < int((found[2] or _PORT)[1:]) < 2**16:
        raise _wrong(url, f"has an endpoint {text!r} that is no HOST:PORT")
    return found[1] + (found[2] or _PORT)


def _identity(url: str, given: dict[str, str]) -> Identity | None:
    if "cert" not in given:
        return None
    return Identity(_file(url, given, "cert"), _file(url, given, "key"))


def _login(url: str, given: dict[str, str]) -> tuple[str, str]:
    password = _file(url, given, "password-file")
    try:
        return given.get("user", ""), password.decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise _wrong(url, f"password-file {given['password-file']} is not UTF-8") from error


def _file(url: str, given: dict[str, str], name: str) -> bytes:
    """Its content; empty when the parameter is not given."""
    if name not in given:
        return b""
    try:
        return Path(given[name]).read_bytes()
    except OSError as error:
        raise _wrong(url, f"{name} {given[name]} cannot be read: {error.strerror}") from error


def _seconds(url: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise _wrong(url, f"has a timeout {text!r} that is no number of seconds up to 3600")
    return seconds


def _wrong(url: str, what: str) -> UserError:
    return UserError(f"store {url}: {what}", hint=f"use {FORM}")
