"""`ocicat store init`: what Calico's tools, and people, expect to find in a datastore."""

from __future__ import annotations

from uuid import uuid4

import click

from ocicat.cli.naming import label
from ocicat.cli.opening import store_option, with_store
from ocicat.errors import Conflict, NotFound, Unavailable, UserError
from ocicat.model import keys
from ocicat.model.codec import decode_json, encode_json, with_field
from ocicat.model.resources import API_VERSION, ClusterInformation, ClusterInformationSpec, IPPool, Metadata
from ocicat.model.v3.defaults import FIXED_TIERS, with_defaults
from ocicat.model.v3.document import Document, parse
from ocicat.resources import Author, Create, Outcome, commit
from ocicat.store.base import Compare, Datastore, Put
from ocicat.store.memory import URL as NOWHERE
from ocicat.store.schema import mark
from ocicat.store.schema.migrate import ensure_marked, fitting

_CLUSTER_TYPE = "mesos"
_TRIES = 5
_INFORMATION = "clusterinformation/default"


@click.command()
@click.option("--pool", "pools", multiple=True, metavar="NAME=CIDR", help="A pool of addresses; may be given again.")
@click.option("--dry-run", is_flag=True, help="Tell what would be made.")
@store_option
def init(pools: tuple[str, ...], dry_run: bool, store: str) -> None:
    """Make a datastore ready: the cluster information with an identity of its own, the tiers, pools.

    What is there stays as it is, so it may be run again. One line for each object on standard output.

    \b
    Example:
      ocicat store init --pool default=10.65.0.0/16
    """
    changes = [Create(document=one, skip_existing=True) for one in (*map(_tier, FIXED_TIERS), *map(_pool, pools))]

    async def run(opened: Datastore) -> list[str]:
        _refuse_other_cidrs(changes, await commit(opened, changes, dry_run=True))
        made = await _complete_information(opened, dry_run=dry_run)
        return [
            made,
            await _schema(opened, dry_run=dry_run),
            *(_line(one) for one in await commit(opened, changes, dry_run=dry_run)),
        ]

    try:
        lines = with_store(store, run, create=not dry_run)
    except NotFound:
        if not dry_run:
            raise
        lines = with_store(NOWHERE, run)  # as if it had been made: empty
    for line in lines:
        click.echo(line)
    if dry_run:
        click.echo("nothing was written", err=True)


async def _schema(store: Datastore, *, dry_run: bool) -> str:
    now = Author().origin().created
    found = await store.get(mark.KEY)
    if found is not None:
        return f"schema/{mark.read(found.value).version} was there"
    version = await (fitting(store, now=now) if dry_run else ensure_marked(store, now=now))
    return f"schema/{version} created" if version else "schema was there"


def _tier(name: str) -> Document:
    order, action = FIXED_TIERS[name]
    return _document("Tier", name, {"order": order, "defaultAction": action})


def _pool(text: str) -> Document:
    name, separator, cidr = text.partition("=")
    if not (name and separator and cidr):
        raise UserError(f"--pool {text!r}: is not NAME=CIDR", hint="for example --pool default=10.65.0.0/16")
    return _document("IPPool", name, {"cidr": cidr})


def _document(kind: str, name: str, spec: dict[str, object]) -> Document:
    return parse({"kind": kind, "apiVersion": API_VERSION, "metadata": {"name": name}, "spec": spec})


def _refuse_other_cidrs(changes: list[Create], outcomes: tuple[Outcome, ...]) -> None:
    """To find a pool of that name is fine; to find another network in it is not what was asked for."""
    for change, outcome in zip(changes, outcomes, strict=True):
        asked, found = change.document.resource, outcome.before.resource if outcome.before else None
        if not (isinstance(asked, IPPool) and isinstance(found, IPPool)):
            continue
        have, want = (with_defaults(pool).spec.cidr for pool in (found, asked))  # both in one spelling
        if have != want:
            raise Conflict(f"pool {change.name} holds {have} already, not {want}", hint="give it another name")


def _line(one: Outcome) -> str:
    return f"{label(one.kind, one.namespace, one.name)} {'was there' if one.action == 'skipped' else one.action}"


async def _complete_information(store: Datastore, *, dry_run: bool) -> str:
    """Made, or what is missing in it filled in. Whoever else writes it, what is there stays."""
    key = keys.CLUSTER_INFORMATION
    for _ in range(_TRIES):
        found = await store.get(key)
        value = _completed(found.value) if found else new_information()
        if found and value == found.value:
            return f"{_INFORMATION} was there"
        try:
            await store.commit([Compare(key, found.modified if found else 0)], [] if dry_run else [Put(key, value)])
        except Conflict:
            continue
        return f"{_INFORMATION} {'configured' if found else 'created'}"
    raise Unavailable("the cluster information is being changed by somebody else", hint="try again")


def new_information() -> bytes:
    """For a cluster that has none. Without a Calico version: calicoctl refuses to work with one that is not its own."""
    origin = Author().origin()
    metadata = Metadata(name="default", uid=origin.uid, creation_timestamp=origin.created)
    spec = ClusterInformationSpec(cluster_guid=_guid(), cluster_type=_CLUSTER_TYPE, datastore_ready=True)
    return encode_json(ClusterInformation(metadata=metadata, spec=spec))


def _completed(value: bytes) -> bytes:
    """Its identity, origin, type and lock, where it does not say them. Other tools fail on one without."""
    found, origin = decode_json(ClusterInformation, value, what=_INFORMATION), Author().origin()
    fields: tuple[tuple[bool, str, str, object], ...] = (
        (not found.metadata.uid, "metadata", "uid", origin.uid),
        (not found.metadata.creation_timestamp, "metadata", "creationTimestamp", origin.created),
        (not found.spec.cluster_guid, "spec", "clusterGUID", _guid()),
        (not found.spec.cluster_type, "spec", "clusterType", _CLUSTER_TYPE),
        (found.spec.datastore_ready is None, "spec", "datastoreReady", True),
    )
    for missing, part, name, content in fields:
        if missing:
            value = with_field(value, (part, name), content, what=_INFORMATION)
    return value


def _guid() -> str:
    return uuid4().hex
