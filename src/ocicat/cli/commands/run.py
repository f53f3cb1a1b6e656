"""`ocicat run`: a command as a Mesos task, with an address of its own when a network is named; or the applications of files."""

from __future__ import annotations

import asyncio

import click

from ocicat.cli.defaults import framework as configured_framework
from ocicat.cli.defaults import master_option, shared, store_url
from ocicat.cli.output import Format, format_option
from ocicat.errors import OcicatError, UserError
from ocicat.mesos.framework import Framework
from ocicat.mesos.handle import TaskHandle
from ocicat.mesos.types import NetworkRequest, PortMapping, TaskSpec, TaskState, TaskStatus, problem_of

_PROTOCOLS = ("tcp", "udp", "sctp")
_FOR_COMMANDS = {
    "name": "--name",
    "networks": "--network",
    "groups": "--group",
    "labels": "--label",
    "addresses": "--ip",
    "ports": "--publish",
    "host": "--host",
    "cpus": "--cpus",
    "mem": "--mem",
    "timeout": "--timeout",
}
_FOR_FILES = {
    "dry_run": "--dry-run",
    "default_network": "--default-network-name",
    "framework": "--framework",
    "store": "--store",
    "style": "--output",
}


@click.command(context_settings={"allow_interspersed_args": False})  # what follows the first word of COMMAND is its own
@master_option
@click.option("--name", default="ocicat-run", show_default=True, help="Name of the task.")
@click.option(
    "--network",
    "networks",
    multiple=True,
    help="Network to attach the task to; may be repeated, the options below are for the first. [default: the host's own]",
)
@click.option("--group", "groups", multiple=True, help="Group the task belongs to; may be repeated.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Label of its endpoint; may be repeated.")
@click.option("--ip", "addresses", multiple=True, help="A particular address of the network's pools; may be repeated.")
@click.option(
    "--publish",
    "ports",
    multiple=True,
    metavar="HOST:CONTAINER[/PROTOCOL]",
    help="Port of the host that leads to one of the task; may be repeated.",
)
@click.option("--host", default="", help="Only on the Mesos agent with this host name.")
@click.option("--cpus", type=float, default=0.1, show_default=True, help="Processors it needs.")
@click.option("--mem", type=float, default=32.0, show_default=True, help="Memory it needs, in MB.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=120.0,
    show_default=True,
    help="Seconds until it must be running.",
)
@click.option(
    "--detach", is_flag=True, help="Leave as soon as it runs; it is killed when nobody takes it over within a minute."
)
@click.option(
    "-f", "--filename", "files", multiple=True, metavar="FILE", help="Run the applications of FILE; - is stdin."
)
@click.option("--dry-run", is_flag=True, help="With -f: only say what would change.")
@click.option("--default-network-name", "default_network", default="", help="With -f: for networks that have no name.")
@click.option(
    "--framework",
    envvar="OCICAT_FRAMEWORK",
    default=configured_framework,
    show_default=shared("mesos.framework"),
    help="With -f: name of the framework that keeps them running.",
)
@click.option(
    "--store",
    default=store_url,
    envvar="OCICAT_STORE",
    show_default=shared("store.url"),
    help="With -f: the datastore.",
)
@format_option
@click.argument("command_line", nargs=-1, type=click.UNPROCESSED, metavar="-- COMMAND...")
@click.pass_context
def command(
    context: click.Context,
    master: str,
    name: str,
    networks: tuple[str, ...],
    groups: tuple[str, ...],
    labels: tuple[str, ...],
    addresses: tuple[str, ...],
    ports: tuple[str, ...],
    host: str,
    cpus: float,
    mem: float,
    timeout: float,
    detach: bool,
    files: tuple[str, ...],
    dry_run: bool,
    default_network: str,
    framework: str,
    store: str,
    style: Format,
    command_line: tuple[str, ...],
) -> None:
    """Run COMMAND as a Mesos task and report its statuses until it ends; the exit code is 0 when the task finished.

    One word is given to /bin/sh; several are executed as they are.

    With -f: define the applications that files in Marathon's form describe (JSON or YAML; one, a list or a group), and keep them
    running until interrupted; their instances go on then. With --detach it ends at once, and leaves that to another process
    (`ocicat app run`). `ocicat app` shows, scales and ends them.

    \b
    Examples:
      ocicat run --network ocicat --group web --label app=shop -- 'sleep 60'
      ocicat run --network ocicat --group public --publish 80:8080 -- python3 -m http.server 8080
      ocicat run -f web.json --dry-run
      ocicat run -f web.json
    """
    if files or not command_line:
        from ocicat.cli.applications import Chosen, run_applications  # much that a single task does not need

        _applications(context, files, command_line)
        chosen = Chosen(files, dry_run, detach, style, default_network)
        run_applications(master, framework, store, chosen)
        return
    _without_files(context)
    spec = TaskSpec(
        name=name,
        command=command_line[0] if len(command_line) == 1 else command_line,
        cpus=cpus,
        mem_mb=mem,
        network=_network(networks, groups, labels, addresses, ports),
        further_networks=tuple(map(NetworkRequest, networks[1:])),
        hostname=host,
    )
    if problem := problem_of(spec):
        raise UserError(f"task {name}: {problem}", hint="see `ocicat run --help`")
    asyncio.run(_run(master, spec, timeout, detach))


