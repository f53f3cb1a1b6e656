"""The datastore's lock: `datastoreReady` of the cluster information, as calicoctl sets it.

While it is false nobody allocates addresses. Whatever else other tools wrote into the cluster information stays as it was.
"""

from __future__ import annotations

from ocicat.errors import Conflict, Unavailable
from ocicat.model import keys
from ocicat.model.codec import decode_json, encode_json, with_field
from ocicat.model.resources import ClusterInformation, ClusterInformationSpec, Metadata
from ocicat.store.base import Compare, Datastore, Put
from ocicat.store.transfer.record import RECORD, unfinished

_TRIES = 5
_WHAT = "clusterinformation default"


def is_locked(information: bytes | None) -> bool:
    """`information`: the cluster information as stored; None: there is none, and so no lock. Errors: UserError, not readable."""
    return (
        information is not None
        and decode_json(ClusterInformation, information, what=_WHAT).spec.datastore_ready is False
    )


def with_ready(information: bytes | None, *, ready: bool) -> bytes:
    """The cluster information with its lock set so; made when there is none. Setting what is set gives the same bytes."""
    if information is None:
        spec = ClusterInformationSpec(datastore_ready=ready)
        return encode_json(ClusterInformation(metadata=Metadata(name="default"), spec=spec))
    if decode_json(ClusterInformation, information, what=_WHAT).spec.datastore_ready is ready:
        return information
    return with_field(information, ("spec", "datastoreReady"), ready, what=_WHAT)


async def set_ready(store: Datastore, *, ready: bool, new: bytes | None = None) -> bool:
    """Locks or unlocks. False: it was so already, and nothing was written. `new`: what to begin with where there is none.

    Raises Refused when a transfer into the store is not finished (its lock is not to be lifted by hand), Unavailable.
    """
    for _ in range(_TRIES):
        record, found = await store.get(RECORD), await store.get(keys.CLUSTER_INFORMATION)
        if record is not None and ready:
            raise unfinished(record.value)
        if is_locked(found.value if found else None) is not ready:
            return False
        changed = with_ready(found.value if found else new, ready=ready)
        conditions = [Compare(keys.CLUSTER_INFORMATION, found.modified if found else 0)]
        try:
            await store.commit(
                [*conditions, Compare(RECORD, record.modified if record else 0)],
                [Put(keys.CLUSTER_INFORMATION, changed)],
            )
        except Conflict:
            continue
        return True
    raise Unavailable("the cluster information is being changed by somebody else", hint="try again")
