"""Requests and replies of etcd as bytes, from and to records of ours. Pure; the only module that touches a protobuf message.

1. Keys are text here and UTF-8 on the wire. A key of somebody else's that is no UTF-8 keeps its bytes as lone surrogates.
2. `span` turns a prefix into etcd's half-open range; the empty prefix is the whole key space.
3. A transaction takes any number of operations: etcd counts those of each level of nesting by themselves, so that a tree of
   nested transactions, all at one revision, holds what one list may not (128 by default). Compares cannot be nested.
4. Revisions beyond 64 bits are brought to the nearest that fits: no store ever reaches either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from ocicat.model.base import Struct
from ocicat.store.base import Compare, Event, KeyValue, Operation, Put
from ocicat.store.etcd.schema import message_class

_Message: TypeAlias = Any  # its fields exist at run time only
_RangeRequest: _Message = message_class("RangeRequest")
_RangeResponse: _Message = message_class("RangeResponse")
_RequestOp: _Message = message_class("RequestOp")
_Compare: _Message = message_class("Compare")
_TxnRequest: _Message = message_class("TxnRequest")
_TxnResponse: _Message = message_class("TxnResponse")
_CompactionRequest: _Message = message_class("CompactionRequest")
_WatchRequest: _Message = message_class("WatchRequest")
_WatchResponse: _Message = message_class("WatchResponse")
_AuthenticateRequest: _Message = message_class("AuthenticateRequest")
_AuthenticateResponse: _Message = message_class("AuthenticateResponse")
_StatusResponse: _Message = message_class("StatusResponse")

_EQUAL, _MOD = 0, 2  # Compare.result, Compare.target
_DELETE = 1  # Event.type
_BUDGET = 128  # the larger of operations and compares of a level, summed over a level and all above it, in a plain etcd
_LAST = 2**63 - 1

Reply = TypeVar("Reply")
Span = tuple[bytes, bytes]  # from this key on, up to and without that one


@dataclass(frozen=True, slots=True)
class Method(Generic[Reply]):
    """A call of etcd's: where it is served, and how its reply is read."""

    path: str
    reply: Callable[[bytes], Reply]


class RangeReply(Struct, frozen=True):
    """`more`: the limit cut the range short. `count`: keys in the whole range."""

    revision: int
    items: tuple[KeyValue, ...]
    more: bool
    count: int


class TxnReply(Struct, frozen=True):
    """`found`: of each compare, in order, the revision its key is at (0: none). Empty when all of them held."""

    revision: int
    succeeded: bool
    found: tuple[int, ...]


class WatchReply(Struct, frozen=True):
    """`partial`: the next reply continues this one. `compacted`: why it was cancelled, 0 when for another `reason`."""

    revision: int
    created: bool
    cancelled: bool
    reason: str
    compacted: int
    partial: bool
    events: tuple[Event, ...]


class StatusReply(Struct, frozen=True):
    """Of one member. `leader`: 0 when it knows of none, and so can do nothing."""

    size_bytes: int
    leader: int


def span(prefix: str) -> Span:
    key = prefix.encode()
    return (key, key[:-1] + bytes([key[-1] + 1])) if key else (b"\0", b"\0")  # no byte of UTF-8 is 0xff


def just_after(key: str) -> bytes:
    return _bytes(key) + b"\0"


def get_request(key: str) -> bytes:
    return _serialized(_RangeRequest(key=key.encode()))


def page_request(within: Span, *, limit: int, revision: int) -> bytes:
    """`revision`: as it was then; 0: now."""
    key, end = within
    return _serialized(_RangeRequest(key=key, range_end=end, limit=limit, revision=revision))


def count_request(within: Span, *, revision: int = 0) -> bytes:
    key, end = within
    return _serialized(_RangeRequest(key=key, range_end=end, revision=revision, count_only=True))


def txn_request(compares: Sequence[Compare], operations: Sequence[Operation]) -> bytes:
    """Where a compare fails, all compared keys are read in the same transaction, so that the reply tells which it was."""
    return _serialized(
        _TxnRequest(
            compare=[_compare(compare) for compare in compares],
            success=_tree([_operation(operation) for operation in operations], _BUDGET, len(compares)),
            failure=[_RequestOp(request_range={"key": one.key.encode(), "keys_only": True}) for one in compares],
        )
    )


