"""`ocicat endpoints`: the containers' interfaces, as the datastore has them. Short for `get workloadendpoints`."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import click

from ocicat.cli.columns import Columns
from ocicat.cli.opening import store_option, with_store
from ocicat.cli.output import Format, format_option
from ocicat.cli.printing import Group, print_groups
from ocicat.cli.talk import say
from ocicat.docker.labels import CONTAINER, ORCHESTRATOR
from ocicat.mesos.labels import FRAMEWORK, TASK
from ocicat.model.v3.endpoints import WorkloadEndpoint
from ocicat.model.v3.kinds import KINDS
from ocicat.model.v3.metadata import Resource
from ocicat.resources import listing

_KIND = KINDS["WorkloadEndpoint"]


def _addresses(resource: Resource) -> tuple[str, ...]:
    return tuple(network.partition("/")[0] for network in cast("WorkloadEndpoint", resource).spec.ip_networks)


def _label(key: str) -> Callable[[Resource], str]:
    return lambda resource: resource.metadata.labels.get(key, "")


def _container(resource: Resource) -> str:
    """One of Docker's by its name."""
    return _label(CONTAINER)(resource) or cast("WorkloadEndpoint", resource).spec.container_id


def _interface(resource: Resource) -> str:
    """Docker's endpoints are known by an id, which the engine itself shortens."""
    spec = cast("WorkloadEndpoint", resource).spec
    return spec.endpoint[:12] if spec.orchestrator == ORCHESTRATOR else spec.endpoint


_COLUMNS: Columns = (
    ("HOST", "spec.node"),
    ("CONTAINER", _container),
    ("INTERFACE", _interface),
    ("ADDRESS", _addresses),
    ("PROFILES", "spec.profiles"),
    ("FRAMEWORK", _label(FRAMEWORK)),
    ("TASK", _label(TASK)),
)


@click.command()
@click.option("--host", default="", help="Only those of this host.")
@store_option
@format_option
def command(host: str, store: str, style: Format) -> None:
    """List the containers' interfaces in all namespaces: host, container, address, profiles, and the Mesos task.

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
