"""Requests and replies of etcd as bytes, from and to records of ours. Pure; the only module that touches a protobuf message.

1. Keys are text here and UTF-8 on the wire. A key of somebody else's that is no UTF-8 keeps its bytes as lone surrogates.
2. `span` turns a prefix into etcd's half-open range; the empty prefix is the whole key space.
3. A transaction takes any number of operations: etcd counts those of each level of nesting by themselves, so that a tree of
   nested transactions, all at one revision, holds what one list may not (128 by default). Compares cannot be nested.
4. Revisions beyond 64 bits are brought to the nearest that fits: no store ever reaches either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from ocicat.model.base import Struct
from ocicat.store.base import Compare, Condition, Event, KeyValue, Lease, Operation, Put, Unchanged
from ocicat.store.etcd.schema import message_class

_Message: TypeAlias = Any  # its fields exist at run time only
_RangeRequest: _Message = message_class("RangeRequest")
_RangeResponse: _Message = message_class("RangeResponse")
_PutRequest: _Message = message_class("PutRequest")
_PutResponse: _Message = message_class("PutResponse")
_TxnRequest: _Message = message_class("TxnRequest")
_TxnResponse: _Message = message_class("TxnResponse")
_CompactionRequest: _Message = message_class("CompactionRequest")
_LeaseGrantRequest: _Message = message_class("LeaseGrantRequest")
_LeaseGrantResponse: _Message = message_class("LeaseGrantResponse")
_LeaseKeepAliveRequest: _Message = message_class("LeaseKeepAliveRequest")
_LeaseKeepAliveResponse: _Message = message_class("LeaseKeepAliveResponse")
_LeaseRevokeRequest: _Message = message_class("LeaseRevokeRequest")
_WatchRequest: _Message = message_class("WatchRequest")
_WatchResponse: _Message = message_class("WatchResponse")
_AuthenticateRequest: _Message = message_class("AuthenticateRequest")
_AuthenticateResponse: _Message = message_class("AuthenticateResponse")
_StatusResponse: _Message = message_class("StatusResponse")
_MemberListResponse: _Message = message_class("MemberListResponse")

_EQUAL, _LESS = 0, 2  # Compare.result
_MOD = 2  # Compare.target
_DELETE = 1  # Event.type
_BUDGET = 128  # the larger of operations and compares of a level, summed over a level and all above it, in a plain etcd
_LAST = 2**63 - 1

Reply = TypeVar("Reply")
Span = tuple[bytes, bytes]  # from this key on, up to and without that one


@dataclass(frozen=True, slots=True, eq=False)
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


class Page:
    """A piece of a range whose items are made when they are taken, so that the next piece can be on its way meanwhile.

    `rest`: where the next piece begins, when there is `more`.
    `revision`: of the store now, whatever was asked for.
    """

    def __init__(self, data: bytes) -> None:
        message = _RangeResponse.FromString(data)
        self._kvs: _Message = message.kvs
        self.revision: int = message.header.revision
        self.more: bool = message.more
        self.rest = bytes(self._kvs[-1].key) + b"\0" if self._kvs else b""
        self.count = len(self._kvs)
        self.size_bytes = len(data)

    def take(self) -> Iterator[KeyValue]:
        """Once: the page lets go of them, so that none lies in memory twice for long."""
        kvs, self._kvs = self._kvs, ()
        return map(_key_value, kvs)


class TxnReply(Struct, frozen=True):
    """`found`: for each condition, in order, what `checks.check_condition` has to see. Empty when all of them held."""

    revision: int
    succeeded: bool
    found: tuple[KeyValue | None, ...]


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
    """Of one member, by its id. `leader`: 0 when it knows of none, and so can do nothing. `errors`: alarms, in etcd's words."""

    member: int
    version: str
    size_bytes: int
    leader: int
    errors: tuple[str, ...]
    is_learner: bool


class ListedMember(Struct, frozen=True):
    """One of the cluster. `endpoints`: HOST:PORT for clients, by its own word; none, and no name, before its first start."""

    id: int
    name: str
    endpoints: tuple[str, ...]


def span(prefix: str) -> Span:
    key = prefix.encode()
    return (key, key[:-1] + bytes([key[-1] + 1])) if key else (b"\0", b"\0")  # no byte of UTF-8 is 0xff


def get_request(key: str) -> bytes:
    return _serialized(_RangeRequest(key=key.encode()))


def page_request(within: Span, *, limit: int, revision: int) -> bytes:
    """`revision`: as it was then; 0: now."""
    key, end = within
    return _serialized(_RangeRequest(key=key, range_end=end, limit=limit, revision=revision))


def count_request(within: Span, *, revision: int = 0) -> bytes:
    key, end = within
    return _serialized(_RangeRequest(key=key, range_end=end, revision=revision, count_only=True))


def put_request(put: Put) -> bytes:
    return _serialized(_PutRequest(key=put.key.encode(), value=put.value, lease=put.lease))


def txn_request(conditions: Sequence[Condition], operations: Sequence[Operation]) -> bytes:
    """Where a condition fails, what all of them are about is read in the same transaction, so that the reply tells which it was."""
    request = _TxnRequest()
    for condition in conditions:
        _fill_compare(request.compare.add(), condition)
        _fill_look(request.failure.add().request_range, condition)
    _fill_level(request.success, operations, _BUDGET, len(conditions))
    return _serialized(request)


def compaction_request(revision: int) -> bytes:
    return _serialized(_CompactionRequest(revision=revision))


def grant_request(ttl_s: int) -> bytes:
    return _serialized(_LeaseGrantRequest(TTL=ttl_s))


