"""Names that are derived: of workload endpoints, of things whose names are bounded, and of what users name freely. Pure.

Promises:
1. `WorkloadEndpointIds.parse(ids.name())` gives back the fields that `name` was made from.
2. What `label_value` and `dns_name` give has the form they name, and a DNS-1123 name shorter than the bound stays as it is.
3. A shortened name is exactly as long as its bound and holds a hash of the whole original, and a name that merely looks
   shortened is hashed too: so no two originals share a name because one of them was cut.

Sanitising alone does merge originals ("a/b" and "a.b", for DNS names also "A" and "a"), as Calico does; `own_label_value` never.
"""

from __future__ import annotations

import base64
import hashlib
import re

from ocicat.errors import Bug, UserError
from ocicat.model.base import Struct

LABEL_VALUE_MAX = 63
DNS_NAME_MAX = 253
"""Both in characters, all of them ASCII."""

_SHORTENED = "_"
_HASH_LENGTH = 16  # of base32, 5 bits each: 80 bits, out of reach for whoever wants another's name
_LOOKS_SHORTENED = re.compile(rf"-[a-z2-7]{{{_HASH_LENGTH}}}\Z")
_NOT_IN_LABELS = re.compile(r"[^A-Za-z0-9_.-]+")
_NOT_IN_DNS = re.compile(r"[^a-z0-9.-]+")
_DOTS_AND_DASHES = re.compile(r"[.-]+")


class WorkloadEndpointIds(Struct, frozen=True):
    """What tells one workload endpoint from another; an empty field is not known.

    Its name is four parts joined by dashes: node, orchestrator, workload, endpoint. A dash inside a part is doubled, so no
    part may begin or end with one. Which field is the workload part depends on the orchestrator.
    """

    node: str = ""
    orchestrator: str = ""
    workload: str = ""
    pod: str = ""
    container_id: str = ""
    endpoint: str = ""

    def name(self) -> str:
        """The resource name. Errors: UserError that names the field which is missing or cannot be a part."""
        return "-".join(_escaped(field, value) for field, value in self._parts())

    def prefix(self) -> str:
        """The name as far as the fields go, ended by a dash; all of it if none is missing. Errors: as `name`.

        A prefix finds too much (that of pod `a` finds pod `a-b`): put what it finds to `matches`.
        """
        known: list[str] = []
        for field, value in self._parts():
            if not value:
                return "-".join([*known, ""])
            known.append(_escaped(field, value))
        return "-".join(known)

    def matches(self, name: str) -> bool:
        """Whether `name` is that of an endpoint which agrees in every known field. Errors: UserError without a node."""
        wanted = self._parts()
        found = _split(name)
        if len(found) != len(wanted) or not all(found):
            return False
        return all(value in ("", part) for (_, value), part in zip(wanted, found, strict=True))

    @classmethod
    def parse(cls, name: str) -> WorkloadEndpointIds:
        """The fields that a name, or a prefix of one, tells. Errors: UserError if it cannot be such a name."""
        parts = _split(name)
        if not name or len(parts) > 4:
            raise _no_endpoint_name(name)
        node, orchestrator, workload, endpoint = parts + [""] * (4 - len(parts))
        match orchestrator:
            case "k8s":
                return cls(node=node, orchestrator=orchestrator, pod=workload, endpoint=endpoint)
            case "cni":
                return cls(node=node, orchestrator=orchestrator, container_id=workload, endpoint=endpoint)
            case "libnetwork":
                if workload not in ("", orchestrator):
                    raise _no_endpoint_name(name)
                return cls(node=node, orchestrator=orchestrator, endpoint=endpoint)
            case _:
                return cls(node=node, orchestrator=orchestrator, workload=workload, endpoint=endpoint)

    def _parts(self) -> list[tuple[str, str]]:
        """The four parts, each with the resource's word for the field that it comes from. Nothing works without a node."""
        if not self.node:
            raise _bad_field("node", self.node, "is missing")
        workload = {
            "k8s": ("pod", self.pod),
            "cni": ("containerID", self.container_id),
            "libnetwork": ("orchestrator", self.orchestrator),
        }.get(self.orchestrator, ("workload", self.workload))
        return [("node", self.node), ("orchestrator", self.orchestrator), workload, ("endpoint", self.endpoint)]


def unique_id(prefix: str, content: str) -> str:
    """`prefix:` and 38 characters of base64 that stand for `content` (Calico's `MakeUniqueID`, SHA-224)."""
    digest = hashlib.sha224(f"{prefix}:{content}".encode()).digest()
    return f"{prefix}:{_base64(digest)}"


