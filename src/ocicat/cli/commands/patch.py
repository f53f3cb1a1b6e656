"""`ocicat patch`: some fields of one resource."""

from __future__ import annotations

import click

from ocicat.cli.changing import OutcomeFormat, Way, make, outcome_options
from ocicat.cli.naming import asked_one, namespace_option
from ocicat.cli.opening import store_option
from ocicat.model.manifest import read_value
from ocicat.resources import Patch, PatchStyle


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="KIND NAME | KIND/NAME")
@click.option("-p", "--patch", required=True, metavar="PATCH", help="The change, as JSON or YAML.")
@click.option(
    "--type",
    "patch_style",
    type=click.Choice(["strategic", "merge", "json"]),
    default="strategic",
    show_default=True,
    help="A merge (RFC 7386) or a list of operations (json, RFC 6902). Strategic is a merge: lists are replaced.",
)
@namespace_option
@outcome_options
@store_option
def command(
    words: tuple[str, ...],
    patch: str,
    patch_style: PatchStyle,
    namespace: str,
    style: OutcomeFormat,
    dry_run: bool,
    store: str,
) -> None:
    """Change some fields of a resource. In a merge, null takes a field away and a list replaces the list that is there.

    \b
    Example:
      ocicat patch ippool default -p '{"spec": {"disabled": true}}'
      ocicat patch node/h1 --type json -p '[{"op": "remove", "path": "/spec/bgp"}]'
    """
    one = asked_one(words, namespace)
    value = read_value(patch, source="the patch")
    change = Patch(kind=one.kind, name=one.name, namespace=one.namespace, patch=value, style=patch_style)
    make([change], Way(store, style, dry_run))
