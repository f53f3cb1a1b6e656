"""What an error of gRPC or etcd means for the caller. Pure: codes and texts in, errors of ours out.

1. Three questions decide what may be done: was the call refused for a stale token (log in, repeat), did etcd refuse it before
   doing anything (repeat), or was the answer lost (a read may be repeated, a commit may not: it may have been done).
2. Whatever else etcd says becomes one error with what to do about it.

Source of the texts: etcd's rpctypes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpc import StatusCode

from ocicat.errors import Compacted, NotFound, OcicatError, Refused, Unavailable

if TYPE_CHECKING:
    from grpc.aio import AioRpcError

NO_LEADER = "etcdserver: no leader"

_LOST = {
    StatusCode.UNAVAILABLE,
    StatusCode.DEADLINE_EXCEEDED,
    StatusCode.CANCELLED,
    StatusCode.UNKNOWN,
    StatusCode.INTERNAL,
    StatusCode.ABORTED,
    StatusCode.DATA_LOSS,
}
_STALE = ("invalid auth token", "revision in header is old", "user name is empty")
_RIGHTS = "give a role with read and write on the prefix / to the user that user and password-file, or cert, stand for"
_REFUSALS = (
    ("invalid user ID or password", "see user and password-file in the store's address"),
    ("user name is empty", "this cluster asks for a user: add user and password-file to the store's address"),
    ("invalid auth token", "this cluster asks for a user: add user and password-file to the store's address"),
    ("permission denied", _RIGHTS),
    ("database space exceeded", "compact and defragment etcd, then `etcdctl alarm disarm`"),
    ("too many operations", "start etcd with a larger --max-txn-ops"),
    ("request is too large", "start etcd with a larger --max-request-bytes"),
    ("received message larger than max", "start etcd with a larger --max-request-bytes"),
)
_CONNECTION = (
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is not signed by the given ca, or not made for this host"),
    ("Peer name", "its certificate is not made for this host"),
    ("WRONG_VERSION_NUMBER", "it does not speak TLS: leave ca out of the store's address"),
    ("Handshake read failed", "it broke off the TLS handshake: does it speak TLS?"),
    ("DNS resolution failed", "its name is not known"),
    ("Connection refused", "connection refused"),
    ("No route to host", "no route to host"),
    ("Deadline Exceeded", "no answer"),
    ("Socket closed", "it closed the connection"),
    ("GOAWAY", "it closed the connection"),
    ("Connection reset", "it broke the connection off"),
)


def is_stale(error: AioRpcError) -> bool:
    """The token is unknown or missing: nothing was done."""
    return any(text in _details(error) for text in _STALE)


def is_undone(error: AioRpcError) -> bool:
    """The member knows of no leader and has not even passed the request on."""
    return NO_LEADER in _details(error)


def is_lost(error: AioRpcError) -> bool:
    """No answer that tells whether it was done."""
    return error.code() in _LOST


def refusal(store: str, error: AioRpcError) -> OcicatError:
    """For what is neither stale nor lost."""
    details = _details(error)
    if error.code() is StatusCode.OUT_OF_RANGE and "compacted" in details:
        return Compacted(f"store {store}: {details}", hint="take a new snapshot")
    if "requested lease not found" in details:
        return NotFound(f"store {store}: {details}", hint="take a new lease and put again")
    if "too many requests" in details:
        return Unavailable(f"store {store}: {details}", hint="etcd is overloaded")
    return refused(store, details)


def refused(store: str, details: str) -> Refused:
    hint = next((hint for text, hint in _REFUSALS if text in details), "")
    return Refused(f"store {store}: {details}", hint=hint)


def unknown_outcome(store: str, endpoint: str, error: AioRpcError) -> Unavailable:
    return Unavailable(
        f"store {store}: {endpoint} did not acknowledge the commit: {reason(error)}; its outcome is unknown",
        hint="read what it was to change, and decide again",
    )


def lost(store: str, endpoint: str, error: AioRpcError) -> Unavailable:
    return Unavailable(f"store {store}: {endpoint}: {reason(error)}")


def closed(store: str) -> Unavailable:
    return Unavailable(f"store {store}: is closed")


def reason(error: AioRpcError) -> str:
    """In few words: gRPC's own are long, and repeat the address."""
    details = _details(error)
    found = next((words for text, words in _CONNECTION if text in details), "")
    return found or details or error.code().name.lower().replace("_", " ")


def _details(error: AioRpcError) -> str:
    return error.details() or ""
