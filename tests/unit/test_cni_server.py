"""The agent's end of the socket, with a handler that does what the test says."""

import asyncio
import json
import socket
import struct
import tempfile
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from ocicat.cni import server as module
from ocicat.cni.relay import LIMIT_BYTES
from ocicat.cni.request import parse
from ocicat.cni.result import Attachment
from ocicat.cni.server import Server
from ocicat.errors import Conflict, Refused, Unavailable
from ocicat.mesos.netmodules.protocol import Allocate, ReleaseOwner
from ocicat.model.net import Addr

ENVIRONMENT = {"CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0", "CNI_NETNS": "/ns"}
BODY = b'{"name": "n", "type": "ocicat"}'
ATTACHMENT = Attachment("eth0", "/ns", "02:00:00:00:00:01", (Addr.parse("10.0.0.1"),), (Addr.parse("169.254.1.1"),))
BOUND_S = 5.0


class Handler:
    """Notes who comes and goes; `error` is raised, `gate` is waited for when there is one."""

    def __init__(self):
        self.events = []
        self.error = self.valid = None
        self.gate = None
        self.arrived = asyncio.Condition()

    async def add(self, request):
        await self._note(request)
        return ATTACHMENT

    async def delete(self, request):
        await self._note(request)

    async def check(self, request):
        await self._note(request)

    async def ready(self, network):
        self.events.append(f"ready {network.name}")
        if self.error:
            raise self.error

    def stale(self, network, valid):
        self.valid = (network, valid)
        return [parse({**ENVIRONMENT, "CNI_COMMAND": "DEL", "CNI_CONTAINERID": name}, BODY) for name in ("c8", "c9")]

    async def perform(self, request):
        """Of the network isolator module's."""
        self.events.append(request)
        if self.error:
            raise self.error
        return ATTACHMENT.addresses

    async def _note(self, request):
        name = f"{request.command} {request.container_id} {request.interface}"
        await self._tell(f"in {name}")
        try:
            if self.gate:
                await self.gate.wait()
            if self.error:
                raise self.error
        finally:
            self.events.append(f"out {name}")

    async def _tell(self, event):
        async with self.arrived:
            self.events.append(event)
            self.arrived.notify_all()

    async def seen(self, count):
        """Until that many have come in."""
        async with asyncio.timeout(BOUND_S), self.arrived:
            await self.arrived.wait_for(lambda: sum(event.startswith("in") for event in self.events) >= count)


def message(command="ADD", container="c1", interface="eth0", **fields):
    variables = {"CNI_COMMAND": command, "CNI_CONTAINERID": container, "CNI_IFNAME": interface, "CNI_NETNS": "/ns"}
    head = b"".join(f"{name}={value}".encode() + b"\0" for name, value in variables.items())
    return head + b"\0" + json.dumps({"name": "n", "type": "ocicat", **fields}).encode()


async def no_status():
    return b'{"pid": 7}'


@asynccontextmanager
async def serving():
    with tempfile.TemporaryDirectory(prefix="oct-") as directory:
        handler = Handler()
        server = Server(Path(directory, "run", "agent.sock"), handler, handler, handler, no_status)
        await server.start()
        try:
            yield server, handler
        finally:
            await server.close()


async def ask(server, *parts, end=True):
    """The reply to a request sent in `parts`; `end`: and closed behind them."""
    reader, writer = await asyncio.open_unix_connection(server.path)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        if end:
            writer.write_eof()
        async with asyncio.timeout(BOUND_S):
            return await reader.read()
    finally:
        writer.close()


async def asked(server, *parts):
    """The same, as exit status and decoded output."""
    reply = await ask(server, *parts)
    return int(reply[:1]), json.loads(reply[1:] or "null")


def test_add_prints_the_result_in_the_version_asked_for():
    async def body():
        async with serving() as (server, _):
            status, found = await asked(server, message())
            assert (status, found["cniVersion"], found["ip4"]["ip"]) == (0, "0.2.0", "10.0.0.1/32")
            status, found = await asked(server, message(cniVersion="1.0.0"))
            assert (status, found["cniVersion"], found["ips"][0]["address"]) == (0, "1.0.0", "10.0.0.1/32")

    asyncio.run(body())


@pytest.mark.parametrize("command", ["DEL", "CHECK"])
def test_del_and_check_print_nothing(command):
    async def body():
        async with serving() as (server, handler):
            assert await ask(server, message(command)) == b"0"
            assert handler.events == [f"in {command} c1 eth0", f"out {command} c1 eth0"]

    asyncio.run(body())


def test_a_network_that_can_serve_says_nothing_and_one_that_cannot_says_why():
    async def body():
        async with serving() as (server, handler):
            assert await ask(server, message("STATUS", cniVersion="1.1.0")) == b"0"
            handler.error = Unavailable("store held", hint="wait")
            status, found = await asked(server, message("STATUS", cniVersion="1.1.0"))
            assert (status, found["code"], found["msg"], found["details"]) == (1, 50, "store held", "wait")
            assert handler.events == ["ready n", "ready n"]

    asyncio.run(body())


