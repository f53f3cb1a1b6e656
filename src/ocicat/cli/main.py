"""The `ocicat` command: finds the sub-command, loads only that one, and turns errors of ours into a line and an exit code."""

from __future__ import annotations

import errno
import importlib
import sys

import click
from click.shell_completion import CompletionItem

from ocicat import __version__
from ocicat.agent import hangup
from ocicat.cli.talk import say
from ocicat.errors import OcicatError

OUTPUT_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO)  # what writing the result may end with; all else is a defect
COMMANDS = {
    "agent": "the agent of one host: addresses, routes and policy for its containers",
    "app": "applications that are kept running: list them, scale, restart, end them",
    "apply": "make resources what files say, all or nothing",
    "completion": "complete commands and options in a shell",
    "config": "settings: all there are, what is in force and who says so, what is wrong",
    "counters": "how many new flows each rule has decided on this host",
    "create": "create resources from files",
    "delete": "delete resources, by name or as files name them",
    "dns": "names of tasks: what they are, and what a server says of them",
    "endpoints": "the containers' interfaces: host, address, profiles",
    "explain": "the fields of a kind: types, defaults, rules",
    "flows": "who began to talk to whom, and which rules decided",
    "host": "this host: what is wrong with it before it joins a cluster, and what mends that",
    "get": "show resources, once or as they change",
    "kinds": "the kinds of resources",
    "lab": "a cluster of network namespaces with the real Mesos, to try and to test",
    "label": "set or remove labels of a resource",
    "mesos": "this host's Mesos agent: make it use ocicat, find what is wrong",
    "node": "this host's agent, kept running by Docker, systemd or ocicat itself: start, stop, ask it, reload",
    "patch": "change some fields of a resource",
    "pki": "certificates for the core services and their clients: issue, renew, check",
    "pool": "pools of addresses",
    "replace": "replace resources that exist",
    "run": "run a command as a Mesos task with its own address, or applications that files define",
    "services": "ZooKeeper and etcd: set up on their hosts, looked after, saved, upgraded",
    "store": "the datastore: make it ready, its state, copies of it, its lock",
    "translate": "what other frameworks send to Mesos for what they are given: the networks they ask for",
    "validate": "check files, without a datastore",
}


class LazyGroup(click.Group):
    """Lists its commands from `COMMANDS`, imports a command's module only when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"ocicat.cli.commands.{cmd_name}").command
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """From the table: to import every command takes longer than a person waits for a tab."""
        names = [CompletionItem(name, help=COMMANDS[name]) for name in sorted(COMMANDS) if name.startswith(incomplete)]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name]) for name in self.list_commands(ctx)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ocicat")
def cli() -> None:
    """IP-per-container networking with network policy for Apache Mesos."""


def main() -> None:
    """Entry point: never a traceback for an error that has words of ours."""
    if sys.argv[1:2] == ["agent"]:
        hangup.remember()
    try:
        cli(prog_name="ocicat", standalone_mode=False)
    except click.exceptions.Exit as ending:
        sys.exit(ending.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except OcicatError as error:
        say(error.message, hint=error.hint)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone; so do we
        sys.exit(1)
    except OSError as error:
        if error.errno not in OUTPUT_ERRORS:
            raise
        say(f"standard output: {error.strerror}")
        sys.stdout = None  # or the interpreter would try, and fail, to flush it again
        sys.exit(1)
