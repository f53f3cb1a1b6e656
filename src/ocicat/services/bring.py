"""Bringing a service up: started, waited for, closed to strangers where that is wanted.

The first members of a cluster cannot serve before a majority is there: they are left waiting for it, and that is told.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Literal

from ocicat.clock import Clock
from ocicat.errors import Refused, Unavailable
from ocicat.services import auth, health, running, zookeeper_config
from ocicat.services.network import Access, connect
from ocicat.services.spec import PEER_PORTS, Service

Outcome = Literal["serves", "waits for a majority"]

_POLL_S = 0.1
_CRASHES = 2  # restarts after which it is not going to serve
_STEADY_S = 2.0  # who ran this long has read its configuration
_REACH_S = 1.0
_SECURED_IN_S = 30.0


def wait(service: Service, clock: Clock, timeout_s: float, pause: Callable[[float], None] = time.sleep) -> Outcome:
    """Until it serves. Refused: it ends again and again, or does not serve in time though a majority is there."""
    began = clock.monotonic()
    restarts = running.look(service).restarts
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
        if len(service.members) > 1 and steady and present(service) < service.quorum:
            return "waits for a majority"
        if late:
            raise _failed(service, f"does not serve within {timeout_s:.0f} s: {seen.problem}")
        pause(_POLL_S)


def present(service: Service) -> int:
    """How many members run, this one included: where they listen before there is a majority."""
    return 1 + sum(_is_reached(one.address, service) for one in service.members if one.name != service.me)


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
    said = running.last_words(service).splitlines()
    return Refused(
        f"{service.service} {what}" + (f"; its last words: {said[-1]}" if said else ""), hint=running.log_hint(service)
    )