def length_limited_id(prefix: str, suffix: str, max_bytes: int) -> str:
    """`prefix + suffix`, its suffix replaced by `_` and a hash if that is too long (Calico's `GetLengthLimitedID`).

    Errors: Bug if `max_bytes` leaves no room for a hash behind the prefix.
    """
    suffix = suffix or _SHORTENED
    length = len((prefix + suffix).encode())
    # At the very limit a suffix that starts with `_` could be somebody's hash.
    if length < max_bytes or (length == max_bytes and not suffix.startswith(_SHORTENED)):
        return prefix + suffix
    room = max_bytes - len((prefix + _SHORTENED).encode())
    if room <= 0:
        raise Bug(f"no room for a hash behind {prefix!r} in {max_bytes} bytes")
    return prefix + _SHORTENED + _base64(hashlib.sha256(suffix.encode()).digest())[:room]


def label_value(text: str) -> str:
    """`text` as a label's value: letters, digits and `-_.`, at most 63, a letter or digit at both ends; may be empty."""
    cleaned = _NOT_IN_LABELS.sub("-", text.replace("/", "."))
    return _bounded(_joined_once(cleaned).strip("-_."), text, LABEL_VALUE_MAX)


def own_label_value(text: str) -> str:
    """`label_value`, but no two texts share one: what had to be changed ends in a hash, and what merely looks so as well."""
    value = label_value(text)
    if not value or (value == text and not _LOOKS_SHORTENED.search(text)):
        return value
    return _hashed(value, text, LABEL_VALUE_MAX)


def label_key(text: str) -> str:
    """`text` as a label key: one `/` may stand between a prefix and a name, everything else is as in a value; may be empty."""
    prefix, slash, name = text.partition("/")
    if not slash or "/" in name or not label_value(prefix) or not label_value(name):
        return label_value(text)
    return f"{label_value(prefix)}/{label_value(name)}"


def dns_name(text: str) -> str:
    """`text` as a resource name: a DNS-1123 subdomain of at most 253. Errors: UserError if no letter or digit is in it."""
    cleaned = _NOT_IN_DNS.sub("-", text.lower().replace("/", "."))
    name = _joined_once(cleaned).strip("-.")
    if not name:
        raise UserError(f"the name {text!r} holds no letter or digit", hint="name it with a-z, 0-9, '-' and '.'")
    return _bounded(name, text, DNS_NAME_MAX)


def _joined_once(text: str) -> str:
    """Every run of dots and dashes that has a dot in it becomes one dot."""
    return _DOTS_AND_DASHES.sub(lambda run: "." if "." in run[0] else run[0], text)


def _bounded(name: str, original: str, max_length: int) -> str:
    if len(name) < max_length or (len(name) == max_length and not _LOOKS_SHORTENED.search(name)):
        return name
    return _hashed(name, original, max_length)


def _hashed(name: str, original: str, max_length: int) -> str:
    head = name[: max_length - _HASH_LENGTH - 1]
    if head.endswith("."):  # in a DNS name no dash follows a dot
        head = head[:-1] + "-"
    # A lone surrogate is no valid text, but neither is it a reason to fail here: whatever it was, it is hashed.
    digest = hashlib.sha256(original.encode(errors="surrogatepass")).digest()
    return f"{head}-{base64.b32encode(digest).decode()[:_HASH_LENGTH].lower()}"


def _split(name: str) -> list[str]:
    """The parts of a name, dashes no longer doubled. A dash at the very start belongs to the first part, as in Calico."""
    pieces = iter(name[1:].split("-"))
    parts = [name[:1] + next(pieces)]
    for piece in pieces:
        # Nothing between two dashes: they are one dash of the part that goes on behind them.
        if not piece and (following := next(pieces, None)) is not None:
            parts[-1] += f"-{following}"
        else:
            parts.append(piece)
    return parts


def _escaped(field: str, value: str) -> str:
    if not value:
        raise _bad_field(field, value, "is missing")
    if value.startswith("-") or value.endswith("-"):
        raise _bad_field(field, value, "begins or ends with '-'")
    return value.replace("-", "--")


def _base64(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _bad_field(field: str, value: str, problem: str) -> UserError:
    return UserError(f"workload endpoint: {field} {value!r} {problem}")


def _no_endpoint_name(name: str) -> UserError:
    hint = "it is NODE-ORCHESTRATOR-WORKLOAD-ENDPOINT, dashes in a part doubled"
    return UserError(f"{name!r} is no name of a workload endpoint", hint=hint)
