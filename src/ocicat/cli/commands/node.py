"""`ocicat node`: the agent of this host, kept running by Docker, systemd or a supervisor of ours."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import click

from ocicat import __version__
from ocicat.cli.commands.node_reload import reload
from ocicat.cli.defaults import agent_socket, shared
from ocicat.cli.output import Format, format_option, show
from ocicat.cli.talk import say
from ocicat.errors import Misconfigured, NotFound, OcicatError, Refused, Unavailable, UserError
from ocicat.node import asking, container, docker, engine, native, places, systemd
from ocicat.node.container import NAME, Asked, Plan
from ocicat.node.view import HEAD, NodeStatus, row, view
from ocicat.settings import table
from ocicat.settings.resolve import Resolved
from ocicat.settings.setting import DEFAULT_FILE, FILE_VARIABLE

OWNER = "node start"
KINDS = ("docker", "systemd", "native")
Kind = Literal["docker", "systemd", "native"]
_PROGRAM = "/usr/bin/ocicat"

_kind = click.option("--with", "kind", type=click.Choice(KINDS), default=None, help="Who keeps the agent running.")
_name = click.option("--name", default=NAME, show_default=True, help="Of the container.")
_socket = click.option(
    "--socket",
    type=click.Path(path_type=Path),
    default=agent_socket,
    show_default=shared("agent.socket"),
    help="The agent's.",
)
_dry_run = click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")


@click.group()
def command() -> None:
    """This host's agent as something that is kept running: in a container, by systemd, or by a supervisor of ours.

    \b
    Examples:
      ocicat node start --with docker --image ocicat:0.1.0
      ocicat node status
    """


command.add_command(reload)


@command.command()
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--with",
    "kind",
    type=click.Choice(KINDS),
    default=None,
    help="[default: systemd where its unit is installed, else native]",
)
@click.option("--image", default=f"ocicat:{__version__}", show_default=True, help="With docker: the agent's image.")
@click.option(
    "--volume",
    multiple=True,
    metavar="HOST:CONTAINER",
    help="With docker: a further folder or file that the agent needs.",
)
@_name
@click.option(
    "--patience",
    type=click.FloatRange(min=1),
    default=60.0,
    show_default=True,
    help="Seconds until the agent must serve.",
)
@_dry_run
def start(
    arguments: tuple[str, ...],
    kind: Kind | None,
    image: str,
    volume: tuple[str, ...],
    name: str,
    patience: float,
    dry_run: bool,
) -> None:
    """Start the agent, or replace it by what is asked for now; containers keep their network meanwhile.

    ARGUMENTS, after `--`, are those of `ocicat agent`; what is not said there is read from /etc/ocicat/ocicat.toml. Asking for
    what runs already changes nothing. A new agent that does not serve in time is taken back, and the one before it runs again.

    \b
    Examples:
      ocicat node start --with docker --image ocicat:0.1.0 --dry-run
      ocicat node start --with native -- --host h1.example.com --address 10.0.0.11/24
    """
    _check_root(dry_run)
    told = _told(arguments)
    socket = Path(told.text("agent.socket"))
    chosen = kind or ("systemd" if systemd.unit() else "native")
    keeper = _keeper(name)
    if keeper not in (None, chosen):
        raise Refused(
            f"this host's agent is kept by {keeper} already", hint=f"stop it first: `ocicat node stop --with {keeper}`"
        )
    if keeper is None and asking.runs(socket):
        raise Refused(f"{_who(socket)} runs on this host already", hint="end it first: whoever started it")
    _drop_variables()
    match chosen:
        case "docker":
            volumes = (*places.volumes(places.named(told), os.path.isfile), *volume)
            named = str(socket) if told.of("agent.socket").said.origin == "option" else ""
            asked = container.check(Asked(image, arguments, volumes, name, named))
            _start_docker(asked, socket, patience, dry_run=dry_run)
        case "systemd":
            _start_systemd(arguments, socket, patience, dry_run=dry_run)
        case _:
            _start_native(arguments, socket, patience, dry_run=dry_run)


@command.command()
@_kind
@_name
@_socket
@click.option(
    "--purge", is_flag=True, help="Also remove what it has made in the kernel: containers lose their network."
)
@_dry_run
def stop(kind: Kind | None, name: str, socket: Path, purge: bool, dry_run: bool) -> None:
    """Stop the agent and do not keep it any more. Containers keep their network and their policy; new ones wait for an agent.

    With --purge nothing of the agent is left but its datastore and its configuration: no interface, route or rule in the kernel, no
    socket. The image is yours to remove.

    \b
    Examples:
      ocicat node stop
      ocicat node stop --purge --dry-run
    """
    _check_root(dry_run)
    keeper = _keeper(name)
    if kind and keeper not in (None, kind):
        raise Refused(f"this host's agent is kept by {keeper}", hint=f"`ocicat node stop --with {keeper}`")
    if keeper is None and asking.runs(socket):
        raise Refused(f"{_who(socket)} is kept by nobody that we know", hint="end it yourself: whoever started it")
    # A unit may be enabled and not run; of the two others nothing is there then.
    chosen = keeper or ("systemd" if kind == "systemd" else None)
    steps = [*_stopping(chosen, name), *(_purging(socket) if purge else [])]
    if not steps:
        say("there is nothing to stop")
    for text, step in steps:
        if dry_run:
            click.echo(text)
        else:
            step()
            say(text)


@command.command()
@_name
@_socket
@format_option
def status(name: str, socket: Path, style: Format) -> None:
    """Ask the agent how it is. The exit code is 1 where none serves, or where something is wrong with it.

    \b
    Examples:
      ocicat node status
      ocicat node status -o json
    """
    found = _view(name, socket)
    show(style, [found], head=HEAD, row=row, name=lambda each: each.state)
    if found.state != "well":
        if style in ("table", "wide"):
            say(found.problem)
        sys.exit(1)


@command.command()
@_kind
@_name
@click.option("--follow", "-f", is_flag=True, help="Go on as more is written.")
@click.option("--lines", type=click.IntRange(min=0), default=100, show_default=True, help="So many of the last ones.")
def logs(kind: Kind | None, name: str, follow: bool, lines: int) -> None:
    """Print what the agent has written to its log.

    \b
    Example:
      ocicat node logs --follow
    """
    match kind or _keeper(name):
        case "docker":
            engine.replace_by(["logs", "--tail", str(lines), *(["--follow"] if follow else []), name])
        case "systemd":
            systemd.logs(follow=follow, lines=lines)
        case None if systemd.logged_at() > native.logged_at():  # it is kept by nobody just now: of the last time
            systemd.logs(follow=follow, lines=lines)
        case _:
            native.logs(follow=follow, lines=lines)


def _told(arguments: tuple[str, ...]) -> Resolved:
    """What the agent will go by, of what stands on this host. UserError, also for options that an agent has not got."""
    from ocicat.cli.commands.agent import command as agent  # as much as the agent itself, and only here
    from ocicat.cli.configured import options_layer, read
    from ocicat.settings.layers import Layer

    try:
        context = agent.make_context("agent", [*arguments])
    except Misconfigured as error:
        raise UserError(error.message, hint=error.hint) from error
    config = str(context.params.pop("config") or DEFAULT_FILE)
    return read(config, variables=Layer(), options=options_layer(context.params)).resolved


# --- start ------------------------------------------------------------------------------------------------------


def _start_docker(asked: Asked, socket: Path, patience_s: float, *, dry_run: bool) -> None:
    if dry_run:
        foreseen = _foreseen(asked)
        for step in foreseen.steps:
            click.echo(shlex.join([engine.PROGRAM, *step]))
        for step in foreseen.after:  # a comment: a shell that is given all of this does not wait for the agent
            click.echo(f"# when it serves: {shlex.join([engine.PROGRAM, *step])}")
        return
    docker.pull(asked.image)
    what = docker.planned(asked)
    if not (what.steps or what.after) and asking.runs(socket):
        say("it runs as asked for: nothing to change")
        return
    serving = docker.carry_out(asked, what, socket, patience_s, say)
    say(f"the agent of {serving.host} serves, version {serving.version}, in container {asked.name}")


def _foreseen(asked: Asked) -> Plan:
    """Where the engine cannot be asked, as if nothing was there: what is printed may be for another host."""
    try:
        return docker.planned(asked)
    except (NotFound, Unavailable) as error:
        say(f"{error.message}: this is for a host without a container of ours")
        return container.plan(asked, "", {})


def _start_systemd(arguments: Sequence[str], socket: Path, patience_s: float, *, dry_run: bool) -> None:
    from ocicat.changes import record
    from ocicat.changes.files import Item, Tree

    before = systemd.check()
    tree = Tree(Path("/"), OWNER)
    known, items = record.load(tree), systemd.wanted(_PROGRAM, arguments)
    if dry_run:
        click.echo(record.diff(record.changes(tree, known, items), tree), nl=False)
        return
    changed = bool(record.install(tree, known, items))
    try:
        systemd.start(changed=changed)
        serving = asking.until_it_serves(socket, systemd.ended, patience_s)
    except OcicatError as error:
        for line in systemd.last_lines():
            say(line)
        if known.entries:
            record.install(tree, record.load(tree), [Item(entry.path, entry.after) for entry in known.entries])
        else:
            record.uninstall(tree, record.load(tree))
        systemd.back(before)
        if before.running:
            raise _taken_back(error) from error
        raise Refused(error.message, hint=error.hint) from error
    say(f"the agent of {serving.host} serves, version {serving.version}, as {systemd.UNIT}")


def _start_native(arguments: Sequence[str], socket: Path, patience_s: float, *, dry_run: bool) -> None:
    wanted, now = native.job(arguments), native.sight()
    if now and now.job == wanted and not now.run.given_up:
        say("it runs as asked for: nothing to change")
        return
    if dry_run:
        click.echo(shlex.join(wanted.argv))
        return
    try:
        native.start(wanted)
        serving = asking.until_it_serves(socket, native.ended, patience_s)
    except OcicatError as error:
        for line in native.last_lines():
            say(line)
        native.stop()
        if now:
            native.start(now.job)
            if not now.run.given_up:
                raise _taken_back(error) from error
        raise Refused(error.message, hint=error.hint) from error
    say(f"the agent of {serving.host} serves, version {serving.version}; its log is {native.LOG}")


def _taken_back(error: OcicatError) -> Refused:
    return Refused(f"{error.message}; the one before it runs again", hint=error.hint)


# --- stop -------------------------------------------------------------------------------------------------------

Step = tuple[str, Callable[[], Any]]


def _stopping(kind: Kind | None, name: str) -> list[Step]:
    match kind:
        case "docker":
            return [(f"stop and remove container {name}", lambda: docker.stop(name))]
        case "systemd":
            return [(f"stop and disable {systemd.UNIT}", _stop_systemd)]
        case "native":
            return [("stop the agent and its supervisor", native.stop)]
    return []


def _stop_systemd() -> None:
    from ocicat.changes import record
    from ocicat.changes.files import Tree

    tree = Tree(Path("/"), OWNER)
    planned, edited = record.uninstall(tree, record.load(tree))
    systemd.stop(reload=bool(planned))
    if edited:
        say(f"edited since it was installed, and left as it is: {', '.join(edited)}")


def _purging(socket: Path) -> list[Step]:
    lock = socket.with_name(socket.name + ".lock")
    left = [each for each in (socket, lock, native.DIRECTORY, socket.parent) if each.exists()]
    return [
        (
            "remove tables inet ocicat and netdev ocicat, the containers' interfaces and the routes to them",
            lambda: _clean(socket),
        ),
        *((f"remove {each}", lambda each=each: _remove(each)) for each in left),
    ]


def _clean(socket: Path) -> None:
    """Refused under an agent that lives: it would lose its containers' network, and then the lock that keeps a second one away."""
    from ocicat.agent.identity import INTERFACE_PREFIX
    from ocicat.dataplane.api import DataplaneConfig
    from ocicat.dataplane.apply import cleanup

    if asking.runs(socket):
        raise Refused(f"{_who(socket)} runs: nothing of it is removed", hint="`ocicat node status` says who keeps it")
    cleanup(DataplaneConfig(interface_prefix=INTERFACE_PREFIX))


