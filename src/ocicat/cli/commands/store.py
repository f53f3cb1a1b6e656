"""`ocicat store`: the datastore itself."""

from __future__ import annotations

import click

from ocicat.cli.opening import store_option, with_store
from ocicat.cli.output import Format, format_option, show
from ocicat.errors import Conflict, Unavailable
from ocicat.model import keys
from ocicat.model.base import replace
from ocicat.model.codec import decode_json, encode_json
from ocicat.model.resources import ClusterInformation, Metadata
from ocicat.store.base import Compare, Datastore, Put, Status

ATTEMPTS = 5


@click.group()
def command() -> None:
    """The datastore: its state, and its lock."""


@command.command()
@store_option
@format_option
def status(store: str, style: Format) -> None:
    """Where the datastore is, how far, how large, and whether it is locked."""

    async def read(opened: Datastore) -> Status:
        return await opened.status()

    show(
        style,
        [with_store(store, read)],
        head=("url", "revision", "compacted", "keys", "size"),
        row=lambda found: (
            found.url,
            str(found.revision),
            str(found.compacted),
            str(found.keys),
            f"{found.size_bytes / 1024:.0f} KiB",
        ),
        name=lambda found: found.url,
    )


@command.command()
@store_option
def lock(store: str) -> None:
    """Stop allocations: no new container gets an address until `ocicat store unlock`. What runs goes on."""
    with_store(store, lambda opened: _set_ready(opened, ready=False))
    click.echo("the datastore is locked", err=True)


@command.command()
@store_option
def unlock(store: str) -> None:
    """Allow allocations again."""
    with_store(store, lambda opened: _set_ready(opened, ready=True))
    click.echo("the datastore is unlocked", err=True)


async def _set_ready(store: Datastore, *, ready: bool) -> None:
    key = keys.CLUSTER_INFORMATION
    for _ in range(ATTEMPTS):
        found = await store.get(key)
        if found is None:
            cluster = ClusterInformation(metadata=Metadata(name="default"))
        else:
            cluster = decode_json(ClusterInformation, found.value, what="clusterinformation default")
        changed = replace(cluster, spec=replace(cluster.spec, datastore_ready=ready))
        try:
            await store.commit([Compare(key, found.modified if found else 0)], [Put(key, encode_json(changed))])
        except Conflict:
            continue
        return
    raise Unavailable("the cluster information is being changed by somebody else", hint="try again")
