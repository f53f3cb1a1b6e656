"""Another program for one member, with its data: only while the others carry the cluster without it, and back when it fails.

Source: etcd's upgrade guide: one minor version at a time, one member after the other, never back across one.
"""

from __future__ import annotations

import re
import subprocess

from ocicat.clock import Clock
from ocicat.errors import Refused, UserError
from ocicat.model.base import Struct, replace
from ocicat.services import auth, bring, health, running, setup
from ocicat.services.health import LAG_ENTRIES, Facts
from ocicat.services.spec import Service

Version = tuple[int, int, int]

_VERSION = re.compile(r"etcd Version:\s*(\d+)\.(\d+)\.(\d+)")
_LONGEST_S = 120.0


class Upgraded(Struct, frozen=True):
    before: str
    after: str
    handed_to: str  # the member that leads instead; empty when nobody had to


def check_others(service: Service) -> Facts:
    """Refused: the cluster could not go on without this host's member. One that is alone has nobody to ask."""
    facts = health.look(service)
    if len(service.members) > 1:
        check_quorum(facts)
    return facts


def check_stop(service: Service) -> None:
    """Refused: nobody is served while it is stopped."""
    if len(service.members) == 1:
        raise Refused(f"{service.service} has one member: nobody is served while it is stopped", hint="--force")
    check_others(service)


def check_quorum(facts: Facts) -> None:
    """Refused: see `check_others`. Pure."""
    service = facts.service
    others = [one for one in health.serving(facts) if one.member != service.me]
    fit = [one for one in others if one.lag <= LAG_ENTRIES and one.role != "learner"]
    if len(fit) < service.quorum:
        gone = [f"{one.member}: {one.problem}" for one in facts.members if one.member != service.me and one.problem]
        late = [f"{one.member} is {one.lag} entries behind" for one in others if one not in fit]
        raise Refused(
            f"{service.service} would lose its quorum without {service.me}: {'; '.join(gone + late)}",
            hint="bring those up first; ocicat services health",
        )


def may_follow(old: Version, new: Version) -> bool:
    """Of etcd. Pure."""
    return new[0] == old[0] and new[1] - old[1] in (0, 1) and (new[1] > old[1] or new >= old)


def parse_version(text: str) -> Version:
    """`3.4.23`. UserError."""
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", text)
    if not found:
        raise UserError(f"{text!r} is no version")
    return int(found[1]), int(found[2]), int(found[3])


def version_of(service: Service) -> Version | None:
    """Of the program that would be started; None for ZooKeeper, whose program is java. Refused: it cannot be run."""
    if service.service != "etcd":
        return None
    line = [service.program, "--version"]
    if service.how == "docker":
        line = ["docker", "run", "--rm", "--network=none", "--entrypoint=etcd", service.image, "--version"]
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=_LONGEST_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refused(f"{line[0]} cannot be run: {error}") from error
    found = _VERSION.search(done.stdout)
    if not found:
        raise Refused(f"{' '.join(line)} does not tell etcd's version: {(done.stderr or done.stdout).strip()[:200]}")
    return int(found[1]), int(found[2]), int(found[3])


def planned(service: Service, program: str, image: str) -> Service:
    """What it is to become; with neither the same, to be restarted with what is installed now. UserError."""
    if image and service.how != "docker":
        raise UserError("--image: this service runs without containers", hint="give --program")
    if program and service.how == "docker":
        raise UserError("--program: this service runs in a container", hint="give --image")
    return replace(service, program=program or service.program, image=image or service.image)


def check(old: Service, new: Service, *, force: bool) -> Facts:
    """Refused for what must not be done. `force`: an interruption of a service with one member is accepted."""
    facts = check_others(old)
    if len(old.members) == 1 and not force:
        raise Refused(
            f"{old.service} has one member: it serves nobody while it is restarted", hint="--force if that is accepted"
        )
    own = next(one for one in facts.members if one.member == old.me)
    if own.problem:
        raise Refused(f"{old.service} {old.me} does not serve: {own.problem}", hint="mend that first")
    version = version_of(new)
    if version and not may_follow(parse_version(own.version), version):
        raise Refused(
            f"etcd {own.version} cannot be followed by {'.'.join(map(str, version))}",
            hint="go up one minor version at a time, and never down: the data may not be readable then",
        )
    return facts


def upgrade(old: Service, new: Service, facts: Facts, clock: Clock, wait_s: float) -> Upgraded:
    """This host's member, which leads no more. Refused: the new program does not serve, and the old one is back."""
    before = next(one for one in facts.members if one.member == old.me)
    handed = _hand_over(old, facts) if before.role == "leader" else ""
    try:
        _exchange(new, clock, wait_s)
    except Refused as error:
        _exchange(old, clock, wait_s)
        raise Refused(f"{error.message}; the former program is back", hint=error.hint) from error
    after = health.ask(new, new.member)
    if after.id != before.id:
        raise Refused(
            f"{new.service} {new.me} has lost its data: it is another member now", hint="ocicat services health"
        )
    return Upgraded(before.version, after.version, handed)


def _exchange(service: Service, clock: Clock, wait_s: float) -> None:
    running.stop(service)
    setup.install(service)
    running.start(service)
    if bring.wait(service, clock, wait_s) != "serves":
        raise Refused(f"{service.service} {service.me} finds no majority", hint="ocicat services health")


def _hand_over(service: Service, facts: Facts) -> str:
    """To the member that is furthest; ZooKeeper elects by itself."""
    others = [one for one in health.serving(facts) if one.member != service.me and one.id]
    if not others:
        return ""
    chosen = max(others, key=lambda one: one.at)
    member = health.etcd(service, service.member, health.WORK_S)
    auth.log_in(service, member)
    member.move_leader(chosen.id)
    return chosen.member
