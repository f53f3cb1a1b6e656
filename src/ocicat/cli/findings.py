"""What is wrong, printed: for people with what it breaks and how to mend it, for scripts as data."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from ocicat.changes.finding import Finding
from ocicat.cli.output import Format, show
from ocicat.cli.talk import say


def tell(found: Sequence[Finding], style: Format) -> None:
    """Exits with 1 when there is anything."""
    if style in ("table", "wide"):
        for one in found:
            click.echo(f"{one.about}: {one.problem}\n  so {one.breaks}\n  mend: {one.mend}")
    else:
        show(style, found, head=(), row=lambda _: (), name=lambda one: one.about)
    if found:
        sys.exit(1)
    say("nothing is wrong")
