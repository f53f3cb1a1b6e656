"""`ocicat agent`: the agent of this host, in the foreground."""

from __future__ import annotations

import asyncio

import click

from ocicat.agent.config import DEFAULT_FLOW_LOG, DEFAULT_SOCKET, DEFAULT_STORE, AgentConfig
from ocicat.agent.discovery.config import DEFAULT_TTL_S, DEFAULT_ZONE, REACHABLE, VISIBLE
from ocicat.agent.discovery.config import parse as parse_dns
from ocicat.agent.docker.config import DEFAULT_ENGINE, DEFAULT_PLUGIN
from ocicat.agent.docker.config import parse as parse_docker
from ocicat.obs import logs


@click.command()
@click.option("--host", required=True, envvar="OCICAT_HOST", help="This host's name, as Mesos knows it.")
@click.option("--address", required=True, envvar="OCICAT_ADDRESS", help="Its own address and subnet: 10.0.0.11/24.")
@click.option(
    "--address6", default="", envvar="OCICAT_ADDRESS6", help="The same of IPv6: 2001:db8::11/64. [default: none]"
)
@click.option("--store", default=DEFAULT_STORE, envvar="OCICAT_STORE", show_default=True, help="URL of the datastore.")
@click.option("--socket", default=str(DEFAULT_SOCKET), show_default=True, help="Where the CNI plugin finds this agent.")
@click.option(
    "--agent-port", type=int, multiple=True, default=(5051,), show_default=True, help="The Mesos agent's port(s)."
)
@click.option(
    "--mesos-agent",
    default="",
    envvar="OCICAT_MESOS_AGENT",
    help="Where this host's Mesos agent tells who lives in its containers; off: do not ask."
    " [default: --address, at the first --agent-port]",
)
@click.option(
    "--mesos-credential",
    default="",
    envvar="OCICAT_MESOS_CREDENTIAL",
    metavar="FILE",
    help="For a Mesos agent that asks who we are: NAME SECRET, or Mesos's own JSON.",
)
@click.option(
    "--docker-plugin",
    default="",
    is_flag=False,
    flag_value=str(DEFAULT_PLUGIN),
    envvar="OCICAT_DOCKER_PLUGIN",
    metavar="[SOCKET]",
    help="Serve Docker's engine as its network and address driver; the file's name is the driver's."
    f" [without a value: {DEFAULT_PLUGIN}; default: do not]",
)
@click.option(
    "--docker-engine",
    default=str(DEFAULT_ENGINE),
    envvar="OCICAT_DOCKER_ENGINE",
    show_default=True,
    help="Where Docker's engine tells the names of its networks and the labels of its containers.",
)
@click.option(
    "--dns",
    multiple=True,
    envvar="OCICAT_DNS",
    metavar="ADDRESS[:PORT]",
    help="Serve the names of Mesos tasks there; several times for several addresses of this host. [default: do not]",
)
@click.option(
    "--mesos-master",
    default="",
    envvar="OCICAT_MASTER",
    metavar="MASTER",
    help="With --dns: whose tasks have names: host:5050,... or zk://host:2181/mesos, or file://PATH.",
)
@click.option(
    "--dns-zone", default=DEFAULT_ZONE, envvar="OCICAT_DNS_ZONE", show_default=True, help="The domain of these names."
)
@click.option(
    "--dns-upstream",
    multiple=True,
    envvar="OCICAT_DNS_UPSTREAM",
    metavar="ADDRESS[:PORT]",
    help="Who knows other names, asked in this order. [default: nobody: other names are refused]",
)
@click.option(
    "--dns-only",
    multiple=True,
    type=click.Choice([REACHABLE, VISIBLE]),
    help="Tell askers only of tasks that policy lets them reach, or that are meant for them. [default: of all]",
)
@click.option(
    "--dns-ttl", type=int, default=DEFAULT_TTL_S, show_default=True, help="How many seconds answers may be kept."
)
@click.option("--dns-rfc952", is_flag=True, help="Names of 24 characters at most, that begin with a letter.")
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
    address6: str,
    store: str,
    socket: str,
    agent_port: tuple[int, ...],
    mesos_agent: str,
    mesos_credential: str,
    docker_plugin: str,
    docker_engine: str,
    dns: tuple[str, ...],
    mesos_master: str,
    dns_zone: str,
    dns_upstream: tuple[str, ...],
    dns_only: tuple[str, ...],
    dns_ttl: int,
    dns_rfc952: bool,
    mtu: int,
    flow_log: str,
    log_level: str,
    log_style: str,
) -> None:
    """Run the agent of this host: it gives containers their addresses, routes and policy.

    \b
    Example:
      ocicat agent --host h1.example.com --address 10.0.0.11/24
      ocicat agent --host h1.example.com --address 10.0.0.11/24 --mesos-agent 10.1.0.11:5051
      ocicat agent --host h1.example.com --address 10.0.0.11/24 --docker-plugin
      ocicat agent --host h1.example.com --address 10.0.0.11/24 --dns 10.0.0.11 --mesos-master 10.0.0.1:5050
    """
    from ocicat.agent.daemon import run  # asyncio and the kernel only when really wanted

    docker = parse_docker(docker_plugin, docker_engine)
    logs.set_up(log_level, "json" if log_style == "json" else "text")
    config = AgentConfig(
        host=host,
        address=address,
        address6=address6,
        store=store,
        socket=socket,
        agent_ports=agent_port,
        mesos_agent=mesos_agent,
        mesos_credential=mesos_credential,
        docker=docker,
        dns=parse_dns(
            dns, mesos_master, zone=dns_zone, ttl_s=dns_ttl, upstream=dns_upstream, only=dns_only, rfc952=dns_rfc952
        ),
        mtu=mtu,
        flow_log=flow_log,
    )
    asyncio.run(run(config))
