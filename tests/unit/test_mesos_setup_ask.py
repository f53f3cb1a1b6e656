"""Asking the Mesos agent of this host what it was started with: 1.x by its operator API, older ones by their state."""

import asyncio
import json

import pytest

from ocicat.errors import Refused, Unavailable
from ocicat.mesos.masters import Endpoint
from ocicat.mesos.setup import facts
from ocicat.mesos.setup.facts import Running
from ocicat.mesos.setup.flags import Setting

ANSWERS = {
    "GET_VERSION": {"get_version": {"version_info": {"version": "1.11.0"}}},
    "GET_FLAGS": {"get_flags": {"flags": [{"name": "port", "value": "5051"}, {"name": "acls"}]}},
    "GET_AGENT": {"get_agent": {"agent_info": {"hostname": "h1", "port": 5051}}},
}
OLD = {"version": "0.28.2", "hostname": "h1", "flags": {"port": "5051"}, "frameworks": []}


def asked(answer):
    """What is heard of an agent that answers by `answer(path, body)`: a status and a document."""

    async def serve(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next((int(line[15:]) for line in head.splitlines() if line.startswith("Content-Length:")), 0)
        status, document = answer(head.split()[1], (await reader.readexactly(length)).decode())
        body = json.dumps(document).encode()
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))
        writer.close()

    async def run():
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            return await facts.ask(Endpoint("127.0.0.1", server.sockets[0].getsockname()[1]))

    return asyncio.run(run())


def test_a_new_agent_tells_version_flags_and_name():
    found = asked(lambda path, body: (200, ANSWERS[json.loads(body)["type"]] if path == "/api/v1" else {}))
    assert found == Running("1.11.0", "h1", {"port": "5051", "acls": ""})


def test_an_old_agent_tells_its_state():
    assert asked(lambda path, _: (200, OLD) if path == "/state.json" else (404, {})) == Running(
        "0.28.2", "h1", {"port": "5051"}
    )


def test_an_agent_that_tells_not_everybody_is_no_old_one():
    with pytest.raises(Refused, match="401"):
        asked(lambda path, _: (200, OLD) if path == "/state.json" else (401, {}))


def test_an_agent_that_is_not_there():
    with pytest.raises(Unavailable):
        asyncio.run(facts.ask(Endpoint("127.0.0.1", 1)))


def test_where_it_is_asked():
    assert facts.endpoint({}) == Endpoint("127.0.0.1", 5051)
    given = {name: Setting(value, "/f", "directory") for name, value in (("ip", "10.0.0.1"), ("port", "5052"))}
    assert facts.endpoint(given) == Endpoint("10.0.0.1", 5052)
