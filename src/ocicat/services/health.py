"""How a cluster does: every member asked, what is wrong with it and with this host's part, as findings.

The judgement is pure: facts in, findings out. A member that does not answer hides nothing of the others.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ocicat.changes.finding import Finding
from ocicat.errors import OcicatError, UserError
from ocicat.model.base import Struct, replace
from ocicat.services import auth, zookeeper_api
from ocicat.services.etcd_api import Alarm, Etcd
from ocicat.services.etcd_config import QUOTA_BYTES
from ocicat.services.network import REFUSED, access
from ocicat.services.pki import findings as certificates
from ocicat.services.pki.authority import AUTHORITY, CERTIFICATE
from ocicat.services.spec import CLIENT_PORTS, Member, Service

T = TypeVar("T")

LAG_ENTRIES = 5000  # of the log; a member that is behind this far is not keeping up
FULL = 0.8  # of the quota, or of a disk
LEAST_FREE_BYTES = 1 << 30
ANSWER_S = 5.0  # to a question about itself; more for what it has to work for
WORK_S = 60.0
LEADERS = ("leader", "standalone")


class MemberHealth(Struct, frozen=True, kw_only=True):
    """`at`: how far its log is applied; `lag`: entries behind the first of them. `problem`: why it told nothing else."""

    member: str
    endpoint: str
    role: str = "-"
    version: str = ""
    cluster: str = ""
    id: str = ""
    at: int = 0
    lag: int = 0
    size_bytes: int = 0
    remarks: tuple[str, ...] = ()
    problem: str = ""


class Facts(Struct, frozen=True, kw_only=True):
    """`free_bytes`, `disk_bytes`: of the file system with the data of this host. `certificates`: found wrong with ours."""

    service: Service
    members: tuple[MemberHealth, ...]
    alarms: tuple[Alarm, ...] = ()
    free_bytes: int = 0
    disk_bytes: int = 0
    certificate_days: int | None = None
    certificates: tuple[Finding, ...] = ()


class Health(Struct, frozen=True, kw_only=True):
    """What `services health` prints."""

    service: str
    is_healthy: bool
    leader: str
    cluster: str
    members: tuple[MemberHealth, ...]
    disk_free_bytes: int
    certificate_days: int | None
    findings: tuple[Finding, ...]


def look(service: Service) -> Facts:
    """Ask everybody at once."""
    with ThreadPoolExecutor(max_workers=len(service.members)) as pool:
        found = list(pool.map(lambda one: ask(service, one), service.members))
    first = max((one.at for one in found), default=0)
    disk = _disk(Path(service.data))
    days, wrong = _certificate(service)
    return Facts(
        service=service,
        members=tuple(one if one.problem else replace(one, lag=first - one.at) for one in found),
        alarms=_first_answer(service, found, lambda member: member.alarms(), ()),
        free_bytes=disk[1],
        disk_bytes=disk[0],
        certificate_days=days,
        certificates=wrong,
    )


def ask(service: Service, member: Member) -> MemberHealth:
    """One member. Never an error: it is in `problem`."""
    endpoint = service.endpoint(member)
    try:
        return (_ask_etcd if service.service == "etcd" else _ask_zookeeper)(service, member)
    except OcicatError as error:
        return MemberHealth(member=member.name, endpoint=endpoint, problem=error.message.removeprefix(f"{endpoint}: "))


def judge(facts: Facts) -> Health:
    found = (*_of_members(facts), *_of_cluster(facts), *_of_host(facts))
    leader = next((one.member for one in facts.members if one.role in LEADERS), "")
    return Health(
        service=facts.service.service,
        is_healthy=not found,
        leader=leader,
        cluster=next((one.cluster for one in facts.members if one.cluster), ""),
        members=facts.members,
        disk_free_bytes=facts.free_bytes,
        certificate_days=facts.certificate_days,
        findings=found,
    )


def serving(facts: Facts) -> list[MemberHealth]:
    """Who answers, and takes part."""
    return [one for one in facts.members if not one.problem]


def etcd(service: Service, member: Member, timeout_s: float = ANSWER_S) -> Etcd:
    return Etcd(member.address, CLIENT_PORTS["etcd"], replace(access(service), timeout_s=timeout_s))


def _ask_etcd(service: Service, member: Member) -> MemberHealth:
    status = etcd(service, member).status()
    problem = "has no leader" if status.leader == "0" else ""
    return MemberHealth(
        member=member.name,
        endpoint=service.endpoint(member),
        role="leader" if status.is_leader else "learner" if status.is_learner else "follower",
        version=status.version,
        cluster=status.header.cluster_id,
        id=status.header.member_id,
        at=status.applied,
        size_bytes=int(status.size),
        remarks=status.errors,
        problem=problem,
    )


def _ask_zookeeper(service: Service, member: Member) -> MemberHealth:
    status = zookeeper_api.status(member.address, service.client_port, access(service))
    return MemberHealth(
        member=member.name,
        endpoint=service.endpoint(member),
        role=status.role,
        version=status.version,
        at=status.zxid & 0xFFFFFFFF,  # its upper half counts leaders
        size_bytes=status.size_bytes,
    )


def _first_answer(service: Service, members: Sequence[MemberHealth], ask_it: Callable[[Etcd], T], otherwise: T) -> T:
    """Of etcd's members, the first that answers."""
    if service.service != "etcd":
        return otherwise
    for one in members:
        if not one.problem:
            member = etcd(service, next(each for each in service.members if each.name == one.member))
            try:
                auth.log_in(service, member)
                return ask_it(member)
            except OcicatError:
                continue
    return otherwise


