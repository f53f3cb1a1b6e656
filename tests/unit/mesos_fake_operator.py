"""A Mesos master's operator API that says what a test tells it to, over real sockets."""

from __future__ import annotations

import json

from mesos_fake_master import FakeMaster, read_request


class FakeOperator(FakeMaster):
    """SUBSCRIBE is answered with `state`, then with what the test says."""

    def __init__(self, heartbeat_s=60.0, **state):
        super().__init__(heartbeat_s)
        self.state = state
        self.authorizations = []

    async def _answer(self, reader, writer):
        line, headers, body = await read_request(reader)
        assert (line, json.loads(body)) == ("POST /api/v1 HTTP/1.1", {"type": "SUBSCRIBE"})
        self.authorizations.append(headers.get("authorization"))
        if self.instead:
            writer.write(self.instead.popleft().encode())
            await writer.drain()
            return
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        self._streams.append(writer)
        subscribed = {"get_state": self.state, "heartbeat_interval_seconds": self.heartbeat_s}
        await self.say("SUBSCRIBED", subscribed=subscribed)
        await reader.read()  # until the other side goes


def wrapped(value):
    return {"value": value}


def raw_task(name, *, agent="S0", framework="F0", state="TASK_RUNNING", address="", **more):
    return {
        "name": name,
        "task_id": wrapped(name),
        "framework_id": wrapped(framework),
        "agent_id": wrapped(agent),
        "state": state,
        "statuses": [raw_status(name, state, address)] if address else [],
        **more,
    }


def raw_status(name, state, address="", container="C0", **more):
    info = {"name": "ocicat", "ip_addresses": [{"protocol": "IPv4", "ip_address": address}]}
    status = {"container_id": wrapped(container), "network_infos": [info] if address else []}
    return {"task_id": wrapped(name), "state": state, "container_status": status, **more}


def raw_agent(name="S0", hostname="h1", address="10.0.0.1"):
    return {
        "agent_info": {"hostname": hostname, "id": wrapped(name)},
        "active": True,
        "pid": f"slave(1)@{address}:5051",
    }


def raw_framework(name="F0", called="demo", role="web"):
    return {"framework_info": {"name": called, "id": wrapped(name), "roles": [role]}, "active": True}
