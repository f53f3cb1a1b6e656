"""A Mesos master that says what a test tells it to: the v1 scheduler API over real sockets, chunked RecordIO included."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field

from ocicat.mesos.recordio import encode
from ocicat.mesos.wire import Call
from ocicat.model.codec import decode_json

PATIENCE_S = 5.0


@dataclass
class Canned:
    """An answer that replaces the usual one."""

    status: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def encode(self):
        headers = {"Content-Length": str(len(self.body)), **self.headers}
        lines = [f"HTTP/1.1 {self.status}", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


async def read_request(reader):
    """(request line, headers, body)"""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
    return head[0], headers, await reader.readexactly(int(headers.get("content-length", 0)))


class FakeMaster:
    """`async with FakeMaster() as master`: subscribes everybody, accepts every call, and otherwise keeps silent."""

    def __init__(self, heartbeat_s=60.0):
        self.heartbeat_s = heartbeat_s
        self.calls: list[Call] = []
        self.stream_ids: list[str] = []  # of the calls
        self.instead: deque[Canned] = deque()  # for the next requests
        self.before = {}  # by type of call: what to do before it is answered
        self.refuse: dict[str, Canned] = {}  # by type of call
        self._arrived = asyncio.Condition()
        self._streams: list[asyncio.StreamWriter] = []
        self._connections: dict[asyncio.Task, asyncio.StreamWriter] = {}

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for writer in self._connections.values():
            writer.transport.abort()
        await asyncio.gather(*self._connections)
        await self._server.wait_closed()

    async def _serve(self, reader, writer):
        self._connections[asyncio.current_task()] = writer
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._answer(reader, writer)
        finally:
            writer.transport.abort()
            with suppress(ConnectionError):
                await writer.wait_closed()
            del self._connections[asyncio.current_task()]

    async def _answer(self, reader, writer):
        line, headers, body = await read_request(reader)
        assert line == "POST /api/v1/scheduler HTTP/1.1"
        call = decode_json(Call, body)
        if act := self.before.get(call.type):
            await act()
        canned = self.instead.popleft() if self.instead else self.refuse.get(call.type)
        if canned is None and call.type == "SUBSCRIBE":
            await self._subscribe(call, reader, writer)
            return
        writer.write((canned or Canned("202 Accepted")).encode())
        await writer.drain()
        await self._note(call, headers.get("mesos-stream-id", ""))

    async def _note(self, call, stream_id):
        async with self._arrived:
            self.calls.append(call)
            self.stream_ids.append(stream_id)
            self._arrived.notify_all()

    async def _subscribe(self, call, reader, writer):
        number = len(self._streams)
        head = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nMesos-Stream-Id: stream-{number}\r\n\r\n"
        writer.write(head.encode())
        self._streams.append(writer)
        subscribed = {"framework_id": {"value": "F-1"}, "heartbeat_interval_seconds": self.heartbeat_s}
        await self.say("SUBSCRIBED", subscribed=subscribed)
        await self._note(call, "")
        await reader.read()  # until the other side goes

    # --- what tests say ---

    async def say(self, kind, **members):
        await self.write(encode(json.dumps({"type": kind, **members}).encode()))

    async def write(self, data):
        """On the newest stream, cut into chunks that care for no border of records."""
        writer = self._streams[-1]
        for start in range(0, len(data), 7):
            piece = data[start : start + 7]
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await writer.drain()

    async def offer(self, *hosts, cpus=4.0, mem=1024.0, port=0):
        def raw(host):
            resources = [
                {"name": name, "type": "SCALAR", "scalar": {"value": value}}
                for name, value in (("cpus", cpus), ("mem", mem))
            ]
            if port:
                ranges = {"range": [{"begin": port, "end": port}]}
                resources.append({"name": "ports", "type": "RANGES", "ranges": ranges})
            ids = {"id": {"value": f"o-{host}"}, "agent_id": {"value": f"s-{host}"}}
            return {**ids, "hostname": host, "resources": resources}

        await self.say("OFFERS", offers={"offers": [raw(host) for host in hosts]})

    async def update(self, task_id, state, *, uuid="", **more):
        ids = {"task_id": {"value": task_id}, "agent_id": {"value": "s-h1"}}
        await self.say("UPDATE", update={"status": {**ids, "state": f"TASK_{state}", "uuid": uuid, **more}})

    def cut(self):
        self._streams[-1].transport.abort()

    async def end(self):
        """Close the stream in good order."""
        self._streams[-1].write(b"0\r\n\r\n")
        await self._streams[-1].drain()

    # --- what tests hear ---

    async def call(self, kind, number=1):
        """The `number`th call of that kind, as soon as it is there."""
        async with self._arrived, asyncio.timeout(PATIENCE_S):
            await self._arrived.wait_for(lambda: len(self.all(kind)) >= number)
        return self.all(kind)[number - 1]

    def all(self, kind):
        return [call for call in self.calls if call.type == kind]
