"""`ocicat agent`: the agent of this host, in the foreground."""

from __future__ import annotations

import asyncio
import logging

import click

from ocicat.agent.config import AgentConfig, Live
from ocicat.agent.settings import Made, agent_config
from ocicat.cli.configured import Read, agent_options, options_layer, read
from ocicat.cli.talk import say
from ocicat.errors import Misconfigured, NotFound, UserError
from ocicat.obs import logs
from ocicat.settings.layers import Layer
from ocicat.settings.resolve import changes
from ocicat.settings.secrets import masked
from ocicat.settings.setting import Fault
from ocicat.settings.values import plain_text

log = logging.getLogger("ocicat.agent")


class _Kept(click.Command):
    """Words that it does not know are settings too: its keeper is told that it is no use to try again."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise Misconfigured(error.format_message(), hint="see `ocicat agent --help`") from error


@click.command(cls=_Kept)
@agent_options
def command(config: str, **given: object) -> None:
    """Run the agent of this host: it gives containers their addresses, routes and policy.

    Every option can stand in the configuration file or in the environment instead (docs/configuration.md, `ocicat config`). On
    SIGHUP the file is read again, and what can change while the agent runs is taken over. The exit code is 78 where the settings
    cannot be used: it is no use to start it again before they are mended.

    \b
    Example:
      ocicat agent
      ocicat agent --host h1.example.com --address 10.0.0.11/24
      ocicat agent --host h1.example.com --address 10.0.0.11/24 --mesos-agent 10.1.0.11:5051
      ocicat agent --host h1.example.com --address 10.0.0.11/24 --docker-plugin
      ocicat agent --host h1.example.com --address 10.0.0.11/24 --dns 10.0.0.11 --mesos-master 10.0.0.1:5050
    """
    from ocicat.agent.daemon import run  # asyncio and the kernel only when really wanted

    options = options_layer(given)
    found, started = _read(config, options)
    logs.set_up(started.live.log_level or "info", started.live.log_style)
    for one in found.unknown:
        log.warning("%s", one.error())

    def reread() -> Live:
        again, wanted = _read(config, options)
        for one in again.unknown:
            log.warning("%s", one.error())
        _tell_waiting(found, again)
        return wanted.live

    asyncio.run(run(started, reread))


def _read(config: str, options: Layer) -> tuple[Read, AgentConfig]:
    """Misconfigured when anything is wrong; what else is wrong is said before."""
    try:
        found = read(config, options=options)
    except (NotFound, UserError) as error:
        raise Misconfigured(error.message, hint=error.hint) from error
    made = agent_config(found.resolved, found.path) if not found.faults else Made(None, found.faults)
    if made.config is None:
        for one in made.faults[:-1]:
            say(_without_option(one).message, hint=one.hint)
        raise _without_option(made.faults[-1])
    return found, made.config


def _without_option(fault: Fault) -> Misconfigured:
    """What stands on the command line is not told where it stands."""
    text = masked(fault.problem) if fault.where.startswith("--") else str(fault)
    return Misconfigured(text, hint=masked(fault.hint))


def _tell_waiting(started: Read, again: Read) -> None:
    for one in changes(started.resolved, again.resolved):
        if not one.setting.live:
            before, after = plain_text(one.before.value) or "nothing", plain_text(one.after.value) or "nothing"
            where = one.after.said.where or "by default"
            log.warning("%s is %s until the agent is started again; %s: %s", one.setting.key, before, where, after)
