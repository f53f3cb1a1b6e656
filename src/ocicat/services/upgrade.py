"""Another program for one member, with its data: only while the others carry the cluster without it, and back when it fails.

Source: etcd's upgrade guide: one minor version at a time, one member after the other, never back across one.
"""

from __future__ import annotations

import re
import subprocess

from ocicat.clock import Clock
from ocicat.errors import Refused, UserError
from ocicat.model.base import Struct, replace
from ocicat.services import auth, bring, health, running, setup, tls
from ocicat.services.health import LAG_ENTRIES, Facts, MemberHealth
from ocicat.services.spec import Service

Version = tuple[int, int, int]

_VERSION = re.compile(r"etcd Version:\s*(\d+)\.(\d+)\.(\d+)")
_LONGEST_S = 120.0
_MEND = (
    "mend that first; ocicat services up, as it was said before, puts a renewed certificate in place of one that ended"
)


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
    """Refused: there is a quorum, and it would be lost. Where there is none, nothing is. Pure."""
    service = facts.service
    voters = [one for one in health.serving(facts) if one.role != "learner"]
    fit = [one for one in voters if one.member != service.me and one.lag <= LAG_ENTRIES]
    if len(fit) < service.quorum <= len(voters):
        others = [one for one in facts.members if one.member != service.me and one not in fit]
        raise Refused(
            f"{service.service} would lose its quorum without {service.me}: {'; '.join(map(_unfit, others))}",
            hint="bring those up first, see ocicat services health; "
            f"ocicat services stop {service.service} --force stops it nevertheless",
        )


def _unfit(one: MemberHealth) -> str:
    if one.problem:
        return f"{one.member}: {one.problem}"
    return f"{one.member} has no vote" if one.role == "learner" else f"{one.member} is {one.lag} entries behind"


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
    """Of the program that would be started. Refused: it cannot be run.

    None for ZooKeeper, whose program is java, and for an image that is not on this host yet: nothing is fetched.
    """
    if service.service != "etcd" or not running.has_image(service):
        return None
    line = [service.program, "--version"]
    if service.how == "docker":
        line = [
            "docker",
            "run",
            "--rm",
            "--pull=never",
            "--network=none",
            "--entrypoint=etcd",
            service.image,
            "--version",
        ]
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
    """Refused for what must not be done, or could not. `force`: an interruption of a service with one member is accepted."""
    setup.check_tls(new)
    setup.changes(new)
    facts = check_others(old)
    if len(old.members) == 1 and not force:
        raise Refused(
            f"{old.service} has one member: it serves nobody while it is restarted", hint="--force if that is accepted"
        )
    check_version(check_serves(facts), new)
    return facts


def check_version(own: MemberHealth, new: Service) -> None:
    """Refused: the data of that member is not for that program."""
    version = version_of(new)
    if version and not may_follow(parse_version(own.version), version):
        raise Refused(
            f"etcd {own.version} cannot be followed by {'.'.join(map(str, version))}",
            hint="go up one minor version at a time, and never down: the data may not be readable then",
        )


def check_serves(facts: Facts) -> MemberHealth:
    """This host's member. Refused: nothing would show whether another program does as well. Pure."""
    service = facts.service
    own = next(one for one in facts.members if one.member == service.me)
    if own.problem:
        raise Refused(f"{service.service} {service.me} does not serve: {own.problem}", hint=_MEND)
    if len(health.serving(facts)) < service.quorum:
        raise Refused(f"{service.service} has no quorum: nobody can write", hint=_MEND)
    return own


def upgrade(old: Service, new: Service, facts: Facts, clock: Clock, wait_s: float) -> Upgraded:
    """This host's member, which leads no more. Refused: the new program does not serve, and the old one is back."""
    before = next(one for one in facts.members if one.member == old.me)
    handed = _hand_over(old, facts) if before.role == "leader" else ""
    certificate = tls.placed(old)
    try:
        _exchange(new, clock, wait_s)
    except Refused as error:
        raise Refused(f"{error.message}; {_way_back(old, certificate, clock, wait_s)}", hint=error.hint) from error
    after = health.ask(new, new.member)
    if after.id != before.id:
        raise Refused(
            f"{new.service} {new.me} has lost its data: it is another member now", hint="ocicat services health"
        )
    return Upgraded(before.version, after.version, handed)


def _way_back(old: Service, certificate: tls.Files, clock: Clock, wait_s: float) -> str:
    """What became of it, in words."""
    try:
        _exchange(old, clock, wait_s, certificate)
    except Refused as error:
        return f"and the former program does not serve either: {error.message}"
    return "the former program is back"


def _exchange(service: Service, clock: Clock, wait_s: float, certificate: tls.Files = ()) -> None:
    """It is started whatever happens: with half of the files it may serve, and stopped it does not."""
    running.stop(service)
    try:
        setup.install(service, certificate)
    finally:
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
