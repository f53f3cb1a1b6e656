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

POLL_S = 0.1
ELECTED_IN_S = 15.0  # from the moment a majority is there
_CRASHES = 2  # restarts after which it is not going to serve
_STEADY_S = 2.0  # who ran this long has read its configuration
_REACH_S = 1.0
_ABSENT_EACH_S = 2.0  # so often the others are asked: each connection may be a line in their logs
_CLOSED_IN_S = 30.0


def wait(service: Service, clock: Clock, timeout_s: float, pause: Callable[[float], None] = time.sleep) -> Outcome:
    """Until it serves; other members are not waited for. Refused: as `Coming.look`."""
    coming = Coming(service, clock, timeout_s)
    while not (outcome := coming.look()):
        pause(POLL_S)
    return outcome


class Coming:
    """A service that was started, on its way to serving.

    `patient`: until a majority is there, too, and `tell` hears who is missing whenever that changes. `served` is called when it
    serves, and again while it raises Unavailable; it serves when that is done.
    """

    def __init__(
        self,
        service: Service,
        clock: Clock,
        timeout_s: float,
        *,
        patient: bool = False,
        tell: Callable[[str], None] = lambda _: None,
        served: Callable[[Service], None] = lambda _: None,
    ) -> None:
        self.service = service
        self.missing: list[str] | None = None  # members, by name; None before anybody was asked
        self._clock, self._timeout_s = clock, timeout_s
        self._patient, self._tell, self._served = patient, tell, served
        self._began = clock.monotonic()
        self._ends_s = timeout_s
        self._restarts = running.look(service).restarts
        self._asked_s = self._unclosed_s = -1.0

    def look(self) -> Outcome | None:
        """How it ended; None: not yet. Refused: it ends again and again, or does not serve in time though a majority is there."""
        service = self.service
        seen = health.ask(service, service.member)
        waited_s = self._clock.monotonic() - self._began
        if not seen.problem:
            return "serves" if self._is_closed(waited_s) else None
        now = running.look(service)
        if now.restarts - self._restarts >= _CRASHES or (service.how == "supervised" and now.state == "stopped"):
            raise _failed(service, f"does not stay up: {now.last_exit or now.state}")
        if len(service.members) > 1 and (waited_s > self._ends_s or (now.is_running and waited_s > _STEADY_S)):
            self._ask_others(waited_s)
        late = waited_s > self._ends_s
        if self._is_short():
            return "waits for a majority" if late or not self._patient else None
        if late:
            after = f", nor {ELECTED_IN_S:.0f} s after a majority came" if self._ends_s > self._timeout_s else ""
            raise _failed(service, f"does not serve within {self._timeout_s:g} s{after}: {seen.problem}")
        return None

    def _is_short(self) -> bool:
        return len(self.service.members) - len(self.missing or []) < self.service.quorum

    def _ask_others(self, waited_s: float) -> None:
        """At the end anew in each case. A majority that comes late gets the time to elect a leader, once."""
        if self.missing is not None and waited_s <= min(self._asked_s + _ABSENT_EACH_S, self._ends_s):
            return
        was, was_short = self.missing, self._is_short()
        self.missing, self._asked_s = absent(self.service), waited_s
        if was_short and not self._is_short():
            self._ends_s = min(max(self._ends_s, waited_s + ELECTED_IN_S), self._timeout_s + ELECTED_IN_S)
        if self._patient and self._is_short() and self.missing != was:
            self._tell(f"{self.service.service} {self.service.me} runs, and {short_of(self.service, self.missing)}")

    def _is_closed(self, waited_s: float) -> bool:
        try:
            self._served(self.service)
        except Unavailable:  # another leader is being elected: what is done already stays so
            if self._unclosed_s < 0:
                self._unclosed_s = waited_s
            if waited_s - self._unclosed_s > _CLOSED_IN_S:
                raise
            return False
        return True


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


def secure(service: Service) -> bool:
    """Only users with a password may write from now on. False: that is so already, or is not wanted. Unavailable: not now."""
    if not service.auth:
        return False
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
