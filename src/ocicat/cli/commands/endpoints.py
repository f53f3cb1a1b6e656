"""`ocicat endpoints`: the containers' interfaces, as the datastore has them. Short for `get workloadendpoints`."""

from __future__ import annotations

from typing import cast

import click

from ocicat.cli.columns import Columns
from ocicat.cli.opening import store_option, with_store
from ocicat.cli.output import Format, format_option
from ocicat.cli.printing import Group, print_groups
from ocicat.cli.talk import say
from ocicat.model.v3.endpoints import WorkloadEndpoint
from ocicat.model.v3.kinds import KINDS
from ocicat.model.v3.metadata import Resource
from ocicat.resources import listing

_KIND = KINDS["WorkloadEndpoint"]


def _addresses(resource: Resource) -> tuple[str, ...]:
    return tuple(network.partition("/")[0] for network in cast("WorkloadEndpoint", resource).spec.ip_networks)


_COLUMNS: Columns = (
    ("HOST", "spec.node"),
    ("CONTAINER", "spec.container_id"),
    ("INTERFACE", "spec.endpoint"),
    ("ADDRESS", _addresses),
    ("PROFILES", "spec.profiles"),
)


@click.command()
@click.option("--host", default="", help="Only those of this host.")
@store_option
@format_option
def command(host: str, store: str, style: Format) -> None:
    """List the containers' interfaces in all namespaces: host, container, address, profiles.

    \b
    Example:
      ocicat endpoints --host h1.example.com -o json
    """
    listed = with_store(store, lambda opened: listing(opened, _KIND))
    documents = tuple(
        item.document for item in listed.items if host in ("", cast("WorkloadEndpoint", item.resource).spec.node)
    )
    columns = () if style == "wide" else _COLUMNS
    print_groups(style, [Group(_KIND, documents, listed.revision, columns)], namespaces=style == "wide")
    for problem in listed.problems:
        say(f"left out: {problem}")