def test_what_is_stale_is_taken_back_one_at_a_time_with_its_other_requests():
    async def body():
        async with serving() as (server, handler):
            handler.gate = asyncio.Event()
            first = asyncio.create_task(ask(server, message("ADD", "c8")))
            await handler.seen(1)
            valid = [{"containerID": "c1", "ifname": "eth0"}, {"containerID": "c1", "ifname": "eth1"}]
            asking = asyncio.create_task(
                ask(server, message("GC", cniVersion="1.1.0", **{"cni.dev/valid-attachments": valid}))
            )
            handler.gate.set()
            assert (await first)[:1] == b"0"
            assert await asking == b"0"
            assert handler.valid == ("n", frozenset({("c1", "eth0"), ("c1", "eth1")}))
            names = [f"{way} {what}" for what in ("ADD c8 eth0", "DEL c8 eth0", "DEL c9 eth0") for way in ("in", "out")]
            assert handler.events == names

    asyncio.run(body())


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (Refused("pool full", hint="add one"), 100, "pool full"),
        (Unavailable("store held"), 11, "store held"),
        (Conflict("changed"), 11, "changed"),
        (ZeroDivisionError("oh"), 101, "ZeroDivisionError: oh"),
        (OSError(5, "broken"), 101, "OSError: [Errno 5] broken"),
    ],
)
def test_what_the_handler_raises_becomes_an_error_result(error, code, text, caplog):
    async def body():
        async with serving() as (server, handler):
            handler.error = error
            status, found = await asked(server, message(cniVersion="0.4.0"))
            assert (status, found["code"], found["msg"], found["cniVersion"]) == (1, code, text, "0.4.0")
            handler.error = None
            assert (await asked(server, message()))[0] == 0

    asyncio.run(body())
    assert ("Traceback" in caplog.text) == (code == 101)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"", 5),
        (b"CNI_COMMAND=ADD\0", 5),
        (b"\0\0{}", 4),
        (b"CNI_COMMAND=NONE\0\0{}", 4),
        (b"CNI_COMMAND=DEL\0\0{", 6),
        (message(cniVersion="7"), 1),
        (message(container="/"), 4),
    ],
)
def test_a_bad_request_never_reaches_the_handler(sent, code):
    async def body():
        async with serving() as (server, handler):
            status, found = await asked(server, sent)
            assert (status, found["code"]) == (1, code)
            assert handler.events == []

    asyncio.run(body())


def test_the_same_interface_one_after_the_other():
    async def body():
        async with serving() as (server, handler):
            handler.gate = asyncio.Event()
            first = asyncio.create_task(ask(server, message("ADD")))
            await handler.seen(1)
            second = asyncio.create_task(ask(server, message("DEL")))
            other = asyncio.create_task(ask(server, message("ADD", container="c2")))
            await handler.seen(2)
            assert handler.events == ["in ADD c1 eth0", "in ADD c2 eth0"]
            handler.gate.set()
            await asyncio.gather(first, second, other)
            assert handler.events.index("out ADD c1 eth0") < handler.events.index("in DEL c1 eth0")

    asyncio.run(body())


def test_other_interfaces_at_the_same_time():
    async def body():
        async with serving() as (server, handler):
            handler.gate = asyncio.Event()
            asking = [asyncio.create_task(ask(server, message(interface=f"eth{i}"))) for i in range(20)]
            await handler.seen(20)
            handler.gate.set()
            assert all(reply.startswith(b"0") for reply in await asyncio.gather(*asking))
            assert server._turns._locks == {}

    asyncio.run(body())


def test_a_request_in_many_small_pieces():
    async def body():
        async with serving() as (server, _):
            sent = message()
            assert (await ask(server, *(sent[i : i + 7] for i in range(0, len(sent), 7))))[:1] == b"0"

    asyncio.run(body())


def test_a_request_of_the_largest_size_and_one_byte_more():
    async def body():
        async with serving() as (server, _):
            filling = LIMIT_BYTES - len(message())
            assert (await asked(server, message() + b" " * filling))[0] == 0
            status, found = await asked(server, message(), b" " * (filling + 1))
            assert (status, found["code"]) == (1, 6)

    asyncio.run(body())


def test_a_plugin_that_stalls_is_told_so_and_holds_up_nobody(monkeypatch):
    monkeypatch.setattr(module, "READ_TIMEOUT_S", 0.1)

    async def body():
        async with serving() as (server, _):
            stalled = asyncio.create_task(ask(server, message()[:20], end=False))
            assert (await asked(server, message()))[0] == 0
            reply = await stalled
            assert (reply[:1], json.loads(reply[1:])["code"]) == (b"1", 5)

    asyncio.run(body())


