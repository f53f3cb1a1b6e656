"""Masters by list, by file, and what ZooKeeper's nodes say; ZooKeeper itself is in tests/contract."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager

import pytest
from mesos_fake_master import FakeMaster

from ocicat.errors import Unavailable, UserError
from ocicat.mesos import framework as frameworks
from ocicat.mesos.discovery import discovered
from ocicat.mesos.framework import Framework, Timing
from ocicat.mesos.leader import leading, node_of
from ocicat.mesos.masters import Endpoint, Ensemble, parse_master
from ocicat.mesos.quorum import diagnosis

QUICK = Timing(connect_s=3, call_s=2, placement_s=5, backoff_first_s=0.01, backoff_max_s=60.0)


async def asked(text, times=1):
    async with discovered(text) as masters:
        return [await masters.next() for _ in range(times)]


def test_listed_masters_are_given_in_turn():
    assert asyncio.run(asked("h1,h2", 3)) == [Endpoint("h1", 5050), Endpoint("h2", 5050), Endpoint("h1", 5050)]


def test_a_file_may_hold_the_masters(tmp_path):
    (tmp_path / "zk").write_text("h1:1\n")
    assert asyncio.run(asked(f"file://{tmp_path}/zk")) == [Endpoint("h1", 1)]


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff")
    for name, reason in (("none", "No such file"), ("binary", "not text")):
        with pytest.raises(UserError, match=f"{tmp_path}/{name}: {reason}"):
            asyncio.run(asked(f"file://{tmp_path}/{name}"))


def test_without_kazoo_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "kazoo", None)
    monkeypatch.setitem(sys.modules, "kazoo.client", None)
    monkeypatch.delitem(sys.modules, "ocicat.mesos.zookeeper", raising=False)
    with pytest.raises(
        UserError, match=r"zk://me:\*\*\*@z:2181/mesos: kazoo\S* is not installed \(pip install 'ocicat\[zk\]'"
    ):
        asyncio.run(asked("zk://me:secret@z/mesos"))


# --- the nodes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "leader"),
    [
        ([], ""),
        (["log_replicas", "info_0000000001", "json.info_", "json.info_1x"], ""),
        (["json.info_0000000010", "json.info_0000000009", "log_replicas"], "json.info_0000000009"),
        (["json.info_10000000000", "json.info_9999999999"], "json.info_9999999999"),
    ],
)
def test_the_lowest_number_leads(names, leader):
    assert leading(names) == leader


@pytest.mark.parametrize(
    ("node", "endpoint"),
    [
        (
            b'{"address":{"ip":"10.0.0.1","port":5051,"hostname":"m"},"pid":"master@10.0.0.9:1"}',
            Endpoint("10.0.0.1", 5051),
        ),
        (b'{"pid":"master@10.0.0.9:5052","ip":1,"port":1}', Endpoint("10.0.0.9", 5052)),
        (b'{"pid":"master@[fd00::1]:5052"}', Endpoint("fd00::1", 5052)),
    ],
)
def test_a_node_says_where_its_master_is(node, endpoint):
    assert node_of(node) == endpoint


@pytest.mark.parametrize("node", [b"", b"\x0a\x01x", b"[]", b"{}", b'{"pid":"master"}', b'{"pid":"master@h:x"}'])
def test_what_is_no_node_of_a_master_is_refused(node):
    with pytest.raises(UserError):
        node_of(node)


# --- the framework, between two masters -------------------------------------------------------------------------------


class Told:
    """Masters as a test says they are."""

    def __init__(self, leader):
        self.leader, self.given = leader, None
        self.changed = asyncio.Event()

    async def next(self):
        if self.leader is None:
            raise Unavailable("nobody leads")
        self.given = self.leader
        return self.leader

    async def moved(self):
        while self.leader in (None, self.given):
            self.changed.clear()
            await self.changed.wait()

    def now(self, master):
        self.leader = parse_master(master.address)[0]
        self.changed.set()


@asynccontextmanager
async def two_masters(monkeypatch):
    async with FakeMaster() as first, FakeMaster() as second:
        told = Told(parse_master(first.address)[0])

        @asynccontextmanager
        async def discovered(_text, *, report):
            yield told

        monkeypatch.setattr(frameworks, "discovered", discovered)
        async with asyncio.timeout(10), Framework.connect("zk://z/mesos", timing=QUICK) as framework:
            yield first, second, told, framework


def test_a_deposed_master_is_left_although_its_stream_lives(monkeypatch):
    async def run():
        async with two_masters(monkeypatch) as (first, second, told, framework):
            told.now(second)
            subscribe = (await second.call("SUBSCRIBE")).subscribe
            assert subscribe.framework_info.id.value == framework.id
            assert len(first.all("SUBSCRIBE")) == 1

    asyncio.run(run())


def test_a_new_leader_ends_the_pause_between_two_tries(monkeypatch):
    """`backoff_max_s` is a minute: only the news can have ended it."""

    async def run():
        async with two_masters(monkeypatch) as (first, second, told, framework):
            framework._timing = Timing(backoff_first_s=60.0, backoff_max_s=60.0)
            told.leader = None
            first.cut()
            told.now(second)
            await second.call("SUBSCRIBE")

    asyncio.run(run())


def test_a_master_that_hangs_after_a_lost_session_is_left_too(monkeypatch):
    async def run():
        async with two_masters(monkeypatch) as (first, second, told, framework):
            over, hung = asyncio.Event(), asyncio.Event()

            async def hang():
                hung.set()
                await over.wait()

            try:
                first.before["SUBSCRIBE"] = hang
                told.now(second)  # which takes us in,
                await second.call("SUBSCRIBE")
                framework._timing = Timing(call_s=0.05, backoff_first_s=60.0, backoff_max_s=60.0)
                told.now(first)  # and is deposed for one that hangs
                await hung.wait()
                while "no answer in 0.05 s" not in framework._last_error:  # noqa: ASYNC110  nobody tells
                    await asyncio.sleep(0.005)
                framework._timing = QUICK
                told.now(second)
                await second.call("SUBSCRIBE", 2)
            finally:  # or the fake master would wait for it too
                over.set()

    asyncio.run(run())


def test_what_is_no_zookeeper_is_told_apart():
    def hang_up(_reader, writer):
        writer.write(b"220 hello")
        writer.close()

    async def run():
        async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await diagnosis(Ensemble((Endpoint("127.0.0.1", port), Endpoint("127.0.0.1", 1)), "/mesos"))

    assert "not a ZooKeeper, 127.0.0.1:1: Connection refused" in asyncio.run(run()).message


def test_what_keeps_it_from_a_master_is_told_once(monkeypatch):
    async def run():
        async with two_masters(monkeypatch) as (first, second, told, framework):
            heard = []
            framework._report = heard.append
            framework._timing = Timing(backoff_first_s=0.001, backoff_max_s=0.001)
            told.leader = None
            first.cut()
            while framework._attempts < 5:  # noqa: ASYNC110  it is the framework that counts
                await asyncio.sleep(0.001)
            told.now(second)
            await second.call("SUBSCRIBE")
            assert [line for line in heard if "nobody leads" in line] == [
                "not connected to a master: nobody leads; trying again"
            ]

    asyncio.run(run())
