"""`ocicat kinds`: the kinds of resources."""

from __future__ import annotations

import click

from ocicat.cli.output import Format, format_option, show
from ocicat.model.base import Struct
from ocicat.model.v3.kinds import KINDS


class Shown(Struct, frozen=True):
    """What `ocicat kinds` prints, and its JSON."""

    kind: str
    plural: str
    aliases: tuple[str, ...]
    namespaced: bool


@click.command()
@format_option
def command(style: Format) -> None:
    """List the kinds of resources: what they are called, and whether they lie in a namespace.

    \b
    Example:
      ocicat kinds
    """
    show(
        style,
        [Shown(kind.name, kind.plural, kind.aliases, kind.namespaced) for kind in KINDS.values()],
        head=("kind", "plural", "aliases", "namespaced"),
        row=lambda one: (one.kind, one.plural, ",".join(one.aliases) or "-", "yes" if one.namespaced else "no"),
        name=lambda one: one.kind.lower(),
    )
