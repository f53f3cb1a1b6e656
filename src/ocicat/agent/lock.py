"""The datastore's lock, as a condition of a commit: what the agent writes by itself is not written behind its back."""

from __future__ import annotations

from ocicat.errors import Refused
from ocicat.ipam.holdings import UNLOCK
from ocicat.model import keys
from ocicat.model.codec import decode_json
from ocicat.model.resources import ClusterInformation
from ocicat.store.base import Compare, Datastore


async def unlocked(store: Datastore) -> Compare:
    """Holds as long as nobody locks the datastore. Refused when it is locked."""
    found = await store.get(keys.CLUSTER_INFORMATION)
    if found is None:
        return Compare(keys.CLUSTER_INFORMATION, 0)
    information = decode_json(ClusterInformation, found.value, what="clusterinformation default")
    if information.spec.datastore_ready is False:
        raise Refused("the datastore is locked", hint=UNLOCK)
    return Compare(keys.CLUSTER_INFORMATION, found.modified)
