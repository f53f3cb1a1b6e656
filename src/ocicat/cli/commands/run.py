"""`ocicat run`: a command as a Mesos task, with an address of its own when a network is named."""

from __future__ import annotations

import asyncio

import click

from ocicat.errors import OcicatError, UserError
from ocicat.mesos.framework import Framework
from ocicat.mesos.handle import TaskHandle
from ocicat.mesos.types import NetworkRequest, PortMapping, TaskSpec, TaskState, TaskStatus, problem_of

_PROTOCOLS = ("tcp", "udp", "sctp")


@click.command(context_settings={"allow_interspersed_args": False})  # what follows the first word of COMMAND is its own
@click.option("--master", envvar="OCICAT_MASTER", default="127.0.0.1:5050", show_default=True, help="The Mesos master.")
@click.option("--name", default="ocicat-run", show_default=True, help="Name of the task.")
@click.option("--network", help="Network to attach the task to. [default: the host's own network]")
@click.option("--group", "groups", multiple=True, help="Group the task belongs to; may be repeated.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Label of its endpoint; may be repeated.")
@click.option("--ip", "address", help="A particular address of the network's pools.")
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
@click.argument("command_line", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
def command(
    master: str,
    name: str,
    network: str | None,
    groups: tuple[str, ...],
    labels: tuple[str, ...],
    address: str | None,
    ports: tuple[str, ...],
    host: str,
    cpus: float,
    mem: float,
    timeout: float,
    detach: bool,
    command_line: tuple[str, ...],
) -> None:
    """Run COMMAND as a Mesos task and report its statuses until it ends; the exit code is 0 when the task finished.

    One word is given to /bin/sh; several are executed as they are.

    \b
    Examples:
      ocicat run --network ocicat --group web --label app=shop -- 'sleep 60'
      ocicat run --network ocicat --group public --publish 80:8080 -- python3 -m http.server 8080
    """
    spec = TaskSpec(
        name=name,
        command=command_line[0] if len(command_line) == 1 else command_line,
        cpus=cpus,
        mem_mb=mem,
        network=_network(network, groups, labels, address, ports),
        hostname=host,
    )
    if problem := problem_of(spec):
        raise UserError(f"task {name}: {problem}", hint="see `ocicat run --help`")
    asyncio.run(_run(master, spec, timeout, detach))


def _network(
    network: str | None,
    groups: tuple[str, ...],
    labels: tuple[str, ...],
    address: str | None,
    ports: tuple[str, ...],
) -> NetworkRequest | None:
    if network is None:
        if groups or labels or address or ports:
            raise UserError(
                "--group, --label, --ip and --publish say how to attach to a network", hint="name it: --network NAME"
            )
        return None
    return NetworkRequest(
        name=network,
        groups=groups,
        labels=dict(map(_label, labels)),
        ip_addresses=(address,) if address else (),
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
        hint = f"the agent has no configuration named {spec.network.name!r}: see --network_cni_config_dir of its Mesos agent"
        return OcicatError(error.message, hint=hint)
    return error


def _say(text: str) -> None:
    click.echo(text, err=True)
