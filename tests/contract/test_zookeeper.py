"""Masters found in a real ZooKeeper: the leader followed, through changes, lost sessions and silence; one clear error each."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import contextmanager, suppress
from functools import wraps
from itertools import count

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError
from kazoo.retry import KazooRetry
from kazoo.security import make_digest_acl
from zookeeper_server import MISSING, Standing, ZooKeeperProcess

from ocicat.errors import NotFound, Refused, Unavailable
from ocicat.lab import zookeeper
from ocicat.mesos.discovery import discovered
from ocicat.mesos.masters import Endpoint, Ensemble, parse_masters
from ocicat.mesos.zookeeper import Patience, elected

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

QUICK = Patience(leader_s=0.3, grace_s=0.1)
PATIENT = Patience(leader_s=60.0, grace_s=0.1)
BOUND_S = 120.0
FIRST, SECOND = Endpoint("10.9.0.1", 5050), Endpoint("10.9.0.2", 5050)
_numbers = count()


@contextmanager
def connected(*servers, **options):
    soon = KazooRetry(max_tries=-1, delay=0.05, max_delay=0.1)
    addresses = ",".join(server.address for server in servers)
    client = KazooClient(addresses, timeout=10, connection_retry=soon, command_retry=soon.copy(), **options)
    client.start(timeout=60)
    try:
        yield client
    finally:
        client.stop()
        client.close()


@pytest.fixture(scope="module")
def server():
    process = ZooKeeperProcess()
    process.start()
    process.wait_until_up()
    yield process
    process.remove()


@pytest.fixture
def masters(server):
    with connected(server) as client:
        yield client


@pytest.fixture
def path():
    return f"/mesos{next(_numbers)}"


def bounded(test):
    @wraps(test)
    def run(**fixtures):
        asyncio.run(asyncio.wait_for(test(**fixtures), BOUND_S))

    return run


def ensemble(server, path, credentials=""):
    return Ensemble((Endpoint(server.ip, server.member.port),), path, credentials)


def following(server, path, patience=PATIENT, report=lambda _line: None, credentials=""):
    return elected(ensemble(server, path, credentials), report, patience)


# --- the leader -------------------------------------------------------------------------------------------------------


@bounded
async def test_the_master_that_came_first_leads(server, masters, path):
    Standing(masters, path, FIRST.host)
    Standing(masters, path, SECOND.host)
    masters.create(f"{path}/log_replicas")
    async with discovered(f"zk://{server.address}{path}") as found:
        assert await found.next() == FIRST
        assert await found.next() == FIRST


@bounded
async def test_a_change_of_leader_is_told_and_followed(server, masters, path):
    first = Standing(masters, path, FIRST.host)
    async with following(server, path) as found:
        assert await found.next() == FIRST
        moved = asyncio.create_task(found.moved())
        Standing(masters, path, SECOND.host)
        first.leave()
        await moved
        assert await found.next() == SECOND


@bounded
async def test_a_master_that_comes_later_is_waited_for(server, masters, path):
    async with following(server, path) as found:
        masters.create(path)
        looked_for = asyncio.create_task(found.next())
        Standing(masters, path, SECOND.host)
        assert await looked_for == SECOND


@bounded
async def test_a_path_that_is_made_later_is_found(server, masters, path):
    async with following(server, path) as found:
        with pytest.raises(NotFound, match=f"ZooKeeper has no node {path} "):
            await found.next()
        Standing(masters, path, FIRST.host)
        await found.moved()
        assert await found.next() == FIRST


@bounded
async def test_after_a_lost_session_the_next_change_is_seen_too(server, masters, path):
    first = Standing(masters, path, FIRST.host)
    async with following(server, path) as found:
        assert await found.next() == FIRST
        session = found._client.client_id
        await asyncio.to_thread(_end_session, server, session)
        Standing(masters, path, SECOND.host)
        first.leave()
        await found.moved()
        assert await found.next() == SECOND
        assert found._client.client_id != session


def _end_session(server, session):
    with connected(server, client_id=session):
        pass


# --- silence ----------------------------------------------------------------------------------------------------------


@bounded
async def test_while_zookeeper_is_away_the_last_leader_stays_and_that_is_said_once(path):
    server, told = ZooKeeperProcess(), []
    server.start()
    server.wait_until_up()
    try:
        with connected(server) as masters:
            first = Standing(masters, path, FIRST.host)
            async with following(server, path, report=told.append) as found:
                assert await found.next() == FIRST
                server.kill()
                await _until(lambda: told)
                assert await found.next() == FIRST
                server.start()
                await _until(lambda: len(told) == 2)
                assert told == [
                    f"zk://{server.address}{path}: ZooKeeper does not answer; going on with the last known leader, {FIRST}",
                    f"zk://{server.address}{path}: ZooKeeper answers again",
                ]
                await asyncio.to_thread(_replaced, masters, first, path)
                await found.moved()
                assert await found.next() == SECOND
    finally:
        server.remove()


def _replaced(masters, first, path):
    masters.retry(lambda: Standing(masters, path, SECOND.host))
    with suppress(NoNodeError):  # its session may have ended meanwhile
        masters.retry(first.leave)


@bounded
async def test_a_server_without_a_quorum_is_told_from_one_that_is_away(path):
    alone, away = ZooKeeperProcess(1), ZooKeeperProcess(2)
    alone.ensemble = (alone.member, away.member, zookeeper.Member(3, "127.0.0.1", 1, 2, 3))
    alone.start()
    text = f"zk://{alone.address},{away.address}{path}"
    try:
        await _until(lambda: _listens(alone))
        async with elected(parse_masters(text), lambda _line: None, QUICK) as found:
            with pytest.raises(Unavailable, match=r"has no quorum: .*no quorum, .*Connection refused"):
                await found.next()
    finally:
        alone.remove()
        away.remove()


def _listens(server):
    with socket.socket() as probe:
        return probe.connect_ex((server.ip, server.member.port)) == 0


@bounded
async def test_a_goodbye_is_no_silence(server, masters, path):
    told = []
    Standing(masters, path, FIRST.host)
    async with following(server, path, report=told.append) as found:
        await found.next()
    await asyncio.sleep(2 * PATIENT.grace_s)
    assert told == []


# --- what is wrong ----------------------------------------------------------------------------------------------------


@bounded
async def test_nobody_leads(server, masters, path):
    masters.create(path)
    async with following(server, path, QUICK) as found:
        await _until(lambda: found._trouble)
        with pytest.raises(Unavailable, match="no Mesos master leads at present"):
            await found.next()


@bounded
async def test_masters_too_old_to_be_spoken_to_are_named(server, masters, path):
    Standing(masters, path, FIRST.host, label="info_", data=b"\x0a\x01x")
    async with following(server, path, QUICK) as found:
        await _until(lambda: found._trouble)
        with pytest.raises(Unavailable, match=r"only masters older than 0\.24 stand for election \(info_0000000000\)"):
            await found.next()


@pytest.mark.parametrize(
    ("credentials", "complaint"),
    [
        ("", r"lets nobody read /mesos\d+ without a password \(zk://user:password@"),
        ("mesos:wrong", r"zk://mesos:\*\*\*@.* does not let mesos read /mesos\d+: wrong user or password"),
    ],
)
@bounded
async def test_credentials_are_asked_for(server, masters, path, credentials, complaint):
    masters.create(path, acl=[make_digest_acl("mesos", "right", all=True)])
    async with following(server, path, credentials=credentials) as found:
        with pytest.raises(Refused, match=complaint):
            await found.next()


@bounded
async def test_with_the_right_credentials_a_closed_path_is_read(server, path):
    with connected(server, auth_data=[("digest", "mesos:right")]) as masters:
        masters.create(path, acl=[make_digest_acl("mesos", "right", all=True)])
        Standing(masters, path, FIRST.host)
        async with following(server, path, credentials="mesos:right") as found:
            assert await found.next() == FIRST


@bounded
async def test_a_node_that_is_no_masters_is_refused(server, masters, path):
    Standing(masters, path, FIRST.host, data=b"{}")
    async with following(server, path) as found:
        with pytest.raises(Refused, match=r"json\.info_0000000000: .*neither address nor pid"):
            await found.next()


@bounded
async def test_nobody_there(path):
    text = f"zk://127.0.0.1:1,127.0.0.1:2{path}"
    began = time.monotonic()
    async with elected(parse_masters(text), lambda _line: None, QUICK) as found:
        with pytest.raises(Unavailable, match=r"does not answer \(127.0.0.1:1: .*refused.*, 127.0.0.1:2: .*refused"):
            await found.next()
    assert time.monotonic() - began < 15.0


@bounded
async def test_an_ipv6_address_in_brackets(path):
    server = ZooKeeperProcess(ip="::1")
    server.start()
    try:
        await asyncio.to_thread(server.wait_until_up)
        with connected(server) as masters:
            Standing(masters, path, "fd00::7")
            async with discovered(f"zk://{server.address}{path}") as found:
                assert await found.next() == Endpoint("fd00::7", 5050)
    finally:
        server.remove()


async def _until(holds):
    while not holds():  # noqa: ASYNC110  whoever changes it knows nothing of our loop
        await asyncio.sleep(0.01)
