"""What an agent says about its host, what it reads about it, and that it can be stopped and does not stop by itself."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
from concurrent.futures import Future

import pytest

from ocicat.agent import daemon, node
from ocicat.agent.beside import cancelled
from ocicat.agent.config import SOCKET_MAX_BYTES, AgentConfig, check
from ocicat.dataplane.ownership import DETACHED
from ocicat.errors import Conflict, Refused, Unavailable, UserError
from ocicat.model import keys
from ocicat.model.base import replace
from ocicat.model.net import Addr
from ocicat.netlink import link
from ocicat.store.base import Put
from ocicat.store.memory import MemoryStore
from ocicat.store.transfer.record import RECORD

CONFIG = AgentConfig(host="h1", address="10.0.0.11/24")
KEY = keys.node("h1")


def registered(*before, store=None, config=CONFIG):
    """The node as it is stored after an agent with `config` said who it is."""

    async def scenario():
        opened = store or MemoryStore()
        await opened.commit([], [Put(KEY, json.dumps(value).encode()) for value in before])
        await node.register(opened, config)
        return json.loads((await opened.get(KEY)).value)

    return asyncio.run(scenario())


# --- the node's record ------------------------------------------------------------------------------------------


def test_a_new_host_is_written_with_its_address():
    made = registered()
    assert made["metadata"]["name"] == "h1"
    assert made["spec"]["bgp"]["ipv4Address"] == "10.0.0.11/24"


def test_both_addresses_are_written_and_put_right():
    config = replace(CONFIG, address6="2001:db8::11/64")
    addresses = {"ipv4Address": "10.0.0.11/24", "ipv6Address": "2001:db8::11/64"}
    assert registered(config=config)["spec"]["bgp"] == addresses
    before = {"kind": "Node", "metadata": {"name": "h1"}, "spec": {"bgp": {**addresses, "ipv6Address": "fd00::1/64"}}}
    assert registered(before, config=config)["spec"]["bgp"] == addresses


def test_an_ipv6_address_that_this_agent_was_not_told_of_stays():
    before = {"kind": "Node", "metadata": {"name": "h1"}, "spec": {"bgp": {"ipv6Address": "2001:db8::11/64"}}}
    assert registered(before)["spec"]["bgp"]["ipv6Address"] == "2001:db8::11/64"


@pytest.mark.parametrize("spec", [{}, {"bgp": None}, {"bgp": {}}, {"bgp": {"ipv4Address": "10.9.9.9/16"}}])
def test_the_address_is_put_right_whatever_stood_there(spec):
    before = {"kind": "Node", "apiVersion": "projectcalico.org/v3", "metadata": {"name": "h1"}, "spec": spec}
    assert registered(before)["spec"]["bgp"]["ipv4Address"] == "10.0.0.11/24"


def test_what_others_wrote_stays():
    before = {
        "kind": "Node",
        "metadata": {"name": "h1", "labels": {"rack": "r1"}, "generation": 3},
        "spec": {"bgp": {"asNumber": 64512}, "orchRefs": [{"orchestrator": "mesos"}]},
        "status": {"podCIDRs": []},
    }
    after = registered(before)
    assert after["metadata"] == before["metadata"]
    assert after["status"] == before["status"]
    assert after["spec"] == {
        "bgp": {"asNumber": 64512, "ipv4Address": "10.0.0.11/24"},
        "orchRefs": before["spec"]["orchRefs"],
    }


def test_what_is_right_is_not_written_again():
    async def scenario():
        store = MemoryStore()
        await node.register(store, CONFIG)
        before = (await store.get(KEY)).modified
        await node.register(store, CONFIG)
        assert (await store.get(KEY)).modified == before

    asyncio.run(scenario())


def test_an_agent_does_not_follow_a_store_that_is_still_being_filled():
    note = b'{"source":"sqlite:///old.db","mode":"copy","worker":"w","started":"2026-01-01T00:00:00Z"}'

    async def scenario():
        store = MemoryStore()
        await node.register(store, CONFIG)  # there is nothing left to write
        await store.commit([], [Put(RECORD, note)])
        with pytest.raises(Refused, match="incomplete: it is being filled from sqlite:"):
            await node.register(store, CONFIG)

    asyncio.run(scenario())


class Contested(MemoryStore):
    """Somebody else writes the node just before we do, so many times."""

    def __init__(self, times):
        super().__init__()
        self.times = times

    async def commit(self, compares, operations):
        if compares and self.times:
            self.times -= 1
            raise Conflict("key changed")
        return await super().commit(compares, operations)


def test_a_lost_race_is_run_again():
    assert registered(store=Contested(3))["spec"]["bgp"]["ipv4Address"] == "10.0.0.11/24"


def test_a_race_that_is_always_lost_is_said():
    with pytest.raises(Unavailable, match="node h1 is being changed by somebody else"):
        registered(store=Contested(99))


def test_a_record_that_cannot_be_read_is_named():
    with pytest.raises(UserError, match="node h1"):
        registered({"kind": "Node", "metadata": {"name": 7}})


# --- the kernel -------------------------------------------------------------------------------------------------


def test_the_mtu_is_that_of_the_interface_with_the_address():
    assert node.interface_mtu(Addr.parse("127.0.0.1")) == 65536


def test_an_address_that_no_interface_has_is_refused():
    with pytest.raises(UserError, match=r"no interface of this host has the address 192\.0\.2\.77 \(.*--address"):
        node.interface_mtu(Addr.parse("192.0.2.77"))


class Links:
    """A kernel with these interfaces."""

    def __init__(self, *links):
        self.links = links

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def dump(self, _request):
        return self.links


def test_an_interface_that_waits_for_its_deletion_is_no_containers_any_more(monkeypatch):
    found = [link.Link(index=n, name=name, alias=alias) for n, (name, alias) in enumerate(LINKS)]
    monkeypatch.setattr(node, "RouteSocket", lambda: Links(*found))
    assert node.own_interfaces("oci") == {"ocialive", "ocinew"}


LINKS = [("ocialive", "/calico/x"), ("ocinew", ""), ("ocidying", DETACHED), ("eth0", "")]


# --- the daemon -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("socket", ["", "agent.sock", "/run/ocicat/", "/" + "x" * SOCKET_MAX_BYTES])
def test_a_socket_that_cannot_be_is_refused_before_anything_else(socket):
    with pytest.raises(UserError, match="socket"):
        check(AgentConfig(host="h1", address="10.0.0.11/24", socket=socket))


def run(tmp_path, **settings):
    config = AgentConfig(
        host="h1",
        address=settings.pop("address", "127.0.0.1/8"),
        socket=f"{tmp_path}/agent.sock",
        store=f"sqlite://{tmp_path}/store.db",
        **settings,
    )
    asyncio.run(daemon.run(config))


def test_a_mistyped_address_writes_nothing_anywhere(tmp_path):
    with pytest.raises(UserError, match="no interface of this host"):
        run(tmp_path, address="192.0.2.77/24", mtu=1400)
    assert not (tmp_path / "store.db").exists()


def test_a_second_agent_is_refused_while_the_first_lives(tmp_path):
    with (tmp_path / "agent.sock.lock").open("w") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        with pytest.raises(Refused, match=r"another agent serves .*--socket"):
            run(tmp_path, address="192.0.2.77/24")


def test_a_socket_where_nothing_can_be_made_is_refused_in_words(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="cannot serve"):
        run(tmp_path / "file", address="192.0.2.77/24")


def test_an_agent_that_cannot_get_ready_can_still_be_stopped(tmp_path, monkeypatch):
    undone = []

    async def start(config, stack, reread):
        stack.callback(undone.append, "store closed")
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

    monkeypatch.setattr(daemon, "_start", start)
    run(tmp_path, address="192.0.2.77/24")
    assert undone == ["store closed"]


def test_an_agent_that_cannot_follow_its_datastore_ends_with_that_error(tmp_path, monkeypatch):
    async def fail():
        raise Refused("the store is damaged")

    async def start(config, stack, reread):
        return asyncio.create_task(fail())

    monkeypatch.setattr(daemon, "_start", start)
    with pytest.raises(Refused, match="the store is damaged"):
        run(tmp_path, address="192.0.2.77/24")


class Moody:
    """A dataplane whose kernel says no at first."""

    def __init__(self):
        self.asked = 0

    def resync(self):
        self.asked += 1
        answer = Future()
        if self.asked < 3:
            answer.set_exception(Unavailable("nft: device or resource busy"))
        else:
            answer.set_result(None)
        return answer


def test_a_kernel_that_says_no_for_a_while_does_not_end_the_agent(caplog):
    async def scenario():
        dataplane = Moody()
        mending = asyncio.create_task(daemon._mend(dataplane, 0.001))
        while dataplane.asked < 5:  # noqa: ASYNC110 - bounded by wait_for
            await asyncio.sleep(0.001)
        assert not mending.done()
        await cancelled(mending)

    asyncio.run(asyncio.wait_for(scenario(), 5))
    assert caplog.text.count("device or resource busy") == 2
