"""How resources are printed: as tables, names, YAML or JSON. What is printed as YAML or JSON can be applied again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click

from ocicat.cli.columns import Columns, columns_of, row
from ocicat.cli.naming import label
from ocicat.cli.output import Format, table
from ocicat.model.base import Struct
from ocicat.model.manifest import json_text, ordered, yaml_text
from ocicat.model.v3.document import Document, Json
from ocicat.model.v3.kinds import Kind
from ocicat.model.v3.metadata import API_VERSION


class Group(Struct, frozen=True):
    """Objects of one kind. `columns`: others than those of the kind. `revision`: that of the list they are; 0: they are none."""

    kind: Kind
    documents: tuple[Document, ...]
    revision: int = 0
    columns: Columns = ()


def name_of(document: Document) -> str:
    metadata = document.resource.metadata
    return label(document.kind, metadata.namespace, metadata.name)


def print_groups(style: Format, groups: Sequence[Group], *, namespaces: bool = False) -> None:
    """`namespaces`: with a column for them. Several kinds are tables of their own, and documents of their own in YAML."""
    match style:
        case "name":
            print_lines(name_of(document) for group in groups for document in group.documents)
        case "json" | "yaml":
            print_raw(style, _raw(groups))
        case _:
            filled = [group for group in groups if group.documents or len(groups) == 1]
            several = len(groups) > 1
            tables = (_table(group, several=several, wide=style == "wide", namespaces=namespaces) for group in filled)
            print_lines(["\n\n".join(tables)] if filled else [])


def print_raw(style: Format, value: Json | list[Json]) -> None:
    click.echo(yaml_text(value) if style == "yaml" else json_text(value), nl=False)


def print_lines(lines: Iterable[str]) -> None:
    """At once: a hundred thousand lines written one by one take longer than reading them."""
    click.echo("".join(f"{line}\n" for line in lines), nl=False)


def list_of(kind: Kind, documents: Iterable[Document], revision: int) -> Json:
    """As calicoctl writes a list."""
    return {
        "apiVersion": API_VERSION,
        "kind": f"{kind.name}List",
        "metadata": {"resourceVersion": str(revision)},
        "items": [ordered(document.raw) for document in documents],
    }


def _raw(groups: Sequence[Group]) -> Json | list[Json]:
    if len(groups) == 1 and groups[0].revision:
        return list_of(groups[0].kind, groups[0].documents, groups[0].revision)
    raws = [ordered(document.raw) for group in groups for document in group.documents]
    return raws[0] if len(raws) == 1 else raws


def _table(group: Group, *, several: bool, wide: bool, namespaces: bool) -> str:
    """`several`: there are tables of other kinds, so each says its own."""
    columns = group.columns or columns_of(group.kind, wide=wide)
    if namespaces and group.kind.namespaced:
        columns = (("NAMESPACE", "metadata.namespace"), *columns)
    if several:
        columns = (("KIND", "kind"), *columns)
    return table([head for head, _ in columns], [row(columns, document.resource) for document in group.documents])
