"""Arguments that the commands of `ocicat services` have in common."""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import click

from ocicat.cli.talk import say
from ocicat.clock import SystemClock
from ocicat.errors import NotFound, OcicatError, Unavailable, UserError
from ocicat.model.base import Struct
from ocicat.services import bring, network, setup
from ocicat.services.spec import SERVICES, Member, Service, ServiceName, check_name, own_member, parse_members

dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Print what would change, as a unified diff, and change nothing."
)
which_argument = click.argument(
    "which", metavar="zookeeper|etcd...", nargs=-1, required=True, type=click.Choice(SERVICES)
)
one_argument = click.argument("which", metavar="zookeeper|etcd", type=click.Choice(SERVICES))
some_argument = click.argument("which", metavar="[zookeeper|etcd...]", nargs=-1, type=click.Choice(SERVICES))


WAIT_S = 60.0
_Command = TypeVar("_Command", bound=Callable[..., object])


class Seconds(click.FloatRange):
    """From 0 on. A number that is none, or is endless, would have a loop wait for ever."""

    def __init__(self) -> None:
        super().__init__(0)

    def convert(self, value: float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = float(super().convert(value, param, ctx))
        if not math.isfinite(found):
            self.fail(f"{value!r} is no number of seconds.", param, ctx)
        return found


class Patience(Struct, frozen=True):
    """`seconds`: until all have to serve. `for_majority`: they wait for other members, too. `demanded`: else it is an error."""

    seconds: float = WAIT_S
    for_majority: bool = True
    demanded: bool = False


def patience_options(command: _Command) -> _Command:
    """--wait and --no-wait; see `patience`."""
    wait = click.option(
        "--wait",
        "wait_s",
        type=Seconds(),
        help="Seconds within which a majority has to be there, and serve: else the exit code is 4.  "
        f"[default: {WAIT_S:.0f}, and without a majority 0]",
    )
    no_wait = click.option("--no-wait", is_flag=True, help="Do not wait for other members.")
    return wait(no_wait(command))


def patience(wait_s: float | None, no_wait: bool) -> Patience:
    """UserError for both."""
    if no_wait and wait_s is not None:
        raise UserError("--wait and --no-wait: give one of them")
    return Patience(WAIT_S if wait_s is None else wait_s, not no_wait, wait_s is not None)


def await_all(services: Sequence[Service], asked: Patience, served: Callable[[Service], None]) -> None:
    """All of them, which run, at the same time. `served`: called for each as soon as it serves; see `bring.Coming`.

    What is wrong with one is an error when the others have come to an end, too. Unavailable: a majority was demanded, and is not
    there.
    """
    clock = SystemClock()
    errors: list[OcicatError] = []
    short: list[str] = []
    coming = [
        bring.Coming(one, clock, asked.seconds, patient=asked.for_majority, tell=say, served=served) for one in services
    ]
    while coming:
        for one in list(coming):
            try:
                outcome = one.look()
            except OcicatError as error:
                errors.append(error)
                coming.remove(one)
                continue
            if outcome == "waits for a majority":
                short.append(f"{one.service.service} {one.service.me} {bring.short_of(one.service, one.missing or [])}")
            if outcome:
                coming.remove(one)
        if coming:
            time.sleep(bring.POLL_S)
    for text in short:
        say(text)
    if short and asked.demanded:
        errors.append(
            Unavailable(
                f"no majority within {asked.seconds:g} s", hint="what runs goes on waiting: ocicat services health"
            )
        )
    for other in errors[1:]:
        say(str(other))
    if errors:
        raise errors[0]


def named(which: Sequence[str]) -> tuple[ServiceName, ...]:
    """Each once, ZooKeeper first."""
    return tuple(name for name in SERVICES if name in which)


def known(which: Sequence[str]) -> list[Service]:
    """Those asked for; all that are set up here when none is. NotFound when one is not, or none is."""
    if which:
        return [setup.load(name) for name in named(which)]
    found = [service for name in SERVICES if (service := setup.find(name))]
    if not found:
        raise NotFound("no service is set up on this host", hint="ocicat services up zookeeper etcd")
    return found


def members(text: str, name: str) -> tuple[tuple[Member, ...], str]:
    """The members, and which of them is this host."""
    host = socket.gethostname()
    found = parse_members(text) if text else (Member(check_name(name or host), "127.0.0.1"),)
    local = [one.address for one in found if network.is_local(one.address)]
    return found, own_member(found, given=name, host=host, local=local)


def need_root() -> None:
    if os.geteuid() != 0:
        raise UserError("services are set up and looked after by root", hint="run it with sudo")


def name_of(which: str) -> ServiceName:
    return cast("ServiceName", which)