def _remove(path: Path) -> None:
    """A directory only when nobody else has anything in it."""
    if path.is_dir():
        with suppress(OSError):
            path.rmdir()
    else:
        path.unlink(missing_ok=True)


# --- looks ------------------------------------------------------------------------------------------------------


def _keeper(name: str) -> Kind | None:
    """Who keeps the agent of this host running now, whether or not it serves."""
    if native.sight():
        return "native"
    unit = systemd.unit()
    if unit and unit.running:
        return "systemd"
    try:
        return "docker" if engine.container(name) or engine.container(container.former(name)) else None
    except OcicatError:  # no Docker here, or none that runs
        return None


def _view(name: str, socket: Path) -> NodeStatus:
    keeper = _keeper(name)
    try:
        return view(keeper, asking.ask(socket), "")
    except OcicatError as error:
        if asking.runs(socket):
            return view(keeper, None, "the agent has not come so far that it serves")
        failed = systemd.failed() if keeper is None else ""
        why = failed or (_ended(keeper, name) if keeper else "")
        return view("systemd" if failed else keeper, None, f"{error.message}: {why}" if why else error.message)


def _ended(keeper: Kind, name: str) -> str:
    """How the agent has ended that is kept there; "" where it has not, or that cannot be told."""
    try:
        match keeper:
            case "docker":
                return docker.ended(name)
            case "systemd":
                return systemd.ended()
            case _:
                return native.ended()
    except OcicatError:
        return ""


def _who(socket: Path) -> str:
    try:
        found = asking.ask(socket)
    except OcicatError:
        return "an agent, which does not answer,"
    return f"an agent (version {found.version}, process {found.pid})"


def _check_root(dry_run: bool) -> None:
    if os.geteuid() != 0 and not dry_run:
        raise UserError("only root may start and stop the agent", hint="run it as root, or with --dry-run")


def _drop_variables() -> None:
    """They are this command's, and not those of what runs after it, whoever keeps that."""
    ours = {
        setting.variable for setting in table.SETTINGS if setting.key != "agent.host_root"
    }  # that is the image's own
    given = sorted(os.environ.keys() & {FILE_VARIABLE, *ours, *table.FELIX_VARIABLES})
    if given:
        say(
            f"the agent does not see the variables of this command: {', '.join(given)}",
            hint="write what they say to /etc/ocicat/ocicat.toml, or after `--`",
        )
    for name in given:
        del os.environ[name]