def _applications(context: click.Context, files: tuple[str, ...], command_line: tuple[str, ...]) -> None:
    """`-f` and what describes a single command exclude each other."""
    if not files:
        raise click.UsageError("Missing argument '-- COMMAND...', or -f FILE.", ctx=context)
    given = _given(context, _FOR_COMMANDS)
    if command_line or given:
        raise UserError(f"{given[0] if given else 'COMMAND'} is not for -f", hint="the file says what is run")


def _without_files(context: click.Context) -> None:
    if given := _given(context, _FOR_FILES):
        raise UserError(f"{given[0]} is for -f", hint="name a file of applications")


def _given(context: click.Context, names: dict[str, str]) -> list[str]:
    """Those options that were given on the command line."""
    line = click.core.ParameterSource.COMMANDLINE
    return [option for name, option in names.items() if context.get_parameter_source(name) == line]


def _network(
    networks: tuple[str, ...],
    groups: tuple[str, ...],
    labels: tuple[str, ...],
    addresses: tuple[str, ...],
    ports: tuple[str, ...],
) -> NetworkRequest | None:
    if not networks:
        if groups or labels or addresses or ports:
            raise UserError(
                "--group, --label, --ip and --publish say how to attach to a network", hint="name it: --network NAME"
            )
        return None
    return NetworkRequest(
        name=networks[0],
        groups=groups,
        labels=dict(map(_label, labels)),
        ip_addresses=addresses,
        port_mappings=tuple(map(_port, ports)),
    )


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise UserError(f"--label {text!r} is not KEY=VALUE", hint="for example --label app=shop")
    return key, value


def _port(text: str) -> PortMapping:
    host, colon, rest = text.partition(":")
    port, slash, protocol = rest.partition("/")
    if not (colon and _is_number(host) and _is_number(port)) or (slash and protocol not in _PROTOCOLS):
        hint = f"for example --publish 8080:80 or 53:53/udp; protocols: {', '.join(_PROTOCOLS)}"
        raise UserError(f"--publish {text!r} is not HOST:CONTAINER or HOST:CONTAINER/PROTOCOL", hint=hint)
    return PortMapping(int(host), int(port), protocol or "tcp")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5


async def _run(master: str, spec: TaskSpec, timeout_s: float, detach: bool) -> None:
    async with Framework.connect(master, name="ocicat run", leave_running=detach, report=_say) as framework:
        task = await framework.launch(spec)
        try:
            running = await task.wait(TaskState.RUNNING, timeout_s=timeout_s)
        except OcicatError as error:
            raise _explained(error, spec) from error
        _say(f"{task.task_id} runs on {task.hostname}")
        click.echo(" ".join(running.ip_addresses))
        if not detach:
            await _watch(task)


async def _watch(task: TaskHandle) -> None:
    status: TaskStatus = await task.wait_ended()
    _say(f"{task.task_id} {status.state.short}{': ' + status.message if status.message else ''}")
    if status.state != TaskState.FINISHED:
        raise OcicatError(f"task {task.task_id} ended as {status.state.short}: {status.message or 'no reason given'}")


def _explained(error: OcicatError, spec: TaskSpec) -> OcicatError:
    """Mesos's words, and what to do where we know it."""
    if spec.network is not None and "unknown CNI network" in str(error).replace("Unknown", "unknown"):
        missing = next((one.name for one in spec.networks if f"'{one.name}'" in str(error)), spec.network.name)
        hint = f"the agent has no configuration named {missing!r}: see --network_cni_config_dir of its Mesos agent"
        return OcicatError(error.message, hint=hint)
    return error


def _say(text: str) -> None:
    click.echo(text, err=True)
