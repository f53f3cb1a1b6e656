"""Tables for people, JSON and names for scripts: one way to print a list of records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

import click

from ocicat.model.codec import pretty_json

R = TypeVar("R")
Format = Literal["table", "json", "name"]

format_option = click.option(
    "-o", "--output", "style", type=click.Choice(["table", "json", "name"]), default="table", help="How to print."
)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns padded to their widest cell, two spaces apart, no trailing blanks."""
    lines = [[cell.upper() for cell in head], *[list(row) for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def show(
    style: Format,
    records: Sequence[R],
    *,
    head: Sequence[str],
    row: Callable[[R], Sequence[str]],
    name: Callable[[R], str],
) -> None:
    """Prints `records` on standard output in the style asked for; JSON is a list of the records as they are stored."""
    if style == "json":
        click.echo(pretty_json(records), nl=False)
    elif style == "name":
        for record in records:
            click.echo(name(record))
    else:
        click.echo(table(head, [row(record) for record in records]))
