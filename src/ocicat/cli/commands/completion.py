"""`ocicat completion`: what makes a shell complete ocicat's commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from ocicat.errors import Bug

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print what makes SHELL complete commands and options. The packages for Debian and Red Hat have it in place.

    \b
    Example:
      ocicat completion bash > /etc/bash_completion.d/ocicat
      ocicat completion zsh > /usr/local/share/zsh/site-functions/_ocicat
      ocicat completion fish > ~/.config/fish/completions/ocicat.fish
    """
    made = get_completion_class(shell)
    if made is None:
        raise Bug(f"click does not know {shell}")
    root = ctx.find_root()
    # Without asking the shell here for its version, as `source` would: this one need not be where the text is used.
    completer = made(root.command, {}, "ocicat", "_OCICAT_COMPLETE")
    click.echo(completer.source_template % completer.source_vars())
