"""`ocicat services status` and `health`: this host's part, and the whole cluster's."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from ocicat.cli.output import Format, format_option, show, table
from ocicat.cli.services_options import Seconds, known, some_argument
from ocicat.cli.talk import say
from ocicat.errors import Refused
from ocicat.model.base import Struct
from ocicat.services import data, running
from ocicat.services import health as checks
from ocicat.services.health import Health, MemberHealth
from ocicat.services.running import Running
from ocicat.services.spec import Service

_POLL_S = 0.5


class Local(Struct, frozen=True, kw_only=True):
    """What `status` prints of a service of this host."""

    service: str
    member: str
    how: str
    state: str
    pid: int
    since: str
    restarts: int
    last_exit: str
    version: str
    role: str
    endpoint: str
    data: str
    size_bytes: int
    problem: str


@click.command()
@some_argument
@format_option
def status(which: tuple[str, ...], style: Format) -> None:
    """Whether this host's services run, since when, how often they were started again, and where their data is.

    The exit code is 1 when one of them does not run.

    \b
    Example:
      ocicat services status
    """
    found = [_local(service) for service in known(which)]
    head = ("service", "member", "state", "pid", "since", "restarts", "version", "role", "data", "size")
    show(style, found, head=head, row=_row, name=lambda one: one.service)
    for one in found:
        if one.problem:
            say(f"{one.service}: {one.problem}")
    if not all(one.pid for one in found):
        sys.exit(1)


@click.command()
@some_argument
@click.option("--wait", "wait_s", type=Seconds(), default=0.0, help="Seconds to wait until all is well.")
@format_option
def health(which: tuple[str, ...], wait_s: float, style: Format) -> None:
    """Ask every member of the clusters that this host belongs to, and say what is wrong. The exit code is 1 when something is.

    Looked at: members, leader, how far each is, alarms, sizes, the cluster they belong to, certificates, room on the disk.

    \b
    Examples:
      ocicat services health
      ocicat services health etcd -o json
      ocicat services health --wait 60
    """
    services, ends = known(which), time.monotonic() + wait_s
    while True:
        found = [checks.judge(checks.look(service)) for service in services]
        if all(one.is_healthy for one in found) or time.monotonic() >= ends:
            break
        time.sleep(_POLL_S)
    if style in ("table", "wide"):
        click.echo("\n\n".join(_text(one) for one in found))
    else:
        show(style, found, head=(), row=lambda _: (), name=lambda one: one.service)
    if not all(one.is_healthy for one in found):
        sys.exit(1)


def _local(service: Service) -> Local:
    now = _running(service)
    seen = checks.ask(service, service.member)
    return Local(
        service=service.service,
        member=service.me,
        how=service.how,
        state=now.state,
        pid=now.pid,
        since=datetime.fromtimestamp(now.since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if now.since else "",
        restarts=now.restarts,
        last_exit=now.last_exit,
        version=seen.version,
        role=seen.role,
        endpoint=seen.endpoint,
        data=service.data,
        size_bytes=data.size_bytes(Path(service.data)),
        problem=seen.problem,
    )


def _running(service: Service) -> Running:
    """An engine that does not answer hides nothing of the other services."""
    try:
        return running.look(service)
    except Refused as error:
        return Running(is_running=False, state=f"unknown: {error.message}")


def _row(one: Local) -> tuple[str, ...]:
    since = one.since or "-"
    pid = str(one.pid) if one.pid else "-"
    shown = (one.service, one.member, one.state, pid, since, str(one.restarts), one.version or "-", one.role)
    return (*shown, one.data, _size(one.size_bytes))


def _text(one: Health) -> str:
    lines = [f"{one.service}: {'healthy' if one.is_healthy else 'NOT healthy'}, leader {one.leader or '-'}"]
    if one.certificate_days is not None:
        lines[0] += f", certificate for {one.certificate_days} days"
    lines[0] += f", {_size(one.disk_free_bytes)} left on the disk"
    head = ("member", "endpoint", "role", "version", "lag", "size", "problem")
    lines.append(table(head, [_member(each) for each in one.members]))
    lines += [f"{each.about}: {each.problem}\n  so {each.breaks}\n  mend: {each.mend}" for each in one.findings]
    return "\n".join(lines)


def _member(one: MemberHealth) -> tuple[str, ...]:
    if one.problem:
        return (one.member, one.endpoint, one.role, one.version or "-", "-", "-", one.problem)
    return (one.member, one.endpoint, one.role, one.version, str(one.lag), _size(one.size_bytes), "-")


def _size(size_bytes: int) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size_bytes < 10 << 10:
            return f"{size_bytes} {unit}"
        size_bytes >>= 10
    return f"{size_bytes} GiB"
