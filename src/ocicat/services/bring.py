"""Bringing a service up: started, waited for, closed to strangers where that is wanted.

The first members of a cluster cannot serve before a majority is there: that is told, with the names of those that are missing.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from ocicat.clock import Clock
from ocicat.errors import Refused, Unavailable
from ocicat.services import auth, health, running, words, zookeeper_config
from ocicat.services.network import Access, connect
from ocicat.services.spec import PEER_PORTS, Service

Outcome = Literal["serves", "waits for a majority"]

_POLL_S = 0.1
_CRASHES = 2  # restarts after which it is not going to serve
_STEADY_S = 2.0  # who ran this long has read its configuration
_REACH_S = 1.0
_SECURED_IN_S = 30.0


def wait(
    service: Service,
    clock: Clock,
    timeout_s: float,
    *,
    patient: bool = False,
    tell: Callable[[str], None] = lambda _: None,
    pause: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Until it serves. Refused: it ends again and again, or does not serve in time though a majority is there.

    `patient`: also until a majority is there, and `tell` hears who is missing whenever that changes.
    """
    began = clock.monotonic()
    restarts = running.look(service).restarts
    told: list[str] = []
    while True:
        seen = health.ask(service, service.member)
        if not seen.problem:
            return "serves"
        now = running.look(service)
        if now.restarts - restarts >= _CRASHES or (service.how == "supervised" and now.state == "stopped"):
            raise _failed(service, f"does not stay up: {now.last_exit or now.state}")
        waited_s = clock.monotonic() - began
        late = waited_s > timeout_s
        steady = late or (now.is_running and waited_s > _STEADY_S)
        missing = absent(service) if len(service.members) > 1 and steady else []
        if len(service.members) - len(missing) < service.quorum:
            if late or not patient:
                return "waits for a majority"
            if missing != told:
                tell(f"{service.service} {service.me} runs, and {short_of(service, missing)}")
                told = missing
        elif late:
            raise _failed(service, f"does not serve within {timeout_s:.0f} s: {seen.problem}")
        pause(_POLL_S)


def absent(service: Service) -> list[str]:
    """The members that do not run, by name: one that does listens before there is a majority."""
    others = [one for one in service.members if one.name != service.me]
    with ThreadPoolExecutor(max_workers=max(1, len(others))) as pool:  # a host that is off answers nothing at all
        reached = list(pool.map(lambda one: _is_reached(one.address, service), others))
    return [one.name for one, there in zip(others, reached, strict=True) if not there]


def short_of(service: Service, missing: Sequence[str]) -> str:
    """For people."""
    count = len(service.members)
    return (
        f"waits for a majority of its members: run the same command on {', '.join(missing)} "
        f"({count - len(missing)} of {count} run, {service.quorum} are needed)"
    )


def secure(service: Service, clock: Clock, pause: Callable[[float], None] = time.sleep) -> bool:
    """Only users with a password may write from now on. False: that is so already, or is not wanted."""
    ends = clock.monotonic() + _SECURED_IN_S
    while service.auth:
        try:
            return _secure(service)
        except Unavailable:  # another leader is being elected: what is done already stays so
            if clock.monotonic() > ends:
                raise
        pause(_POLL_S)
    return False


def _secure(service: Service) -> bool:
    if service.service == "etcd":
        return auth.secure_etcd(service, health.etcd(service, service.member, health.WORK_S))
    acl = importlib.import_module("ocicat.services.zookeeper_acl")  # kazoo is an extra
    return bool(acl.secure(service, auth.password(service, zookeeper_config.USER)))


def _is_reached(address: str, service: Service) -> bool:
    try:
        port = PEER_PORTS["etcd"][0] if service.service == "etcd" else service.client_port
        connect(address, port, Access(timeout_s=_REACH_S)).close()
    except Unavailable:
        return False
    return True


def _failed(service: Service, what: str) -> Refused:
    said = words.last_words(running.log_end(service))
    hint, cause = running.log_hint(service), words.cause(said)
    return Refused(
        f"{service.service} {what}" + (f"; its last words: {said}" if said else ""),
        hint=f"{cause}; {hint}" if cause else hint,
    )
