"""Connections to the members of an etcd cluster, one of them in use: which to ask, as whom, for how long, and what a failure means.

1. A member is used only after it answered and knew a leader; when it fails, the next one is tried.
2. What may have been done is never done again: of a call that is not `repeatable` and whose answer was lost, the outcome is
   unknown, and the error says so. Everything that is known not to have been done is tried again until `timeout_s` is over.
3. Every call has a deadline: it lasts at most `timeout_s`, and twice that where a member has to be found first.
4. A token that has expired is renewed once, by one caller for all.
5. Replies may be of any size.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import grpc
from grpc.aio import (
    AioRpcError,
    Channel,
    Metadata,
    StreamStreamCall,
    StreamStreamMultiCallable,
    UnaryUnaryMultiCallable,
)

from ocicat.errors import Unavailable
from ocicat.store.etcd import failures
from ocicat.store.etcd.address import Address
from ocicat.store.etcd.wire import AUTHENTICATE, STATUS, STATUS_REQUEST, Method, Reply, authenticate_request

if TYPE_CHECKING:
    from types import TracebackType

_PAUSE_S = 0.05  # between two rounds, while a leader is being elected
_OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.minimal_stack", 1),  # no retries but ours (rule 2), no compression, no tracing
    ("grpc.enable_http_proxy", 0),  # what the environment says of the web is not meant for the store
    ("grpc.use_local_subchannel_pool", 1),  # two stores in one process share no fate
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.keepalive_time_ms", 10_000),  # a watch hears of a dead peer; etcd refuses less than 5 s
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),  # what a newer gRPC waits for the answer instead; a minute unless told
    ("grpc.http2.max_pings_without_data", 0),
]
_LEADER = ("hasleader", "true")  # have a member without a leader say so, rather than let us wait


class Member:
    """One endpoint and its channel."""

    def __init__(self, endpoint: str, channel: Channel) -> None:
        self.endpoint = endpoint
        self.channel = channel
        self._stubs: dict[object, UnaryUnaryMultiCallable[bytes, object]] = {}  # by method

    @property
    def is_connected(self) -> bool:
        return self.channel.get_state() is grpc.ChannelConnectivity.READY

    async def call(
        self, method: Method[Reply], request: bytes, timeout_s: float, metadata: Metadata | None = None
    ) -> Reply:
        stub = self._stubs.get(method)
        if not stub:
            stub = self._stubs[method] = self.channel.unary_unary(method.path, response_deserializer=method.reply)
        return cast("Reply", await stub(request, timeout=timeout_s, metadata=metadata))

    async def problem(self, timeout_s: float) -> str:
        """Connects. Why it is of no use now; empty when it is."""
        try:
            status = await self.call(STATUS, STATUS_REQUEST, timeout_s)
        except AioRpcError as error:
            return failures.reason(error)
        return "" if status.leader else "has no leader"


class Client:
    """Made in the event loop that uses it; `connect` before anything else."""

    def __init__(self, address: Address) -> None:
        self.url = address.url
        self.endpoints = address.endpoints
        self.name = f"etcd://{','.join(address.endpoints)}"  # for people: the address without its parameters
        self.timeout_s = address.timeout_s
        self.is_closed = False
        self._address = address
        self._members = [Member(endpoint, _channel(address, endpoint)) for endpoint in address.endpoints]
        self._at = random.randrange(len(self._members))  # a thousand hosts must not all lean on the first
        self._token = ""
        self._metadata = Metadata(_LEADER)  # made once for each token: gRPC would make it from tuples for each call
        self._login = asyncio.Lock()
        self.closing = _Closing(self)

    async def connect(self) -> None:
        """Finds a member and logs in. Raises Unavailable (none answers), Refused (not as this user)."""
        with self.closing:
            await self._member()
            if self._address.user:
                await self._renew("")

    async def call(self, method: Method[Reply], request: bytes, *, repeatable: bool) -> Reply:
        """Raises Unavailable, Refused, Compacted. `repeatable`: doing it twice is doing it once."""
        deadline = asyncio.get_running_loop().time() + self.timeout_s
        with self.closing:
            while True:
                try:
                    return await self._once(method, request, repeatable=repeatable)
                except _Undone as undone:
                    if asyncio.get_running_loop().time() > deadline:
                        raise undone.error from undone.error.__cause__
                    await asyncio.sleep(_PAUSE_S)

    async def stream(self, method: Method[Reply]) -> tuple[Member, StreamStreamCall[bytes, Reply]]:
        """A stream to the member in use. Raises Unavailable when there is none."""
        with self.closing:
            member = await self._member()
            stub: StreamStreamMultiCallable[bytes, Reply]
            stub = member.channel.stream_stream(method.path, response_deserializer=method.reply)
            return member, stub(metadata=self._metadata)

    @asynccontextmanager
    async def visit(self, endpoint: str) -> AsyncGenerator[Member, None]:
        """The member there; one that is not of the address, for as long as the block runs."""
        known = next((member for member in self._members if member.endpoint == endpoint), None)
        member = known or Member(endpoint, _channel(self._address, endpoint))
        with self.closing:
            try:
                yield member
            finally:
                if not known:
                    await member.channel.close()

    async def log_in_again(self) -> bool:
        """Where a refusal may be due to a token that has expired. False: there is no user."""
        with self.closing:
            if self._address.user:
                await self._renew(self._token)
        return bool(self._address.user)

    def leave(self, member: Member) -> None:
        """It failed: whoever comes next tries the one after it."""
        if self._members[self._at] is member:
            self._at = (self._at + 1) % len(self._members)

    async def close(self) -> None:
        self.is_closed = True
        for member in self._members:
            await member.channel.close()

    async def _once(self, method: Method[Reply], request: bytes, *, repeatable: bool) -> Reply:
        """One try. Raises `_Undone` where another one is safe."""
        member = self._members[self._at]
        if not member.is_connected:
            try:
                member = await self._member()
            except Unavailable as error:
                raise _Undone(error) from error
        token = self._token
        try:
            return await member.call(method, request, self.timeout_s, self._metadata)
        except AioRpcError as error:
            if not (self._address.user and failures.is_stale(error)):
                raise self._meaning(member, error, repeatable=repeatable) from error
            stale = failures.lost(self.name, member.endpoint, error)
        try:
            await self._renew(token)
        except Unavailable as error:
            raise _Undone(error) from error
        raise _Undone(stale)

    def _meaning(self, member: Member, error: AioRpcError, *, repeatable: bool) -> Exception:
        if not failures.is_lost(error):
            return failures.refusal(self.name, error)
        self.leave(member)
        if repeatable or failures.is_undone(error):
            return _Undone(failures.lost(self.name, member.endpoint, error))
        return failures.unknown_outcome(self.name, member.endpoint, error)

    async def _member(self) -> Member:
        """The one in use while it is connected, else the next that answers. Raises Unavailable with the reason of each."""
        if self._members[self._at].is_connected:
            return self._members[self._at]
        start, reasons = self._at, []
        for offset in range(len(self._members)):
            at = (start + offset) % len(self._members)
            member = self._members[at]
            problem = await member.problem(self.timeout_s / len(self._members))
            if not problem:
                self._at = at
                return member
            reasons.append(f"{member.endpoint}: {problem}")
        raise Unavailable(
            f"store {self.name}: no member of etcd answers: {'; '.join(reasons)}", hint="is etcd running?"
        )

    async def _renew(self, token: str) -> None:
        """Raises Refused when the user or the password is wrong. `token`: the one that did not do."""
        async with self._login:
            if self._token != token:
                return  # somebody else renewed it meanwhile
            for left in reversed(range(len(self._members))):
                member = await self._member()
                try:
                    self._token = await self._authenticate(member)
                    self._metadata = Metadata(_LEADER, *self.login())
                    return
                except AioRpcError as error:
                    if not failures.is_lost(error):
                        raise failures.refusal(self.name, error) from error
                    self.leave(member)
                    if not left:
                        raise failures.lost(self.name, member.endpoint, error) from error

    async def _authenticate(self, member: Member) -> str:
        """The token. While a leader is being elected this is never answered: then the next member has to have its time, too."""
        request = authenticate_request(self._address.user, self._address.password)
        try:
            return await member.call(AUTHENTICATE, request, self.timeout_s / len(self._members))
        except AioRpcError as error:
            if error.code() is grpc.StatusCode.FAILED_PRECONDITION:  # no users here (yet): all may do all
                return ""
            raise

    def login(self) -> Metadata:
        """What shows a member who we are."""
        return Metadata(("token", self._token)) if self._token else Metadata()


class _Closing:
    """Closing the store cancels what is under way: whoever waits for it, and was not cancelled, is told why.

    Stateless, so that one serves all calls at once.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def __enter__(self) -> None:
        if self._client.is_closed:
            raise failures.closed(self._client.name)

    def __exit__(self, _kind: object, error: BaseException | None, _where: TracebackType | None) -> None:
        if isinstance(error, (asyncio.CancelledError, grpc.aio.UsageError)) and self._client.is_closed:
            task = asyncio.current_task()
            if not (task and task.cancelling()):
                raise failures.closed(self._client.name) from error


class _Undone(Exception):
    """Nothing was done, or doing it again does no harm; `error` is for when time is up."""

    def __init__(self, error: Unavailable) -> None:
        super().__init__(str(error))
        self.error = error


def _channel(address: Address, endpoint: str) -> Channel:
    if not address.ca:
        return grpc.aio.insecure_channel(endpoint, options=_OPTIONS)
    identity = address.identity
    credentials = grpc.ssl_channel_credentials(
        root_certificates=address.ca,
        private_key=identity.key if identity else None,
        certificate_chain=identity.certificate if identity else None,
    )
    return grpc.aio.secure_channel(endpoint, credentials, options=_OPTIONS)
