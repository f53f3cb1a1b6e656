"""A long-running application, in our words: what one instance is, how many there are to be, and how they are looked after. PURE.

1. Two applications of the same `version` have the same instances: what differs can be changed without a restart.
2. `id` is absolute: "/shop/web".
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

from ocicat.mesos.types import TaskSpec
from ocicat.model.base import NODEFAULT, FieldInfo, Struct, fields
from ocicat.model.codec import decode_json, encode_json

_ID = re.compile(r"/[a-z0-9]([a-z0-9.-]*[a-z0-9])?(/[a-z0-9]([a-z0-9.-]*[a-z0-9])?)*")


class Check(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the framework itself asks an instance, over the instance's own address. `protocol`: "HTTP", "HTTPS" or "TCP".

    The port is `port`, or the one the instance got for entry `port_index` of its `host_ports`. `statuses` of HTTP are good: none
    given is 200 to 399. One that is asked `once` says that the instance is ready: it is asked until it succeeds, and never again.
    """

    protocol: str = "HTTP"
    path: str = "/"
    port: int = 0
    port_index: int = -1
    delay_s: float = 0.0  # before the first time
    grace_s: float = 300.0  # from the start, during which failures do not count until the first success
    interval_s: float = 60.0
    timeout_s: float = 20.0
    failures: int = 3  # in a row, after which the instance is ended; 0 is never
    ignore_1xx: bool = False
    ipv6: bool = False
    statuses: tuple[int, ...] = ()
    once: bool = False


class Upgrade(Struct, frozen=True, omit_defaults=True):
    """As parts of `instances`: how many must be healthy while instances are replaced, and how many more there may be."""

    minimum_healthy: float = 1.0
    maximum_over: float = 1.0


class Backoff(Struct, frozen=True, omit_defaults=True):
    """How long to wait before an instance is started again after failures, in seconds."""

    first_s: float = 1.0
    factor: float = 1.15
    longest_s: float = 300.0


class Application(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`spec` is that of each instance. `inactive_after_s`: how long one may be unreachable before another takes its place; None
    is for ever."""

    id: str
    spec: TaskSpec
    instances: int = 1
    checks: tuple[Check, ...] = ()
    upgrade: Upgrade = Upgrade()
    backoff: Backoff = Backoff()
    oldest_first: bool = False  # which instances go when there are too many
    inactive_after_s: float | None = 0.0
    dependencies: tuple[str, ...] = ()  # ids; all of them must be up before this one starts
    restarts: int = 0  # asked for; each makes another version of the same instances

    @property
    def version(self) -> str:
        return _version(encode_json(_Launched(self.spec, self.checks, self.restarts)))

    @property
    def checked(self) -> bool:
        """Whether an instance that runs may still be unhealthy."""
        return bool(self.checks or self.spec.health_check)


class _Launched(Struct, frozen=True):
    """What makes a version."""

    spec: TaskSpec
    checks: tuple[Check, ...] = ()
    restarts: int = 0


@lru_cache(maxsize=1024)
def _version(written: bytes) -> str:
    """As it is read again: 1 and 1.0 are the same."""
    return hashlib.sha256(encode_json(essence(decode_json(_Launched, written)))).hexdigest()[:10]


def essence(value: object) -> object:
    """`value` without what is as it always was: a field that later releases add changes nothing for who does not use it."""
    if isinstance(value, Struct):
        present = ((one, getattr(value, one.name)) for one in fields(value))
        return {one.name: essence(found) for one, found in present if found != _default(one)}
    return [essence(one) for one in value] if isinstance(value, tuple) else value


def _default(one: FieldInfo) -> object:
    return one.default if one.default_factory is NODEFAULT else one.default_factory()


def absolute(text: str, base: str) -> str:
    """The id that `text` means within the group `base`; "" when it means none. ".." is one group up."""
    parts: list[str] = [] if text.startswith("/") else [part for part in base.split("/") if part]
    for part in filter(None, text.split("/")):
        if part != "..":
            parts.append(part)
        elif parts:
            parts.pop()
    found = "/" + "/".join(parts)
    return found if _ID.fullmatch(found) else ""


def task_name(app_id: str) -> str:
    """As Marathon names tasks: "/shop/web" runs as "web.shop"."""
    return ".".join(reversed(app_id.strip("/").split("/")))
