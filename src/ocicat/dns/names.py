"""Names: text and wire, and what becomes of Mesos's free text in a name, as Mesos-DNS has it. PURE.

1. A label made here is letters of lower case, digits and dashes, no dash at either end, and no longer than it may be; "" when
   nothing of the text is left.
2. `wire` and `text` are each other's inverse for every name there can be.

Source of the rules: Mesos-DNS, docs "Service Naming" and records/labels; RFC 952 and 1123.
"""

from __future__ import annotations

import hashlib
import re

from ocicat.dns.wire import ROOT
from ocicat.errors import UserError
from ocicat.model.net import Addr

_LONGEST, _LONGEST_952 = 63, 24
_KEPT = re.compile(r"[^a-z0-9-]")
_DASHES = str.maketrans("._", "--")
_ESCAPED = re.compile(rb"[^!-~]|[.\\\"]")
_TOKEN = re.compile(r"\\(\d{3})|\\(.)|(\.)|([^\\.]+)", re.DOTALL)
_ZBASE32 = "ybndrfg8ejkmcpqxot1uwisza345h769"


def label(text: str, *, rfc952: bool = False) -> str:
    """`Web_Front.2` becomes `web-front-2`. With `rfc952` 24 characters at most, and none of the first a digit."""
    kept = _KEPT.sub("", _ascii_lower(text).translate(_DASHES))
    longest = _LONGEST_952 if rfc952 else _LONGEST
    kept = kept.lstrip("-0123456789" if rfc952 else "-")
    head = kept[:longest].rstrip("-")
    if len(head) < min(longest, len(kept)):  # what dashes took is filled from the rest
        head += kept[longest:].lstrip("-")[: longest - len(head)]
    return head.rstrip("-")


def labels(text: str, *, rfc952: bool = False) -> str:
    """Of a name in which dots stand between labels: a framework's."""
    made = (label(part, rfc952=rfc952) for part in text.split("."))
    return ".".join(filter(None, made))


def _ascii_lower(text: str) -> str:
    """Letters that are no ASCII are dropped, not turned into such (the Kelvin sign is a k in lower case)."""
    return text.encode("ascii", "ignore").decode().lower()


def canonical(name: str, task_id: str, agent_id: str) -> str:
    """The label of one task: that of its name, five characters for its id, and the end of its agent's id."""
    end = f"-{_short_hash(task_id)}-{label(agent_id.rpartition('-')[2])}".rstrip("-")
    return name[: _LONGEST - len(end)].rstrip("-") + end


def _short_hash(text: str) -> str:
    bits = int.from_bytes(hashlib.sha1(text.encode(), usedforsecurity=False).digest()[:4], "big")
    return "".join(_ZBASE32[bits >> 32 - 5 * place & 31] for place in range(1, 6))


# --- text and wire -----------------------------------------------------------------------------------------------


def wire(text: str) -> bytes:
    """UserError for what is no name. A dot at the end changes nothing; `\\046` and `\\.` are bytes of a label."""
    if text in ("", "."):
        return ROOT
    parts = _unescaped(text) if "\\" in text else text.removesuffix(".").encode().split(b".")
    if not all(0 < len(part) <= _LONGEST for part in parts):
        raise UserError(f"{text!r} is no name: its labels must have 1 to 63 bytes")
    name = b"".join([bytes((len(part),)) + part for part in parts]) + ROOT
    if len(name) > 255:
        raise UserError(f"{text!r} is no name: longer than 255 bytes")
    return name


def _unescaped(text: str) -> list[bytes]:
    """The labels, escapes taken for what they stand for."""
    parts = [bytearray()]
    for number, escaped, dot, plain in _TOKEN.findall(text):
        if dot:
            parts.append(bytearray())
        elif number and int(number) < 256:
            parts[-1].append(int(number))
        else:
            parts[-1] += (escaped or plain or number).encode()
    if text.endswith(".") and not parts[-1] and not text.endswith(r"\."):
        parts.pop()
    return [bytes(part) for part in parts]


def text(name: bytes) -> str:
    """Without a dot at the end; what is no plain character as a number."""
    parts, at = [], 0
    while name[at]:
        parts.append(_ESCAPED.sub(_number, name[at + 1 : at + 1 + name[at]]).decode())
        at += name[at] + 1
    return ".".join(parts) or "."


def _number(found: re.Match[bytes]) -> bytes:
    return b"\\%03d" % found[0][0]


def reverse(address: Addr) -> str:
    """The name under which the name of an address is asked for."""
    packed = address.pack()
    if address.family == 4:
        return ".".join(str(byte) for byte in reversed(packed)) + ".in-addr.arpa"
    return ".".join(reversed(packed.hex())) + ".ip6.arpa"