def test_a_plugin_that_goes_away_leaves_the_server_well():
    async def body():
        async with serving() as (server, handler):
            handler.gate = asyncio.Event()
            _, writer = await asyncio.open_unix_connection(server.path)
            writer.write(message())
            writer.write_eof()
            await handler.seen(1)
            writer.transport.abort()
            handler.gate.set()
            assert (await asked(server, message("DEL")))[0] == 0
            assert handler.events.index("out ADD c1 eth0") < handler.events.index("in DEL c1 eth0")

    asyncio.run(body())


class Stranger:
    """A connection whose peer is user 1000."""

    def getsockopt(self, level, option, size):
        assert (level, option, size) == (socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return struct.pack("3i", 4242, 1000, 1000)


def test_only_root_may_ask():
    with pytest.raises(module.CniError, match="user 1000") as caught:
        module._refuse_others_than_root(Stranger())
    assert (caught.value.code, caught.value.hint) == (100, "only root may")


def ask_briefly(path):
    """As the plugin does it: what was read counts, also when the connection is reset behind it."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(BOUND_S)
        connection.connect(str(path))
        with suppress(BrokenPipeError):
            connection.sendall(message())
        return connection.recv(65536)


def test_others_are_refused_before_their_request_is_read(monkeypatch):
    async def body():
        async with serving() as (server, handler):
            reply = await asyncio.to_thread(ask_briefly, server.path)
            assert (reply[:1], json.loads(reply[1:])["code"], handler.events) == (b"1", 100, [])

    monkeypatch.setattr(module, "ROOT", 12345)
    asyncio.run(body())


@pytest.fixture
def path():
    with tempfile.TemporaryDirectory(prefix="oct-") as directory:
        yield Path(directory, "agent.sock")


def test_whoever_asks_how_the_agent_is_is_told_and_needs_no_document():
    async def body():
        async with serving() as (server, _):
            return await asked(server, b"OCICAT_PROTOCOL=status\0\0")

    assert asyncio.run(body()) == (0, {"pid": 7})


def test_the_socket_is_for_root_alone():
    async def body():
        async with serving() as (server, _):
            return server.path.stat().st_mode & 0o777

    assert asyncio.run(body()) == 0o600


def test_a_stale_socket_is_replaced_and_ours_is_removed(path):
    async def body():
        server = Server(path, Handler(), Handler(), Handler(), no_status)
        await server.start()
        assert (await asked(server, message()))[0] == 0
        await server.close()

    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    asyncio.run(body())
    assert not path.exists()


def test_a_file_of_somebody_else_is_not_removed(path):
    path.write_text("mine")
    with pytest.raises(Refused, match=r"agent\.sock"):
        asyncio.run(Server(path, Handler(), Handler(), Handler(), no_status).start())
    assert path.read_text() == "mine"


def test_what_is_in_hand_when_the_agent_stops_gets_no_reply():
    """So that the plugin asks the next agent."""

    async def body():
        async with serving() as (server, handler):
            handler.gate = asyncio.Event()
            asking = [asyncio.create_task(ask(server, message(container=name))) for name in ("c1", "c2")]
            reading = asyncio.create_task(ask(server, message()[:20], end=False))
            await handler.seen(2)
            await server.close()
            assert [await each for each in (*asking, reading)] == [b"", b"", b""]
            assert {"out ADD c1 eth0", "out ADD c2 eth0"} <= set(handler.events)

    asyncio.run(body())


# --- the network isolator module ----------------------------------------------------------------------------------


def of_module(command, **args):
    return b"OCICAT_PROTOCOL=net-modules\0\0" + json.dumps({"command": command, "args": args}).encode()


def test_the_modules_requests_get_its_replies():
    async def body():
        async with serving() as (server, handler):
            assert await ask(server, of_module("release", uid="u")) == b'0{"error":null}'
            found = await ask(server, of_module("allocate", hostname="h", uid="u", num_ipv4=1, num_ipv6=0))
            assert found == b'0{"error":null,"ipv4":["10.0.0.1"],"ipv6":[]}'
            assert handler.events == [ReleaseOwner("u"), Allocate("u", 1, 0)]

    asyncio.run(body())


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (Refused("IP '10.0.0.1' already in use."), "IP '10.0.0.1' already in use."),
        (Unavailable("the store is away", hint="wait"), "the store is away (wait)"),
        (ValueError("oh"), "ValueError: oh (this is a defect: see the agent's log)"),
    ],
)
def test_the_modules_failures_are_in_its_own_form(error, text):
    async def body():
        async with serving() as (server, handler):
            handler.error = error
            assert await asked(server, of_module("cleanup", hostname="h", container_id="c")) == (1, {"error": text})
            assert await asked(server, of_module("cleanup", hostname="h")) == (1, {"error": "Missing container_id"})

    asyncio.run(body())
