"""Makes the profiles that groups stand for (`agent.profiles`) where the datastore has none.

1. An existing profile is never touched, whoever made it, and however many agents make it at once.
2. Nothing is written to a locked datastore: the lock's revision is part of the transaction.
"""

from __future__ import annotations

from ocicat.agent import profiles
from ocicat.agent.lock import unlocked
from ocicat.agent.origin import stamped
from ocicat.clock import SystemClock
from ocicat.errors import Conflict, Unavailable
from ocicat.model import keys
from ocicat.model.base import replace
from ocicat.model.codec import encode_json
from ocicat.store.base import Compare, Datastore, Put

ATTEMPTS = 5


async def make_profile(store: Datastore, name: str) -> None:
    """There is such a profile when this returns. Refused when the datastore is locked, Unavailable."""
    key, made = keys.profile(name), profiles.group_profile(name)
    value = encode_json(replace(made, metadata=stamped(made.metadata, SystemClock())))
    for _ in range(ATTEMPTS):
        if await store.get(key) is not None:
            return
        free = await unlocked(store)
        try:
            await store.commit([free, Compare(key, 0)], [Put(key, value)])
        except Conflict:
            continue  # somebody made it, or the lock was touched: look again
        return
    raise Unavailable(f"profile {name} could not be made: the datastore keeps changing", hint="try again")
