"""etcd by its HTTP gateway, one member at a time: what administering it takes. It needs nothing beside Python.

1. Nothing is retried, and no other member is asked: who administers wants to know about this one.
2. Errors are Unavailable (no answer), Refused (etcd says no), NotAllowed (a token is missing or wrong).

Source: etcd's API reference v3.4 and v3.5 (etcdserverpb, with the paths of its gateway). Numbers of 64 bits are strings there.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
from collections.abc import Iterator
from typing import BinaryIO, TypeVar

from ocicat.errors import Refused, Unavailable, UserError
from ocicat.model.base import Struct, field
from ocicat.model.codec import decode_json
from ocicat.services.network import Access, connect, reason

T = TypeVar("T")

_NO_USERS = 9  # FAILED_PRECONDITION: authentication is not enabled
_UNAVAILABLE = 14
_DENIED = {7, 16}  # PERMISSION_DENIED, UNAUTHENTICATED
_DENIED_TEXTS = ("user name is empty", "permission denied", "invalid auth token")  # of which etcd makes code 3 or 2
_DIGEST_BYTES = 32
_FIRST, _ALL = b"\0", b"\0"
_PAGE = 1000  # keys


class NotAllowed(Refused):
    """Log in first."""


class Header(Struct, frozen=True):
    cluster_id: str = ""
    member_id: str = ""
    revision: str = "0"


class Status(Struct, frozen=True):
    """Of one member, by its own word."""

    header: Header = Header()
    version: str = ""
    size: str = field(name="dbSize", default="0")
    leader: str = "0"
    raft_index: str = field(name="raftIndex", default="0")
    raft_applied: str = field(name="raftAppliedIndex", default="0")
    errors: tuple[str, ...] = ()
    is_learner: bool = field(name="isLearner", default=False)

    @property
    def is_leader(self) -> bool:
        return self.leader == self.header.member_id != ""

    @property
    def applied(self) -> int:
        return int(self.raft_applied)


class Listed(Struct, frozen=True):
    """A member, by the cluster's word."""

    id: str = field(name="ID", default="")
    name: str = ""
    peer_urls: tuple[str, ...] = field(name="peerURLs", default=())


class Alarm(Struct, frozen=True):
    member_id: str = field(name="memberID", default="")
    alarm: str = ""


class Item(Struct, frozen=True):
    """A key with its value, both in base64."""

    key: str = ""
    value: str = ""
    create_revision: str = "0"
    mod_revision: str = "0"
    version: str = "0"
    lease: str = "0"


class Content(Struct, frozen=True):
    """All keys at a revision: how many, and SHA-256 over each with its value, revisions and lease, in their order."""

    revision: int
    keys: int
    digest: str


class _Members(Struct, frozen=True):
    members: tuple[Listed, ...] = ()


class _Alarms(Struct, frozen=True):
    alarms: tuple[Alarm, ...] = ()


class _Token(Struct, frozen=True):
    token: str = ""


class _Page(Struct, frozen=True):
    kvs: tuple[Item, ...] = ()
    more: bool = False


class _Nothing(Struct, frozen=True):
    pass


class _Error(Struct, frozen=True):
    error: str | dict[str, object] = ""
    message: str = ""
    code: int = 0


class _Piece(Struct, frozen=True):
    blob: str = ""


class _Chunk(Struct, frozen=True):
    result: _Piece = _Piece()
    error: dict[str, object] | None = None