def keep_alive_request(lease: int) -> bytes:
    return _serialized(_LeaseKeepAliveRequest(ID=lease))


def revoke_request(lease: int) -> bytes:
    return _serialized(_LeaseRevokeRequest(ID=lease))


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
MEMBER_LIST_REQUEST = b""


def _range_reply(data: bytes) -> RangeReply:
    message = _RangeResponse.FromString(data)
    return RangeReply(message.header.revision, tuple(map(_key_value, message.kvs)), message.more, message.count)


def _put_reply(data: bytes) -> int:
    return int(_PutResponse.FromString(data).header.revision)


def _txn_reply(data: bytes) -> TxnReply:
    message = _TxnResponse.FromString(data)
    found = () if message.succeeded else tuple(_first(one.response_range) for one in message.responses)
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


def _grant_reply(data: bytes) -> Lease:
    message = _LeaseGrantResponse.FromString(data)
    return Lease(message.ID, message.TTL)


def _ttl_reply(data: bytes) -> int:
    """Seconds; 0 when there is no such lease."""
    return int(_LeaseKeepAliveResponse.FromString(data).TTL)


def _token_reply(data: bytes) -> str:
    return str(_AuthenticateResponse.FromString(data).token)


def _status_reply(data: bytes) -> StatusReply:
    message = _StatusResponse.FromString(data)
    return StatusReply(
        member=message.header.member_id,
        version=message.version,
        size_bytes=message.db_size,
        leader=message.leader,
        errors=tuple(message.errors),
        is_learner=message.is_learner,
    )


def _member_list_reply(data: bytes) -> tuple[ListedMember, ...]:
    members = _MemberListResponse.FromString(data).members
    return tuple(ListedMember(one.ID, one.name, tuple(map(_endpoint, one.client_urls))) for one in members)


def _nothing(_data: bytes) -> None:
    """For replies that say no more than that they came."""


RANGE = Method("/etcdserverpb.KV/Range", _range_reply)
PAGE = Method("/etcdserverpb.KV/Range", Page)
PUT = Method("/etcdserverpb.KV/Put", _put_reply)
TXN = Method("/etcdserverpb.KV/Txn", _txn_reply)
COMPACT = Method("/etcdserverpb.KV/Compact", _nothing)
LEASE_GRANT = Method("/etcdserverpb.Lease/LeaseGrant", _grant_reply)
LEASE_KEEP_ALIVE = Method("/etcdserverpb.Lease/LeaseKeepAlive", _ttl_reply)  # a stream, of one request and one reply
LEASE_REVOKE = Method("/etcdserverpb.Lease/LeaseRevoke", _nothing)
WATCH = Method("/etcdserverpb.Watch/Watch", _watch_reply)
AUTHENTICATE = Method("/etcdserverpb.Auth/Authenticate", _token_reply)
STATUS = Method("/etcdserverpb.Maintenance/Status", _status_reply)
MEMBER_LIST = Method("/etcdserverpb.Cluster/MemberList", _member_list_reply)


def _serialized(message: _Message) -> bytes:
    return bytes(message.SerializeToString())


def _text(key: bytes) -> str:
    return key.decode(errors="surrogateescape")


def _endpoint(url: str) -> str:
    return url.partition("://")[2] or url


def _int64(revision: int) -> int:
    return max(-_LAST, min(revision, _LAST))


def _key_value(message: _Message) -> KeyValue:
    created, modified = message.create_revision, message.mod_revision
    if modified == created:
        modified = created  # one number, not two: of a hundred thousand keys that were never changed, 3 MB
    return KeyValue(_text(message.key), message.value, created, modified, message.lease)


def _event(message: _Message) -> Event:
    kv = message.kv
    return Event(_text(kv.key), None if message.type == _DELETE else kv.value, kv.mod_revision)


def _first(message: _Message) -> KeyValue | None:
    return _key_value(message.kvs[0]) if message.kvs else None


# A message is filled where it lies: to make one and have it copied into another takes twice as long.


def _fill_compare(message: _Message, condition: Condition) -> None:
    """A compare with a range holds when it does for each key in it; where there is none, for a key at revision 0."""
    message.target = _MOD
    if isinstance(condition, Compare):
        message.result, message.key, message.mod_revision = _EQUAL, condition.key.encode(), _int64(condition.modified)
    else:
        message.result, message.mod_revision = _LESS, _next(condition)
        message.key, message.range_end = span(condition.prefix)


def _fill_look(message: _Message, condition: Condition) -> None:
    """The compared key, or the first one under the prefix that changed; without its value."""
    message.keys_only = True
    if isinstance(condition, Compare):
        message.key = condition.key.encode()
    else:
        message.key, message.range_end = span(condition.prefix)
        message.limit, message.min_mod_revision = 1, _next(condition)


def _next(unchanged: Unchanged) -> int:
    return _int64(max(unchanged.revision, 0) + 1)


def _fill_level(level: _Message, operations: Sequence[Operation], budget: int, compares: int) -> None:
    """Each level takes a half of what may lie in it and below, or as much as its compares do."""
    share = max(budget // 2, compares)
    if len(operations) <= budget or share >= budget:  # the latter is for etcd to refuse
        for operation in operations:
            _fill_operation(level.add(), operation)
        return
    size = -(-len(operations) // share)
    for at in range(0, len(operations), size):
        _fill_level(level.add().request_txn.success, operations[at : at + size], budget - share, 0)


def _fill_operation(message: _Message, operation: Operation) -> None:
    if isinstance(operation, Put):
        put = message.request_put
        put.key, put.value, put.lease = operation.key.encode(), operation.value, operation.lease
    else:
        message.request_delete_range.key = operation.key.encode()
