"""`ocicat agent`: the agent of this host, in the foreground."""

from __future__ import annotations

import asyncio

import click

from ocicat.agent.config import DEFAULT_FLOW_LOG, DEFAULT_SOCKET, DEFAULT_STORE, AgentConfig
from ocicat.obs import logs


@click.command()
@click.option("--host", required=True, envvar="OCICAT_HOST", help="This host's name, as Mesos knows it.")
@click.option("--address", required=True, envvar="OCICAT_ADDRESS", help="Its own address and subnet: 10.0.0.11/24.")
@click.option("--store", default=DEFAULT_STORE, envvar="OCICAT_STORE", show_default=True, help="URL of the datastore.")
@click.option("--socket", default=str(DEFAULT_SOCKET), show_default=True, help="Where the CNI plugin finds this agent.")
@click.option(
    "--agent-port", type=int, multiple=True, default=(5051,), show_default=True, help="The Mesos agent's port(s)."
)
@click.option("--mtu", type=int, default=0, help="Of containers. [default: that of the interface that has --address]")
@click.option(
    "--flow-log",
    default=str(DEFAULT_FLOW_LOG),
    show_default=True,
    help="Where flows are written, while they are logged.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="What is less important is not logged.",
)
@click.option(
    "--log-style",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="For people or for collectors.",
)
def command(
    host: str,
    address: str,
    store: str,
    socket: str,
    agent_port: tuple[int, ...],
    mtu: int,
    flow_log: str,
    log_level: str,
    log_style: str,
) -> None:
    """Run the agent of this host: it gives containers their addresses, routes and policy.

    \b
    Example:
      ocicat agent --host h1.example.com --address 10.0.0.11/24
    """
    from ocicat.agent.daemon import run  # asyncio and the kernel only when really wanted

    logs.set_up(log_level, "json" if log_style == "json" else "text")
    config = AgentConfig(
        host=host, address=address, store=store, socket=socket, agent_ports=agent_port, mtu=mtu, flow_log=flow_log
    )
    asyncio.run(run(config))
