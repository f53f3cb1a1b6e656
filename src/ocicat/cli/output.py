"""Tables for people, JSON, YAML and names for scripts: how records of ours are printed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

import click

from ocicat.model.codec import decode_json, encode_json, pretty_json

R = TypeVar("R")
Format = Literal["table", "wide", "json", "yaml", "name"]

format_option = click.option(
    "-o",
    "--output",
    "style",
    type=click.Choice(["table", "wide", "json", "yaml", "name"]),
    default="table",
    show_default=True,
    help="How to print.",
)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns padded to their widest cell, two spaces apart, no trailing blanks."""
    lines = [[cell.upper() for cell in head], *[list(row) for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(aligned(line, widths) for line in lines)


def aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    """One row. A cell that is wider than its column moves the rest of the row."""
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def show(
    style: Format,
    records: Sequence[R],
    *,
    head: Sequence[str],
    row: Callable[[R], Sequence[str]],
    name: Callable[[R], str],
) -> None:
    """Prints `records` on standard output in the style asked for: JSON is a list of them, YAML has a document for each."""
    match style:
        case "json":
            click.echo(pretty_json(records), nl=False)
        case "yaml":
            from ocicat.model.manifest import yaml_text

            click.echo(yaml_text(decode_json(list[dict[str, object]], encode_json(records))), nl=False)
        case "name":
            for record in records:
                click.echo(name(record))
        case _:
            click.echo(table(head, [row(record) for record in records]))
