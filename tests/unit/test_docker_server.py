"""The socket on which Docker's engine calls, and how calls are read and answered."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import stat
from contextlib import closing

import pytest

from ocicat.docker import http as plugin_http
from ocicat.docker import messages
from ocicat.docker.http import Listener
from ocicat.docker.server import answering
from ocicat.errors import NotFound, Refused, UserError
from ocicat.model.codec import decode_json

NETWORK = {"NetworkID": "n1"}
BOUND_S = 10.0


class Handler:
    """Remembers its calls; `reply` is what it answers, or raises."""

    def __init__(self):
        self.calls, self.reply = [], {"Address": "10.0.0.1/32"}

    async def perform(self, call):
        self.calls.append(call)
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply


def asked(handler, path, body=b"{}"):
    return json.loads(asyncio.run(answering(handler)(path, body)))


# --- calls --------------------------------------------------------------------------------------------------------


def test_questions_are_answered_without_the_agent():
    handler = Handler()
    assert asked(handler, "/Plugin.Activate", b"") == {"Implements": ["NetworkDriver", "IpamDriver"]}
    assert asked(handler, "/NetworkDriver.GetCapabilities")["Scope"] == "local"
    assert asked(handler, "/IpamDriver.GetCapabilities") == {
        "RequiresMACAddress": False,
        "RequiresRequestReplay": False,
    }
    assert asked(handler, "/IpamDriver.GetDefaultAddressSpaces")["LocalDefaultAddressSpace"] == messages.ADDRESS_SPACE
    assert handler.calls == []


def test_a_call_is_read_as_the_engine_writes_it():
    """Taken down from Docker 20.10; null is Go's word for nothing."""
    body = (
        b'{"NetworkID":"n1","EndpointID":"e1","Options":{"com.docker.network.endpoint.exposedports":[],'
        b'"com.docker.network.portmap":[]},"Interface":{"Address":"10.66.0.130/32","AddressIPv6":"","MacAddress":""}}\n'
    )
    call = messages.read("/NetworkDriver.CreateEndpoint", body)
    assert (call.network_id, call.endpoint_id, call.interface.address) == ("n1", "e1", "10.66.0.130/32")
    body = (
        b'{"NetworkID":"n1","Options":{"com.docker.network.enable_ipv6":false,"com.docker.network.generic":{}},'
        b'"IPv4Data":[{"AddressSpace":"ocicat","Pool":"0.0.0.0/0","Gateway":"169.254.1.1/32","AuxAddresses":null}],'
        b'"IPv6Data":null}'
    )
    call = messages.read("/NetworkDriver.CreateNetwork", body)
    assert call.ipv4 == (messages.Pool("ocicat", "0.0.0.0/0", "169.254.1.1/32"),)
    assert call.ipv6 == ()
    assert messages.read("/IpamDriver.RequestPool", b'{"Options":null,"V6":true}') == messages.RequestPool(v6=True)
    assert messages.read("/NetworkDriver.DiscoverNew", b'{"DiscoveryType":1}') == messages.Discover()


@pytest.mark.parametrize("path", ["/NetworkDriver.Jump", "/", ""])
def test_an_unknown_call_is_said_to_be_unknown(path):
    with pytest.raises(NotFound, match="there is no such call"):
        messages.read(path, b"{}")


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"NetworkID":5}'])
def test_a_body_of_another_shape_names_the_call(body):
    with pytest.raises(UserError, match=r"NetworkDriver\.Join"):
        messages.read("/NetworkDriver.Join", body)


def test_calls_about_the_same_endpoint_have_the_same_subject():
    join, leave = messages.Join("n1", "e1"), messages.Leave("n1", "e1")
    assert messages.subject(join) == messages.subject(leave) != messages.subject(messages.Leave("n1", "e2"))
    assert messages.subject(messages.DeleteNetwork("n1")) == messages.subject(messages.CreateNetwork("n1")) != ""
    assert messages.subject(messages.RequestAddress("p")) == ""


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (Refused("no address left", hint="add a pool"), "no address left (add a pool)"),
        (ValueError("oops"), "ValueError: oops (this is a defect: see the agent's log)"),
    ],
)
def test_an_error_is_told_in_the_engine_s_own_way(error, text):
    handler = Handler()
    handler.reply = error
    assert asked(handler, "/NetworkDriver.DeleteNetwork", json.dumps(NETWORK).encode()) == {"Err": text, "Error": text}


