"""`ocicat node reload`: tell this host's agent, and no other process, to read its settings again."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import click

from ocicat.cli.defaults import agent_socket, shared
from ocicat.cli.talk import say
from ocicat.errors import NotFound, Refused
from ocicat.settings.arguments import is_agent
from ocicat.settings.reading import process, process_behind, takes


@click.command()
@click.option(
    "--socket",
    type=click.Path(path_type=Path),
    default=agent_socket,
    show_default=shared("agent.socket"),
    help="The agent's.",
)
def reload(socket: Path) -> None:
    """Tell the agent to read its configuration file again, whoever keeps it running, also in a container.

    What can change while it runs is in force at once; its log says what waits for a restart, and what is wrong
    (docs/configuration.md).

    \b
    Example:
      ocicat node reload
    """
    pid = process_behind(str(socket))
    if pid is None:
        raise NotFound(f"no agent serves {socket}", hint="start it: `ocicat node start`")
    found = process(pid)
    if found and not is_agent(found.words):
        raise Refused(f"{socket} belongs to process {pid}, which is no agent")
    if not takes(pid, signal.SIGHUP):
        say(f"the agent (process {pid}) has only just started, and reads its settings by itself")
        return
    try:
        os.kill(pid, signal.SIGHUP)
    except ProcessLookupError as error:
        raise NotFound(f"the agent (process {pid}) has just ended") from error
    except PermissionError as error:
        raise Refused(f"the agent (process {pid}) belongs to somebody else", hint="run it as root") from error
    say(f"the agent (process {pid}) reads its settings again: its log says what it takes over")
