"""A field or two of an endpoint changed where it is stored, whoever else changes it at the same time.

1. Everything else of the object stays as it is, also what we have no word for. 2. A deleted endpoint stays deleted. 3. Nothing is
written to a locked datastore, and nothing where nothing would change.
"""

from __future__ import annotations

from collections.abc import Callable

from ocicat.agent.lock import unlocked
from ocicat.errors import Conflict, NotFound, Unavailable
from ocicat.model.codec import decode_json
from ocicat.model.keys import name_of
from ocicat.model.resources import WorkloadEndpoint
from ocicat.store.base import Compare, Datastore, Put

ATTEMPTS = 5

Edit = Callable[[WorkloadEndpoint, bytes], bytes]
"""The endpoint, and its JSON; what that is to be."""


async def changed(store: Datastore, key: str, edit: Edit) -> int:
    """The revision at which it is so. NotFound: there is no such endpoint. Refused: locked. Unavailable; what `edit` raises."""
    for _ in range(ATTEMPTS):
        stored = await store.get(key)
        if stored is None:
            raise NotFound(f"endpoint {name_of(key)} is not there any more")
        value = edit(decode_json(WorkloadEndpoint, stored.value, what=f"endpoint {name_of(key)}"), stored.value)
        if value == stored.value:
            return stored.modified
        try:
            conditions = [await unlocked(store), Compare(key, stored.modified)]
            return await store.commit(conditions, [Put(key, value)])
        except Conflict:
            continue
    raise Unavailable(f"endpoint {name_of(key)} is being changed by somebody else", hint="try again")