def _disk(directory: Path) -> tuple[int, int]:
    """Total and free; nothing of a directory that is not there."""
    try:
        usage = shutil.disk_usage(directory)
    except OSError:
        return 0, 0
    return usage.total, usage.free


def _certificate(service: Service) -> tuple[int | None, tuple[Finding, ...]]:
    if not service.tls:
        return None, ()
    now = time.time()
    try:
        seen = certificates.look(service.me, Path(service.tls_directory))
    except UserError as error:
        return None, (certificates.unreadable(service.me, error),)
    wrong = certificates.findings(seen, now, certificates.SOON_DAYS, [service.member.address])
    return int(seen.days_left(now)), tuple(wrong)


def _of_members(facts: Facts) -> Iterator[Finding]:
    service = facts.service
    for one in facts.members:
        if one.problem:
            yield Finding(
                about="member",
                problem=f"{service.service} {one.member}: {one.problem}",
                breaks=_left_over(service, len(serving(facts))),
                mend=_mend(service, one),
            )
        elif one.lag > LAG_ENTRIES:
            yield Finding(
                about="lag",
                problem=f"{service.service} {one.member} is {one.lag} entries behind",
                breaks="who asks it is told what was true before; it is of no use when another member fails",
                mend=f"look at the disk and the network of {one.member}",
            )
        for remark in one.remarks:
            problem = f"{service.service} {one.member}: {remark}"
            yield Finding("remark", problem, "etcd itself calls this an error", f"look at the log on {one.member}")


def _mend(service: Service, one: MemberHealth) -> str:
    if one.problem.startswith(REFUSED):
        files = f"{service.tls_file(AUTHORITY)} {service.tls_file(CERTIFICATE)}"
        return f"compare on this host and on {one.member}: ocicat pki show {files}"
    return f"on {one.member}: ocicat services status {service.service}"


def _left_over(service: Service, serve: int) -> str:
    spare = serve - service.quorum
    if spare < 0:
        return f"nobody can write: {serve} of {len(service.members)} members serve, {service.quorum} are needed"
    return (
        f"the cluster goes on, and bears the loss of {spare} more"
        if spare
        else "the cluster goes on, and bears no further loss"
    )


def _of_cluster(facts: Facts) -> Iterator[Finding]:
    service, present = facts.service, serving(facts)
    leaders = [one.member for one in present if one.role in LEADERS]
    if present and not leaders and len(present) >= service.quorum:
        yield Finding(
            "leader",
            f"{service.service} has no leader",
            "nobody can write",
            "wait for the election; then look at the logs",
        )
    clusters = {one.cluster for one in present if one.cluster}
    if len(clusters) > 1 or (service.service == "zookeeper" and len(leaders) > 1):
        yield Finding(
            about="cluster",
            problem=f"the members of {service.service} belong to different clusters",
            breaks="what one is told, the others never hear of",
            mend="take down the one that was set up anew, with --purge, and up again with the others' --members",
        )
    for alarm in facts.alarms:
        yield Finding(
            about="alarm",
            problem=f"etcd has raised {alarm.alarm} for member {int(alarm.member_id):x}",
            breaks="etcd takes no writes" if alarm.alarm == "NOSPACE" else "this member's data cannot be trusted",
            mend=(
                "ocicat store compact, etcdctl defrag, then etcdctl alarm disarm"
                if alarm.alarm == "NOSPACE"
                else "take that member down with --purge and replace it"
            ),
        )


def _of_host(facts: Facts) -> Iterator[Finding]:
    service = facts.service
    yield from facts.certificates
    largest = max((one.size_bytes for one in facts.members), default=0)
    if service.service == "etcd" and largest > FULL * QUOTA_BYTES:
        yield Finding(
            about="size",
            problem=f"etcd's database has {largest >> 20} of {QUOTA_BYTES >> 20} MiB",
            breaks="when it is full etcd takes no writes",
            mend="ocicat store compact, then etcdctl defrag, one member after the other",
        )
    if facts.disk_bytes and facts.free_bytes < min(LEAST_FREE_BYTES, (1 - FULL) * facts.disk_bytes):
        yield Finding(
            about="disk",
            problem=f"{facts.free_bytes >> 20} MiB are left on the disk of {service.data}",
            breaks="a full disk ends the member",
            mend="make room, or move the data to a disk of its own",
        )