def compaction_request(revision: int) -> bytes:
    return _serialized(_CompactionRequest(revision=revision))


def watch_request(within: Span, revision: int) -> bytes:
    key, end = within
    start = _int64(revision)
    return _serialized(
        _WatchRequest(
            create_request={
                "key": key,
                "range_end": end,
                "start_revision": start,
                "progress_notify": True,
                "fragment": True,
            }
        )
    )


def authenticate_request(user: str, password: str) -> bytes:
    return _serialized(_AuthenticateRequest(name=user, password=password))


STATUS_REQUEST = b""


def _range_reply(data: bytes) -> RangeReply:
    message = _RangeResponse.FromString(data)
    return RangeReply(message.header.revision, tuple(map(_key_value, message.kvs)), message.more, message.count)


def _txn_reply(data: bytes) -> TxnReply:
    message = _TxnResponse.FromString(data)
    found = () if message.succeeded else tuple(_modified(one.response_range) for one in message.responses)
    return TxnReply(message.header.revision, message.succeeded, found)


def _watch_reply(data: bytes) -> WatchReply:
    message = _WatchResponse.FromString(data)
    return WatchReply(
        revision=message.header.revision,
        created=message.created,
        cancelled=message.canceled,
        reason=message.cancel_reason,
        compacted=message.compact_revision,
        partial=message.fragment,
        events=tuple(map(_event, message.events)),
    )


def _token_reply(data: bytes) -> str:
    return str(_AuthenticateResponse.FromString(data).token)


def _status_reply(data: bytes) -> StatusReply:
    message = _StatusResponse.FromString(data)
    return StatusReply(message.db_size, message.leader)


def _nothing(_data: bytes) -> None:
    """For replies that say no more than that they came."""


RANGE = Method("/etcdserverpb.KV/Range", _range_reply)
TXN = Method("/etcdserverpb.KV/Txn", _txn_reply)
COMPACT = Method("/etcdserverpb.KV/Compact", _nothing)
WATCH = Method("/etcdserverpb.Watch/Watch", _watch_reply)
AUTHENTICATE = Method("/etcdserverpb.Auth/Authenticate", _token_reply)
STATUS = Method("/etcdserverpb.Maintenance/Status", _status_reply)


def _serialized(message: _Message) -> bytes:
    return bytes(message.SerializeToString())


def _bytes(key: str) -> bytes:
    return key.encode(errors="surrogateescape")


def _text(key: bytes) -> str:
    return key.decode(errors="surrogateescape")


def _int64(revision: int) -> int:
    return max(-_LAST, min(revision, _LAST))


def _key_value(message: _Message) -> KeyValue:
    return KeyValue(_text(message.key), message.value, message.create_revision, message.mod_revision)


def _event(message: _Message) -> Event:
    kv = message.kv
    return Event(_text(kv.key), None if message.type == _DELETE else kv.value, kv.mod_revision)


def _modified(message: _Message) -> int:
    return int(message.kvs[0].mod_revision) if message.kvs else 0


def _compare(compare: Compare) -> _Message:
    return _Compare(result=_EQUAL, target=_MOD, key=compare.key.encode(), mod_revision=_int64(compare.modified))


def _operation(operation: Operation) -> _Message:
    key = operation.key.encode()
    if isinstance(operation, Put):
        return _RequestOp(request_put={"key": key, "value": operation.value})
    return _RequestOp(request_delete_range={"key": key})


def _tree(operations: list[_Message], budget: int, compares: int) -> list[_Message]:
    """Each level takes a half of what may lie in it and below, or as much as its compares do."""
    share = max(budget // 2, compares)
    if len(operations) <= budget or share >= budget:  # the latter is for etcd to refuse
        return operations
    size = -(-len(operations) // share)
    groups = (operations[at : at + size] for at in range(0, len(operations), size))
    return [_RequestOp(request_txn={"success": _tree(group, budget - share, 0)}) for group in groups]
