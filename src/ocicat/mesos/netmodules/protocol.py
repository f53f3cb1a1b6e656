"""The words between the network isolator module of Mesos 0.24 to 0.28 and its plugin: requests read, replies written. Pure.

One request is a JSON object `{"command": C, "args": {...}}`, one reply a JSON object with an `error` that is null or a text.

1. What is wrong with a request is said in the words of Calico's plugin, as far as it had any.
2. Nothing that a framework wrote is ever evaluated: addresses in a label are taken from its text by their form.
3. `hostname` must be there and says nothing: this host knows its own name.

Source of the commands, their arguments and what is required: mesosphere/net-modules docs/api.md, projectcalico/calico-mesos.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import cast

from ocicat.errors import UserError
from ocicat.model.base import Struct
from ocicat.model.codec import decode_json, encode_json
from ocicat.model.net import Addr

NAME = "net-modules"  # how a plugin's process says to the agent which words it speaks
INTERFACE = "eth0"  # in the container: the module knows of no other
REPLY_LIMIT_BYTES = 40_960  # the module reads no more
MOST_ADDRESSES = 256  # of one container

STATIC_LABEL = "ipv4_addrs"
"""A label by which frameworks that cannot say an address (Marathon 0.14 to 1.1) ask for some all the same: "['192.168.3.1']"."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,127}")
_QUOTED = re.compile(r"""(['"]?)([0-9.]+)\1""")

Args = Mapping[str, object]


class Reserve(Struct, frozen=True):
    """These very addresses for `uid`."""

    uid: str
    addresses: tuple[Addr, ...]


class Allocate(Struct, frozen=True):
    """So many addresses for `uid`, whichever; `static` ones are among the IPv4 ones."""

    uid: str
    ipv4: int
    ipv6: int
    static: tuple[Addr, ...] = ()


class Isolate(Struct, frozen=True):
    """An interface with these addresses, reserved or allocated before, for the container whose first process is `pid`."""

    container_id: str
    pid: int
    addresses: tuple[Addr, ...]
    groups: tuple[str, ...] = ()
    labels: Mapping[str, str] = {}


class ReleaseAddresses(Struct, frozen=True):
    addresses: tuple[Addr, ...]


class ReleaseOwner(Struct, frozen=True):
    uid: str


class Cleanup(Struct, frozen=True):
    container_id: str


Request = Reserve | Allocate | Isolate | ReleaseAddresses | ReleaseOwner | Cleanup


def parse(document: bytes) -> Request:
    """Errors: UserError, whose message is the reply's error."""
    said = decode_json(dict[str, object], document, what="the request")
    if "command" not in said:
        raise UserError("Missing command")
    if "args" not in said:
        raise UserError("Missing args")
    command, args = said["command"], said["args"]
    read = _COMMANDS.get(command) if isinstance(command, str) else None
    if read is None:
        raise UserError(f"Unknown command: {command}")
    if not isinstance(args, dict):
        raise UserError("args must be an object")
    return read(args)


def subject(request: Request) -> tuple[str, str]:
    """What it is about: requests with the same subject must not meet."""
    match request:
        case Isolate() | Cleanup():
            return request.container_id, INTERFACE
        case ReleaseAddresses():
            return NAME, ",".join(map(str, request.addresses))
        case _:
            return NAME, request.uid


def succeeded() -> bytes:
    return encode_json({"error": None})


def allocated(addresses: Iterable[Addr]) -> bytes:
    found = tuple(addresses)
    ipv4, ipv6 = ([str(one) for one in found if one.family == family] for family in (4, 6))
    return encode_json({"error": None, "ipv4": ipv4, "ipv6": ipv6})


