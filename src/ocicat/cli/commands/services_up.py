"""`ocicat services up` and `down`: a service set up on this host, and what was there before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import click

from ocicat.changes import record
from ocicat.cli.services_options import (
    Patience,
    await_all,
    dry_run_option,
    known,
    members,
    named,
    need_root,
    patience,
    patience_options,
    which_argument,
)
from ocicat.cli.talk import say
from ocicat.errors import Refused, UserError
from ocicat.model.base import replace
from ocicat.services import auth, bring, data, health, network, packages, running, setup, upgrade
from ocicat.services import tls as tls_files
from ocicat.services.etcd_config import store_url
from ocicat.services.setup import Asked
from ocicat.services.spec import CLIENT_PORTS, HEAP_MB, Service
from ocicat.services.zookeeper_config import mesos_url


@click.command()
@which_argument
@click.option(
    "--members", "text", default="", help="All of them: h1=10.0.0.1,h2=10.0.0.2,h3=10.0.0.3 [default: this host alone]"
)
@click.option("--name", default="", help="Which of the members is this host. [default: by its addresses or name]")
@click.option(
    "--with",
    "by",
    type=click.Choice(["native", "docker"]),
    help="The distribution's programs, under systemd where it runs; or containers. [default: as it is, else native]",
)
@click.option(
    "--tls", default="", metavar="DIRECTORY", help="Talk TLS, with the certificate that ocicat pki issue put there."
)
@click.option("--secure-only", is_flag=True, help="ZooKeeper: no plain port for clients. Mesos itself needs it.")
@click.option("--auth", "with_auth", is_flag=True, help="Ask for users and passwords; see docs/services.md.")
@click.option("--user", default="", help="As whom it runs. [default: as it is, else etcd, zookeeper]")
@click.option(
    "--data", "directory", default="", help="Its data. [default: as it is, else /var/lib/ocicat-etcd, -zookeeper]"
)
@click.option("--program", default="", help="etcd, or java, of one's own. [default: as it is, else the distribution's]")
@click.option("--image", default="", help="With docker: the image. [default: as it is, else the project's]")
@click.option("--heap-mb", type=click.IntRange(32), help=f"Of ZooKeeper. [default: as it is, else {HEAP_MB}]")
@click.option("--install", is_flag=True, help="Have apt-get install what is missing, and make the user.")
@patience_options
@dry_run_option
def up(
    which: tuple[str, ...],
    text: str,
    name: str,
    by: Literal["native", "docker"] | None,
    tls: str,
    secure_only: bool,
    with_auth: bool,
    user: str,
    directory: str,
    program: str,
    image: str,
    heap_mb: int | None,
    install: bool,
    wait_s: float | None,
    no_wait: bool,
    dry_run: bool,
) -> None:
    """Set up ZooKeeper or etcd on this host, start it, and wait until it serves.

    The same command on each member's host makes a cluster. Run again it changes what has to be changed, and nothing else.
    A member serves when a majority runs: who is missing is told meanwhile, and what runs goes on waiting afterwards.

    \b
    Examples:
      ocicat services up zookeeper etcd --dry-run
      ocicat services up zookeeper etcd --members h1=10.0.0.1,h2=10.0.0.2,h3=10.0.0.3
      ocicat services up etcd --members h1=10.0.0.1,h2=10.0.0.2,h3=10.0.0.3 --tls /etc/ocicat/tls/h1 --auth
    """
    need_root()
    asked = patience(wait_s, no_wait)
    if len(which) > 1 and (user or directory or program or image):
        raise UserError("--user, --data, --program and --image are of one service", hint="bring up one after the other")
    found, me = members(text, name)
    wanted = [
        setup.planned(
            Asked(
                service=one,
                members=found,
                me=me,
                by=by or "",
                user=user,
                program=program,
                image=image,
                data=directory,
                tls=tls,
                secure_only=secure_only,
                auth=with_auth,
                heap_mb=heap_mb or 0,
            )
        )
        for one in named(which)
    ]
    for service in wanted:
        setup.check_asked(service)
    for service in wanted:
        if install and not dry_run:
            _install(service)
        setup.check_host(service)
        if not dry_run:
            running.fetch_image(service, say)
        elif not running.has_image(service):
            say(f"would fetch {service.image} first; whether its version may follow is seen then")
        _check_restart(service)
        _check_version(service)
    if dry_run:
        for service in wanted:
            _show(service)
    else:
        _bring_all(wanted, asked)


@click.command()
@which_argument
@click.option("--purge", is_flag=True, help="Remove its data, its log and its passwords too.")
@click.option("--force", is_flag=True, help="Though the others cannot go on without it.")
@dry_run_option
def down(which: tuple[str, ...], purge: bool, force: bool, dry_run: bool) -> None:
    """Stop a service of this host and take back what `up` has done, except for what somebody has edited since.

    Data stays unless it is purged; packages that were installed stay. Refused when the others could not go on without it.
    Nothing is purged while a file that somebody has edited is left: run it again then.

    \b
    Examples:
      ocicat services down etcd --dry-run
      ocicat services down zookeeper etcd --purge --force
    """
    need_root()
    left: list[str] = []
    found = known(which)
    for service in found:
        if not (force or dry_run):
            _check_others(service)
    for service in found:
        if dry_run:
            planned, edited = setup.removals(service.service)
            click.echo(record.diff(planned), nl=False)
            if purge:
                say(f"would remove {', '.join(map(str, data.everything(service)))}")
        else:
            edited = _take_down(service, purge=purge)
        left += edited
    if left:
        raise Refused(
            f"edited since it was set up, and left as it is: {', '.join(left)}",
            hint="put back what was written, or remove it, and run it again"
            + (": nothing is purged before" if purge else ""),
        )


def _install(service: Service) -> None:
    if lacking := packages.wanted(service):
        packages.install(lacking, say)
    if service.how != "docker":
        packages.make_user(service.user, service.data, say)


def _show(service: Service) -> None:
    click.echo(record.diff(setup.changes(service)), nl=False)
    for file in auth.missing(service):
        say(f"would make a password: {file}")
    say(f"would start {service.service} as member {service.me}, {_how(service)}, with its data in {service.data}")


def _is_fresh(service: Service) -> bool:
    return bool(setup.changes(service)) or tls_files.is_stale(service)


def _check_restart(service: Service) -> None:
    """Refused: it runs and has to be restarted, and the others could not go on without it."""
    was = setup.find(service.service)
    if was and _is_fresh(service) and running.look(was).is_running:
        upgrade.check_others(was)


def _check_version(service: Service) -> None:
    """Refused: another program, and the data is not for it. Also of a service that does not run, or was taken down."""
    was = setup.former(service.service, service.data)
    if not was or (service.how, service.program, service.image) == (was.how, was.program, was.image):
        return
    if service.service != "etcd" or not data.holds_something(service):
        return
    own = health.ask(was, was.member)
    if not own.version:
        try:
            former = upgrade.version_of(was)
        except Refused as error:
            say(f"{error.message}: whether {service.program} may follow it is not known")
            return
        own = replace(own, version=".".join(map(str, former or ())))
    if own.version:
        upgrade.check_version(own, service)


def _bring(service: Service) -> None:
    was, fresh = setup.find(service.service), _is_fresh(service)
    if was and fresh and running.look(was).is_running:
        say(f"{service.service} is restarted, because its configuration or certificate changes")
    if was and fresh:  # also what does not run: as a unit, or a container, it would come back
        running.stop(was)
    for file in auth.make_passwords(service):
        say(f"made a password: {file}; copy it to the hosts of the other members")
    for change in setup.install(service):
        click.echo(change.path)
    if fresh or not running.look(service).is_running:
        running.stop(service)
        running.start(service)


def _bring_all(wanted: Sequence[Service], asked: Patience) -> None:
    """Whatever fails, or is broken off: of what was started it is said, in the order asked for, how it is and where."""
    started: list[Service] = []
    serving: list[Service] = []

    def served(service: Service) -> None:
        if bring.secure(service):
            say(f"{service.service} {service.me}: users and passwords are asked for from now on")
        serving.append(service)

    try:
        for service in wanted:
            _bring(service)
            started.append(service)
        await_all(wanted, asked, served)
    finally:
        for service in started:
            if service in serving:
                say(f"{service.service} {service.me} serves, {_how(service)}")
            elif service.auth:
                say(
                    f"{service.service} {service.me}: --auth is not in force yet, unless it was before: "
                    "run the same command again when it serves"
                )
            _warn(service)
            click.echo(store_url(service) if service.service == "etcd" else mesos_url(service))


def _warn(service: Service) -> None:
    """Of a port that others reach, and that asks nobody who he is. A workload may be among them."""
    plain = not service.tls if service.service == "etcd" else not service.secure_only
    if plain and not service.auth and not network.is_loopback(service.member.address):
        what = "what ocicat enforces" if service.service == "etcd" else "which master leads"
        port = CLIENT_PORTS[service.service]
        say(
            f"{service.service}: whoever reaches port {port} of {service.member.address}, workloads too, may change {what}; "
            "see --auth and --tls"
        )


def _how(service: Service) -> str:
    return {
        "systemd": f"under systemd as {service.unit}",
        "supervised": "under a supervisor of its own: this host runs no systemd",
        "docker": f"in the container {service.unit}",
    }[service.how]


def _check_others(service: Service) -> None:
    try:
        upgrade.check_others(service)
    except Refused as error:
        raise Refused(error.message, hint="--force if that is accepted; ocicat services health") from error


def _take_down(service: Service, *, purge: bool) -> list[str]:
    """The paths that are left. What `up` was told goes last: by it the rest is found when this is cut off and run again."""
    running.stop(service)
    _, edited = setup.removals(service.service)
    if purge and not edited:
        for path in setup.purge(service):
            click.echo(path)
    planned, edited = setup.uninstall(service)
    for change in planned:
        click.echo(change.path)
    if service.how == "systemd":
        running.forget()
    if purge and not edited:
        setup.tidy(service)
    elif Path(service.data).exists():
        say(f"its data stays in {service.data}; --purge removes it")
    return edited
