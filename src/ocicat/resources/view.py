"""What was read to plan a change: single keys and whole prefixes, each with its revision.

A view is put together from several reads and need not be of one moment: whoever plans with it compares what he relied on.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

from ocicat.errors import Refused, UserError
from ocicat.model import keys
from ocicat.model.codec import decode_json
from ocicat.model.resources import ClusterInformation
from ocicat.model.v3.kinds import KINDS, Kind
from ocicat.resources import stored
from ocicat.resources.change import Change, Delete
from ocicat.resources.step import Found
from ocicat.store.base import Compare, Datastore, KeyValue

FEW = 30  # objects that are read one by one
FEW_OF_KIND = 3  # of more objects in all, those of a kind that are; more are read with all of their kind
POLICIES = tuple(kind for kind in KINDS.values() if kind.tiered)
TIERS = KINDS["Tier"].prefix()
OF_NODES = ("HostEndpoint", "BGPPeer", "FelixConfiguration", "BGPConfiguration")
"""The kinds whose objects may belong to a node, beside its workload endpoints."""


@dataclass(slots=True)
class View:
    items: dict[str, KeyValue] = field(default_factory=dict)
    read: dict[str, int] = field(default_factory=dict)  # prefix -> the revision at which all under it was read

    def modified(self, key: str) -> int:
        """What a compare must say."""
        item = self.items.get(key)
        return item.modified if item else 0

    def read_at(self, prefix: str) -> int:
        """The revision at which all under the prefix was read."""
        return next(revision for read, revision in self.read.items() if prefix.startswith(read))

    def under(self, prefix: str) -> Iterator[KeyValue]:
        return (item for key, item in self.items.items() if key.startswith(prefix))

    def find(self, kind: Kind, name: str, namespace: str) -> Found | None:
        """The object of that name. Errors: UserError (a name or namespace that cannot be)."""
        candidates = stored.lookup_keys(kind, name, namespace)
        item = next((self.items[key] for key in candidates if key in self.items), None)
        if item is None:
            return None
        try:
            return Found(item.key, item.modified, stored.read(kind, item))
        except UserError as error:
            return Found(item.key, item.modified, None, str(error))

    def refuse_locked(self) -> None:
        """Errors: Refused. What cannot be read locks nothing."""
        item = self.items.get(keys.CLUSTER_INFORMATION)
        try:
            information = decode_json(ClusterInformation, item.value) if item else None
        except UserError:
            return
        if information is not None and information.spec.datastore_ready is False:
            raise Refused("the datastore is locked", hint="unlock it: `ocicat store unlock`")

    def lock(self) -> Compare:
        return Compare(keys.CLUSTER_INFORMATION, self.modified(keys.CLUSTER_INFORMATION))


async def look(store: Datastore, changes: Sequence[Change]) -> View:
    """Everything that planning these changes may ask for."""
    prefixes = _without_nested(_prefixes(changes))
    single = [key for key in dict.fromkeys(_keys(changes)) if not key.startswith(tuple(prefixes))]
    snapshots = await asyncio.gather(*map(store.range, prefixes))
    found = await asyncio.gather(*map(store.get, single))
    items = chain(chain.from_iterable(snapshot.items for snapshot in snapshots), (item for item in found if item))
    revisions = (snapshot.revision for snapshot in snapshots)
    return View({item.key: item for item in items}, dict(zip(prefixes, revisions, strict=True)))


def _prefixes(changes: Sequence[Change]) -> Iterator[str]:
    """What is compared one by one must fit into a transaction, so of many objects most are read in a way that covers them all."""
    if len(changes) > FEW:
        counts = Counter(change.kind.name for change in changes)
        yield from (stored.prefix(KINDS[kind]) for kind, count in counts.items() if count > FEW_OF_KIND)
    for change in changes:
        yield from _for_rules(change)


def _for_rules(change: Change) -> Iterator[str]:
    """What the rules between objects are about."""
    deletes = isinstance(change, Delete)
    if change.kind.name == "IPPool":
        yield from (keys.BLOCKS, keys.AFFINITIES) if deletes else (keys.POOLS, keys.BLOCKS)
    elif change.kind.tiered and not deletes:
        yield TIERS
    elif change.kind.name == "Tier" and deletes:
        yield from (kind.prefix() for kind in POLICIES)
    elif change.kind.name == "Node" and deletes:
        yield from (keys.WORKLOADS, keys.IPAM)
        yield from (KINDS[name].prefix() for name in OF_NODES)


def _without_nested(prefixes: Iterable[str]) -> list[str]:
    """Each once, and none that lies in another."""
    wanted = sorted(set(prefixes))
    return [one for one in wanted if not any(one != other and one.startswith(other) for other in wanted)]


def _keys(changes: Sequence[Change]) -> Iterator[str]:
    yield keys.CLUSTER_INFORMATION
    for change in changes:
        try:
            yield from stored.lookup_keys(change.kind, change.name, change.namespace)
        except UserError:
            continue  # planning says so