def failed(text: str) -> bytes:
    """An empty text would be a failure too, and say nothing. What is too long for the module is cut."""
    return encode_json({"error": (text or "failed")[: REPLY_LIMIT_BYTES // 8]})


# --- one command --------------------------------------------------------------------------------------------------


def _reserve(args: Args) -> Reserve:
    uid = _uid(args)
    _hostname_given(args)
    return Reserve(uid, _addresses(args))


def _allocate(args: Args) -> Allocate:
    uid = _uid(args)
    _hostname_given(args)
    ipv4, ipv6 = _number(args, "num_ipv4"), _number(args, "num_ipv6")
    return Allocate(uid, ipv4, ipv6, _static(_labels(args.get("labels"))))


def _isolate(args: Args) -> Isolate:
    container_id = _container_id(args)
    _hostname(args)
    pid = _pid(args)
    addresses = _addresses(args)
    return Isolate(container_id, pid, addresses, _groups(args.get("netgroups")), _labels(args.get("labels")))


def _release(args: Args) -> ReleaseAddresses | ReleaseOwner:
    uid, ips = args.get("uid"), args.get("ips")
    if uid is None and ips is None:
        raise UserError("Must supply either uid or ips.")
    if uid is None:
        return ReleaseAddresses(_parsed(ips))
    if ips is not None:
        raise UserError("Supply either uid or ips, not both.")
    if not isinstance(uid, str):
        raise UserError("uid must be a string")
    return ReleaseOwner(_identifier("uid", uid))


def _cleanup(args: Args) -> Cleanup:
    container_id = _container_id(args)
    _hostname(args)
    return Cleanup(container_id)


_COMMANDS: Mapping[str, Callable[[Args], Request]] = {
    "reserve": _reserve,
    "allocate": _allocate,
    "isolate": _isolate,
    "release": _release,
    "cleanup": _cleanup,
}


# --- one argument -------------------------------------------------------------------------------------------------


def _uid(args: Args) -> str:
    if not args.get("uid"):
        raise UserError("Missing uid")
    return _identifier("uid", str(args["uid"]))


def _container_id(args: Args) -> str:
    if not args.get("container_id"):
        raise UserError("Missing container_id")
    return _identifier("container_id", str(args["container_id"]))


def _identifier(name: str, text: str) -> str:
    """It becomes part of a datastore's key."""
    if not _ID.fullmatch(text):
        raise UserError(f"{name} must be letters, digits, and _ . - after the first, at most 128: {text[:40]!r}")
    return text


def _hostname(args: Args) -> None:
    if not args.get("hostname"):
        raise UserError("Missing hostname")


def _hostname_given(args: Args) -> None:
    """Where addresses are asked for, an empty one will do."""
    if args.get("hostname") is None:
        raise UserError("Missing hostname")


def _pid(args: Args) -> int:
    pid = args.get("pid")
    if not pid:
        raise UserError("Missing pid")
    number = _integer("pid", pid)
    if not 0 < number < 1 << 31:
        raise UserError(f"pid must be the id of a process: {number}")
    return number


def _number(args: Args, name: str) -> int:
    if args.get(name) is None:
        raise UserError(f"Missing {name}")
    number = _integer(name, args[name])
    if not 0 <= number <= MOST_ADDRESSES:
        raise UserError(f"{name} must be 0 to {MOST_ADDRESSES}: {number}")
    return number


def _integer(name: str, value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 10:
        return int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise UserError(f"{name} must be an integer")
    return value


def _addresses(args: Args) -> tuple[Addr, ...]:
    addresses = (*_parsed(args.get("ipv4_addrs", []), 4), *_parsed(args.get("ipv6_addrs", []), 6))
    if not addresses:
        raise UserError("Must provide at least one IPv4 or IPv6 address.")
    if len(addresses) > MOST_ADDRESSES:
        raise UserError(f"A container has at most {MOST_ADDRESSES} addresses, not {len(addresses)}.")
    return addresses


def _parsed(texts: object, family: int | None = None) -> tuple[Addr, ...]:
    """Each once."""
    if not isinstance(texts, list):
        raise UserError(f"IP addresses must be provided as JSON list, not: {type(texts).__name__}")
    return tuple(dict.fromkeys(_address(text, family) for text in texts))


def _address(text: object, family: int | None) -> Addr:
    try:
        address = Addr.parse(cast("str", text))
    except (UserError, TypeError, AttributeError):
        raise UserError(f"IP address could not be parsed: {text}") from None
    if family not in (None, address.family):
        raise UserError(f"IPv{address.family} address must not be placed in IPv{family} address field.")
    return address


def _groups(groups: object) -> tuple[str, ...]:
    if groups is None:
        return ()
    if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
        raise UserError("Must provide list of netgroups.")
    return tuple(groups)


def _labels(labels: object) -> dict[str, str]:
    """A list of keys and values, the same in an object of one field, or an object: each was sent by some version."""
    if isinstance(labels, dict) and isinstance(labels.get("labels"), list):
        labels = labels["labels"]
    if labels is None:
        return {}
    if isinstance(labels, dict):
        return {key: str(value) for key, value in labels.items()}
    if not isinstance(labels, list) or not all(isinstance(one, dict) and "key" in one for one in labels):
        raise UserError("labels must be an object, or a list of objects with key and value")
    return {str(one["key"]): str(one.get("value", "")) for one in labels}


def _static(labels: Mapping[str, str]) -> tuple[Addr, ...]:
    text = labels.get(STATIC_LABEL, "").strip()
    inner = text[1:-1] if text[:1] + text[-1:] in ("[]", "()") else text
    parts = [part.strip() for part in inner.split(",") if part.strip()]
    quoted = [_QUOTED.fullmatch(part) for part in parts]
    return _parsed([found[2] if found else part for found, part in zip(quoted, parts, strict=True)], 4)
