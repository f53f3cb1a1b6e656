"""The part of etcd's v3 API that is used here, as protobuf message classes made at import.

1. They live in a descriptor pool of their own: a second etcd library in the same process cannot clash with them.
2. Only the fields named below are read or written; what a newer etcd adds is skipped by protobuf.
3. Enumerations are declared as the integers they are on the wire.

Source of names and numbers: etcd v3 API reference (etcdserverpb, mvccpb).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

if TYPE_CHECKING:
    from google.protobuf.message import Message

_PACKAGE = "ocicat.etcd"

# One line a field: type, name, number. A star: repeated. A capital: another message.
_MESSAGES = {
    "Header": "uint64 member_id 2, int64 revision 3",
    "KeyValue": "bytes key 1, int64 create_revision 2, int64 mod_revision 3, bytes value 5, int64 lease 6",
    "Event": "int32 type 1, KeyValue kv 2",
    "RangeRequest": "bytes key 1, bytes range_end 2, int64 limit 3, int64 revision 4, bool keys_only 8, bool count_only 9,"
    " int64 min_mod_revision 10",
    "RangeResponse": "Header header 1, KeyValue* kvs 2, bool more 3, int64 count 4",
    "PutRequest": "bytes key 1, bytes value 2, int64 lease 3",
    "PutResponse": "Header header 1",
    "DeleteRangeRequest": "bytes key 1",
    "RequestOp": "RangeRequest request_range 1, PutRequest request_put 2,"
    " DeleteRangeRequest request_delete_range 3, TxnRequest request_txn 4",
    "ResponseOp": "RangeResponse response_range 1",
    "Compare": "int32 result 1, int32 target 2, bytes key 3, int64 mod_revision 6, bytes range_end 64",
    "TxnRequest": "Compare* compare 1, RequestOp* success 2, RequestOp* failure 3",
    "TxnResponse": "Header header 1, bool succeeded 2, ResponseOp* responses 3",
    "CompactionRequest": "int64 revision 1",
    "LeaseGrantRequest": "int64 TTL 1",
    "LeaseGrantResponse": "int64 ID 2, int64 TTL 3",
    "LeaseKeepAliveRequest": "int64 ID 1",
    "LeaseKeepAliveResponse": "int64 TTL 3",
    "LeaseRevokeRequest": "int64 ID 1",
    "WatchCreateRequest": "bytes key 1, bytes range_end 2, int64 start_revision 3, bool progress_notify 4, bool fragment 8",
    "WatchRequest": "WatchCreateRequest create_request 1",
    "WatchResponse": "Header header 1, bool created 3, bool canceled 4, int64 compact_revision 5, string cancel_reason 6,"
    " bool fragment 7, Event* events 11",
    "AuthenticateRequest": "string name 1, string password 2",
    "AuthenticateResponse": "string token 2",
    "StatusRequest": "",
    "StatusResponse": "Header header 1, string version 2, int64 db_size 3, uint64 leader 4, string* errors 8,"
    " bool is_learner 10",
    "Member": "uint64 ID 1, string name 2, string* client_urls 4",
    "MemberListResponse": "Member* members 2",
}
_TYPES = {
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "string": FieldDescriptorProto.TYPE_STRING,
    "uint64": FieldDescriptorProto.TYPE_UINT64,
}


def message_class(name: str) -> type[Message]:
    return GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


def _field(text: str) -> FieldDescriptorProto:
    kind, name, number = text.split()
    plain = kind.rstrip("*")
    field = FieldDescriptorProto(name=name, number=int(number))
    field.label = FieldDescriptorProto.LABEL_REPEATED if kind != plain else FieldDescriptorProto.LABEL_OPTIONAL
    field.type = _TYPES.get(plain, FieldDescriptorProto.TYPE_MESSAGE)
    if plain not in _TYPES:
        field.type_name = f".{_PACKAGE}.{plain}"
    return field


def _pool() -> DescriptorPool:
    file = FileDescriptorProto(name="ocicat/etcd.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        file.message_type.append(DescriptorProto(name=name, field=[_field(text) for text in fields.split(",") if text]))
    pool = DescriptorPool()
    pool.Add(file)
    return pool


_POOL = _pool()
