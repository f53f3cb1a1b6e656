"""Makes the profiles that groups stand for (`agent.profiles`) where the datastore has none.

1. An existing profile is never touched, whoever made it, and however many agents make it at once.
2. Nothing is written to a locked datastore: the lock's revision is part of the transaction.
"""

from __future__ import annotations

from ocicat.agent import profiles
from ocicat.agent.origin import stamped
from ocicat.clock import SystemClock
from ocicat.errors import Conflict, Refused, Unavailable
from ocicat.ipam.holdings import UNLOCK
from ocicat.model import keys
from ocicat.model.base import replace
from ocicat.model.codec import decode_json, encode_json
from ocicat.model.resources import ClusterInformation
from ocicat.store.base import Compare, Datastore, Put

ATTEMPTS = 5


async def make_profile(store: Datastore, name: str) -> None:
    """There is such a profile when this returns. Refused when the datastore is locked, Unavailable."""
    key, made = keys.profile(name), profiles.group_profile(name)
    value = encode_json(replace(made, metadata=stamped(made.metadata, SystemClock())))
    for _ in range(ATTEMPTS):
        if await store.get(key) is not None:
            return
        unlocked = await _unlocked(store)
        try:
            await store.commit([unlocked, Compare(key, 0)], [Put(key, value)])
        except Conflict:
            continue  # somebody made it, or the lock was touched: look again
        return
    raise Unavailable(f"profile {name} could not be made: the datastore keeps changing", hint="try again")


async def _unlocked(store: Datastore) -> Compare:
    """Holds as long as nobody locks the datastore."""
    found = await store.get(keys.CLUSTER_INFORMATION)
    if found is None:
        return Compare(keys.CLUSTER_INFORMATION, 0)
    information = decode_json(ClusterInformation, found.value, what="clusterinformation default")
    if information.spec.datastore_ready is False:
        raise Refused("the datastore is locked", hint=UNLOCK)
    return Compare(keys.CLUSTER_INFORMATION, found.modified)