# --- the socket ---------------------------------------------------------------------------------------------------


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("plugin", timeout=BOUND_S)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(BOUND_S)
        self.sock.connect(str(self.path))

    def post(self, path, body):
        self.request("POST", path, body)
        answer = self.getresponse()
        return answer.status, json.loads(answer.read())


def served(tmp_path, test, answer=None):
    """Runs `test(path)` in a thread, beside the server."""

    async def echo(path, body):
        return json.dumps({"path": path, "body": body.decode()}).encode()

    async def run():
        listener = Listener(tmp_path / "plugins" / "p.sock", answer or echo)
        await listener.start()
        try:
            await asyncio.wait_for(asyncio.to_thread(test, listener.path), BOUND_S)
        finally:
            await listener.close()
        return listener.path

    return asyncio.run(run())


def test_many_calls_on_one_connection(tmp_path):
    def test(path):
        with closing(Connection(path)) as connection:
            for each in ("1", "2", ""):
                assert connection.post(f"/A.{each}", each) == (200, {"path": f"/A.{each}", "body": each})

    assert not served(tmp_path, test).exists()


def test_only_root_may_connect(tmp_path):
    served(tmp_path, lambda path: stat.S_IMODE(path.stat().st_mode) == 0o600 or pytest.fail("others may"))


def test_a_socket_that_was_left_is_taken_over(tmp_path):
    (tmp_path / "plugins").mkdir()
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "plugins" / "p.sock"))
    left.close()

    def test(path):
        with closing(Connection(path)) as connection:
            assert connection.post("/A", "x")[0] == 200

    served(tmp_path, test)


def test_a_place_that_cannot_be_served_is_refused(tmp_path):
    (tmp_path / "plugins").write_text("a file")
    with pytest.raises(Refused, match=r"cannot serve .*p\.sock.*choose another --docker-plugin"):
        served(tmp_path, lambda path: None)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (b"GET /A HTTP/1.1\r\n\r\n", "GET /A: plugins are called by POST"),
        (b"POST /A HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "/A: the body must say its length"),
        (b"POST /A HTTP/1.1\r\nContent-Length: many\r\n\r\n", "/A: the body must say its length"),
        (b"POST /A HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n", "/A: the body is longer than"),
        (b"hello\r\n\r\n", "not an HTTP request: 'hello'"),
    ],
)
def test_what_is_not_understood_is_answered_and_ends_the_connection(tmp_path, request_, words):
    def test(path):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(BOUND_S)
            sock.connect(str(path))
            sock.sendall(request_)
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ")
        assert words in decode_json(dict[str, str], body)["Err"]

    served(tmp_path, test)


def test_a_request_that_never_ends_is_answered(tmp_path, monkeypatch):
    monkeypatch.setattr(plugin_http, "READ_S", 0.02)

    def test(path):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(BOUND_S)
            sock.connect(str(path))
            sock.sendall(b"POST /A HTTP/1.1\r\nContent-Length: 5\r\n\r\nab")
            assert b"did not end within" in b"".join(iter(lambda: sock.recv(65536), b""))

    served(tmp_path, test)


def test_a_call_in_hand_when_the_server_closes_gets_no_answer(tmp_path):
    """The engine then asks whoever serves the socket next."""
    begun = asyncio.Event()

    async def never(path, body):
        begun.set()
        await asyncio.Event().wait()

    async def run():
        listener = Listener(tmp_path / "p.sock", never)
        await listener.start()
        reader, writer = await asyncio.open_unix_connection(listener.path)
        writer.write(b"POST /A HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        await begun.wait()
        await listener.close()
        assert await reader.read() == b""
        writer.close()

    asyncio.run(asyncio.wait_for(run(), BOUND_S))