class Etcd:
    """One member. `token`: of a user, after `log_in`."""

    def __init__(self, host: str, port: int, way: Access) -> None:
        self.host, self.port, self.way = host, port, way
        self.token = ""

    @property
    def endpoint(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def log_in(self, user: str, password: str) -> bool:
        """False: nobody has to. Refused: not with this password."""
        try:
            self.token = self._call("auth/authenticate", _Token, name=user, password=password).token
        except _NoUsers:
            return False
        return True

    def status(self) -> Status:
        return self._call("maintenance/status", Status)

    def members(self) -> tuple[Listed, ...]:
        return self._call("cluster/member/list", _Members).members

    def alarms(self) -> tuple[Alarm, ...]:
        return self._call("maintenance/alarm", _Alarms, action="GET").alarms

    def content(self, revision: int) -> Content:
        """By this member's own word, without asking the others."""
        digest, keys = hashlib.sha256(), 0
        for item in self._items(revision):
            keys += 1
            for part in (item.key, item.value, item.create_revision, item.mod_revision, item.version, item.lease):
                digest.update(f"{part};".encode())
        return Content(revision, keys, digest.hexdigest())

    def move_leader(self, member_id: str) -> None:
        self._call("maintenance/transfer-leadership", _Nothing, targetID=member_id)

    def add_user(self, user: str, password: str, role: str) -> None:
        """What is there already stays as it is."""
        for path, fields in (
            ("auth/user/add", {"name": user, "password": password}),
            ("auth/role/add", {"name": role}),
            ("auth/user/grant", {"user": user, "role": role}),
        ):
            self._unless_there(path, fields)

    def allow(self, role: str, prefix: str) -> None:
        """To read and write what begins so."""
        key = prefix.encode()
        end = key[:-1] + bytes([key[-1] + 1])
        permission = {"permType": "READWRITE", "key": _base64(key), "range_end": _base64(end)}
        self._call("auth/role/grant", _Nothing, name=role, perm=permission)

    def require_users(self) -> None:
        self._call("auth/enable", _Nothing)

    def snapshot(self, file: BinaryIO) -> int:
        """The whole member's database; how many bytes. Refused when what came is not what was sent."""
        digest, last, total = hashlib.sha256(), b"", 0
        for piece in self._pieces("maintenance/snapshot"):
            file.write(piece)
            total += len(piece)
            digest.update((last + piece)[:-_DIGEST_BYTES])
            last = (last + piece)[-_DIGEST_BYTES:]
        if total <= _DIGEST_BYTES or digest.digest() != last:
            raise Refused(f"etcd {self.endpoint}: the snapshot is incomplete: {total} bytes, and not their digest")
        return total

    def _items(self, revision: int) -> Iterator[Item]:
        """Page by page; a page that is too large for the gateway is asked for again, with half as many keys."""
        first, limit = _FIRST, _PAGE
        while True:
            span = {"key": _base64(first), "range_end": _base64(_ALL), "revision": str(revision)}
            try:
                page = self._call("kv/range", _Page, **span, limit=str(limit), serializable=True)
            except Refused as error:
                if "larger than max" not in error.message or limit == 1:
                    raise
                limit = max(1, limit // 2)
                continue
            yield from page.kvs
            if not page.more:
                return
            first = base64.b64decode(page.kvs[-1].key) + b"\0"

    def _unless_there(self, path: str, fields: dict[str, str]) -> None:
        try:
            self._call(path, _Nothing, **fields)
        except Refused as error:
            if "already exist" not in error.message:
                raise

    def _call(self, path: str, wanted: type[T], **fields: object) -> T:
        connection, reply = self._send(path, fields)
        try:
            return decode_json(wanted, reply.read(), what=f"etcd {self.endpoint}: {path}")
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"etcd {self.endpoint}: the answer ends early") from error
        finally:
            connection.close()

    def _pieces(self, path: str) -> Iterator[bytes]:
        connection, reply = self._send(path, {})
        try:
            while line := reply.readline():
                if line.strip():
                    chunk = decode_json(_Chunk, line, what=f"etcd {self.endpoint}: {path}")
                    if chunk.error:
                        raise self._denied(json.dumps(chunk.error).encode())
                    yield base64.b64decode(chunk.result.blob)
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"etcd {self.endpoint}: the answer ends early") from error
        finally:
            connection.close()

    def _send(
        self, path: str, fields: dict[str, object]
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=self.way.timeout_s)
        connection.sock = connect(self.host, self.port, self.way)
        try:
            headers = {"Content-Type": "application/json"} | ({"Authorization": self.token} if self.token else {})
            connection.request("POST", f"/v3/{path}", json.dumps(fields), headers)
            reply = connection.getresponse()
            if reply.status != http.client.OK:
                raise self._denied(reply.read())
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            said = reason(error) if isinstance(error, OSError) else "answers with something that is not HTTP"
            raise Unavailable(f"etcd {self.endpoint}: {said}") from error
        except BaseException:
            connection.close()
            raise
        return connection, reply

    def _denied(self, body: bytes) -> Exception:
        try:
            said = decode_json(_Error, body)
        except UserError:  # not of etcd's gateway: it is shown as it is
            return Unavailable(f"etcd {self.endpoint}: {body[:200].decode(errors='replace')}")
        text = said.message or str(said.error)
        if said.code == _NO_USERS and "authentication is not enabled" in text:
            return _NoUsers(f"etcd {self.endpoint}: {text}")
        if said.code in _DENIED or any(one in text for one in _DENIED_TEXTS):
            return NotAllowed(f"etcd {self.endpoint}: {text}", hint="the password file of root says who may")
        if said.code == _UNAVAILABLE or "no leader" in text or "timed out" in text:
            return Unavailable(f"etcd {self.endpoint}: {text}")
        return Refused(f"etcd {self.endpoint}: {text}")


class _NoUsers(Refused):
    """Authentication is not enabled."""


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
