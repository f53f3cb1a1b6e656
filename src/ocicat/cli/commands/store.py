"""`ocicat store`: the datastore itself."""

from __future__ import annotations

import click

from ocicat.cli.opening import store_option, with_store
from ocicat.cli.output import Format, format_option, show
from ocicat.errors import Conflict, Unavailable
from ocicat.model import keys
from ocicat.model.base import Struct
from ocicat.model.codec import decode_json, encode_json, with_field
from ocicat.model.resources import ClusterInformation, ClusterInformationSpec, Metadata
from ocicat.store.base import Compare, Datastore, Put

ATTEMPTS = 5
WHAT = "clusterinformation default"


class Shown(Struct, frozen=True):
    """What `store status` prints, and its JSON."""

    url: str
    revision: int
    compacted: int
    keys: int
    size_bytes: int
    locked: bool


@click.group()
def command() -> None:
    """The datastore: its state, and its lock."""


@command.command()
@store_option
@format_option
def status(store: str, style: Format) -> None:
    """Where the datastore is, how far, how large, and whether it is locked.

    \b
    Example:
      ocicat store status
    """

    async def read(opened: Datastore) -> Shown:
        found, cluster = await opened.status(), await opened.get(keys.CLUSTER_INFORMATION)
        locked = cluster is not None and _locked(cluster.value)
        return Shown(found.url, found.revision, found.compacted, found.keys, found.size_bytes, locked)

    show(
        style,
        [with_store(store, read)],
        head=("url", "revision", "compacted", "keys", "size", "locked"),
        row=lambda found: (
            found.url,
            str(found.revision),
            str(found.compacted),
            str(found.keys),
            f"{found.size_bytes / 1024:.0f} KiB",
            "yes" if found.locked else "no",
        ),
        name=lambda found: found.url,
    )


@command.command()
@store_option
def lock(store: str) -> None:
    """Stop allocations: no new container gets an address until `ocicat store unlock`. What runs goes on.

    Addresses of containers that end meanwhile become free when the datastore is unlocked.

    \b
    Example:
      ocicat store lock
    """
    with_store(store, lambda opened: _set_ready(opened, ready=False))
    click.echo("the datastore is locked", err=True)


@command.command()
@store_option
def unlock(store: str) -> None:
    """Allow allocations again.

    \b
    Example:
      ocicat store unlock
    """
    with_store(store, lambda opened: _set_ready(opened, ready=True))
    click.echo("the datastore is unlocked", err=True)


async def _set_ready(store: Datastore, *, ready: bool) -> None:
    key = keys.CLUSTER_INFORMATION
    for _ in range(ATTEMPTS):
        found = await store.get(key)
        changed = _with_ready(found.value if found else None, ready=ready)
        try:
            await store.commit([Compare(key, found.modified if found else 0)], [Put(key, changed)])
        except Conflict:
            continue
        return
    raise Unavailable("the cluster information is being changed by somebody else", hint="try again")


def _with_ready(value: bytes | None, *, ready: bool) -> bytes:
    """The cluster information with its lock set so. Other tools write more into it than we know: that stays."""
    if value is not None:
        return with_field(value, ("spec", "datastoreReady"), ready, what=WHAT)
    spec = ClusterInformationSpec(datastore_ready=ready)
    return encode_json(ClusterInformation(metadata=Metadata(name="default"), spec=spec))


def _locked(value: bytes) -> bool:
    return decode_json(ClusterInformation, value, what=WHAT).spec.datastore_ready is False
