"""`ocicat endpoints`: the containers' interfaces, as the datastore has them."""

from __future__ import annotations

import click

from ocicat.cli.opening import read_all, store_option, with_store
from ocicat.cli.output import Format, format_option, show
from ocicat.model import keys
from ocicat.model.resources import WorkloadEndpoint
from ocicat.store.base import Datastore


@click.command()
@click.option("--host", default="", help="Only those of this host.")
@store_option
@format_option
def command(host: str, store: str, style: Format) -> None:
    """List the containers' interfaces: host, container, address, profiles.

    \b
    Example:
      ocicat endpoints --host h1.example.com -o json
    """

    async def read(opened: Datastore) -> list[WorkloadEndpoint]:
        found = await read_all(opened, keys.WORKLOADS, WorkloadEndpoint)
        return [endpoint for endpoint in found if host in ("", endpoint.spec.node)]

    show(
        style,
        with_store(store, read),
        head=("host", "container", "interface", "address", "profiles"),
        row=lambda endpoint: (
            endpoint.spec.node,
            endpoint.spec.container_id,
            endpoint.spec.endpoint,
            ",".join(network.partition("/")[0] for network in endpoint.spec.ip_networks),
            ",".join(endpoint.spec.profiles),
        ),
        name=lambda endpoint: f"workloadendpoint/{endpoint.metadata.namespace}/{endpoint.metadata.name}",
    )
