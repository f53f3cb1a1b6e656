"""A store carried between real back ends, both ways: whole, within their limits, whatever kills it."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import sys
from contextlib import asynccontextmanager

import pytest
from conftest import BACK_ENDS
from etcd_server import EtcdProcess, wait_until_up

from ocicat.clock import SystemClock
from ocicat.errors import Refused
from ocicat.ipam.allocator import Allocator
from ocicat.ipam.request import Request
from ocicat.model import keys
from ocicat.model.codec import decode_json, encode_json
from ocicat.model.resources import Block, IPPool, IPPoolSpec, Metadata
from ocicat.store.base import Delete, Put
from ocicat.store.open import open_store
from ocicat.store.transfer.content import batches
from ocicat.store.transfer.engine import transfer
from ocicat.store.transfer.lock import is_locked
from ocicat.store.transfer.record import RECORD
from ocicat.store.transfer.sources import StoreSource

BOUND_S = 60.0
WAYS = [("sqlite", "etcd"), ("etcd", "sqlite"), ("sqlite", "etcd-cluster"), ("etcd-cluster", "sqlite")]
READY = (
    b'{"kind":"ClusterInformation","apiVersion":"projectcalico.org/v3","metadata":{"name":"default"},'
    b'"spec":{"datastoreReady":true}}'
)
POOL = encode_json(IPPool(metadata=Metadata(name="p"), spec=IPPoolSpec(cidr="10.65.0.0/24")))
MANY = 10_000
TRIES = 5
STARTED = []
HANDLES = "/calico/ipam/v2/handle/mesos."


@pytest.fixture(params=WAYS, ids="-to-".join)
def way(request, tmp_path):
    return [BACK_ENDS[name](tmp_path / name) for name in request.param]


@asynccontextmanager
async def opened(*urls):
    stores = [await open_store(url) for url in urls]
    try:
        yield stores
    finally:
        for store in stores:
            await store.close()


def play(scenario, *urls):
    async def bounded():
        async with asyncio.timeout(BOUND_S), opened(*urls) as stores:
            return await scenario(*stores)

    return asyncio.run(bounded())


async def fill(store, values):
    for batch in batches([Put(keys.CLUSTER_INFORMATION, READY), *(Put(key, value) for key, value in values.items())]):
        await store.commit([], batch)


async def held(store):
    return {item.key: item.value for item in (await store.range("/")).items}


async def copied(source, destination, name="the source"):
    return await transfer(StoreSource(source, name), destination, "copy", started="now", progress=lambda *_: None)


def many():
    return {f"{HANDLES}{number:06}": b'{"block":{"10.65.0.0/26":1}}' for number in range(MANY)}


# --- there ------------------------------------------------------------------------------------------------------


def test_every_key_and_value_is_there_and_both_locks_are_what_they_were(way):
    values = {
        f"/calico/large/{number}": b"%d" % number * 100_000 for number in range(30)
    }  # more than one request takes
    values |= {f"/calico/ipam/{number}": b"" for number in range(1500)} | {"/ocicat/v1/\u00fc": b"\xff\0"}

    async def scenario(source, destination):
        await fill(source, values)
        before = await held(source)
        done = await copied(source, destination)
        assert await held(destination) == await held(source) == before
        assert done.written == done.keys == len(before)
        assert (await copied(source, destination)).nothing

    play(scenario, *way)


def test_what_vanishes_with_its_holder_is_not_carried(way):
    async def scenario(source, destination):
        await fill(source, {"/calico/a": b"1"})
        lease = await source.grant(60)
        await source.commit([], [Put("/ocicat/v1/agents/h1", b"{}", lease=lease.id)])
        await copied(source, destination)
        assert (await held(destination)).keys() == {keys.CLUSTER_INFORMATION, "/calico/a"}

    play(scenario, *way)


# --- killed -----------------------------------------------------------------------------------------------------


@pytest.fixture(params=WAYS[:2], ids="-to-".join)
def kill_way(request, tmp_path):
    return [BACK_ENDS[name](tmp_path / name) for name in request.param]


@pytest.fixture(autouse=True)
def running():
    """Nothing outlives the test."""
    yield
    for process in STARTED:
        process.kill()
        process.wait()
        process.stderr.close()
    STARTED.clear()


def started(*way):
    STARTED.append(
        subprocess.Popen([sys.executable, "-m", "ocicat", "store", "copy", *way], stderr=subprocess.PIPE, text=True)
    )
    return STARTED[-1]


async def begun(way, source, destination):
    """A copy that has written something, and not everything."""
    await fill(source, many())
    for _ in range(TRIES):
        copying = started(*way)
        while await destination.get(f"{HANDLES}000000") is None:
            assert copying.poll() is None, copying.stderr.read()
            await asyncio.sleep(0.001)
        copying.send_signal(signal.SIGSTOP)
        if 0 < len(await held(destination)) - 2 < MANY:  # the note, and the cluster information
            return copying
        copying.kill()  # it was faster than this process could look: once more
        copying.communicate()
        for batch in batches([Delete(key) for key in await held(destination)]):
            await destination.commit([], batch)
    raise AssertionError("the copy is always faster")


def test_killed_in_the_middle_it_goes_on_where_it_was(kill_way):
    async def scenario(source, destination):
        copying = await begun(kill_way, source, destination)
        copying.kill()
        copying.communicate()
        some = len(await held(destination)) - 2
        assert RECORD in await held(destination)
        for store in (source, destination):
            assert is_locked((await store.get(keys.CLUSTER_INFORMATION)).value)

        again = started(*kill_way)
        _, told = again.communicate(timeout=BOUND_S)
        assert again.returncode == 0, told
        assert f"{MANY - some + 1} keys written, 0 deleted, which goes on with what was begun" in told
        assert await held(destination) == await held(source) == {**many(), keys.CLUSTER_INFORMATION: READY}

    play(scenario, *kill_way)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_it_gives_the_sources_lock_back(kill_way, how):
    async def scenario(source, destination):
        copying = await begun(kill_way, source, destination)
        copying.send_signal(how)
        copying.send_signal(signal.SIGCONT)
        _, told = copying.communicate(timeout=BOUND_S)
        assert copying.returncode == 130
        assert "the same command goes on" in told
        assert (await source.get(keys.CLUSTER_INFORMATION)).value == READY
        assert is_locked((await destination.get(keys.CLUSTER_INFORMATION)).value)

    play(scenario, *kill_way)


# --- limits -----------------------------------------------------------------------------------------------------


def test_a_value_that_is_too_large_for_etcd_is_named_and_the_copy_can_go_on_without_it(tmp_path):
    async def scenario(source, destination):
        await fill(source, {"/calico/a": b"1", "/calico/big": b"x" * 2_000_000, "/calico/c": b"1"})
        with pytest.raises(Refused, match=r"key /calico/big: .*request is too large"):
            await copied(source, destination)
        assert (await source.get(keys.CLUSTER_INFORMATION)).value == READY
        await source.commit([], [Delete("/calico/big")])
        await copied(source, destination)
        assert await held(destination) == await held(source)

    play(scenario, *(BACK_ENDS[name](tmp_path) for name in ("sqlite", "etcd")))


def test_an_etcd_that_is_full_says_no_and_the_source_is_not_left_locked(tmp_path):
    if not shutil.which("etcd"):
        pytest.skip("etcd is not installed (Debian: etcd-server)")
    small = EtcdProcess(options=("--quota-backend-bytes=4000000",))
    small.start()
    to = f"etcd://{small.endpoint}"
    wait_until_up(to, small)

    async def scenario(source, destination):
        await fill(source, {f"/calico/{number}": b"x" * 100_000 for number in range(100)})
        with pytest.raises(Refused, match="database space exceeded"):
            await copied(source, destination)
        assert (await source.get(keys.CLUSTER_INFORMATION)).value == READY

    try:
        play(scenario, BACK_ENDS["sqlite"](tmp_path), to)
    finally:
        small.remove()


def test_a_key_that_is_no_text_is_left_out_and_named(tmp_path):
    if not shutil.which("etcdctl"):
        pytest.skip("etcdctl is not installed (Debian: etcd-client)")
    etcd, sqlite = (BACK_ENDS[name](tmp_path) for name in ("etcd", "sqlite"))
    endpoint = etcd.removeprefix("etcd://")
    put = ["etcdctl", f"--endpoints={endpoint}", "put", b"/calico/\xff", "x"]
    subprocess.run(put, check=True, stdout=subprocess.DEVNULL, env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin"})

    async def scenario(source, destination):
        await source.commit([], [Put("/calico/a", b"1")])
        done = await copied(source, destination)
        assert done.left_out == ("/calico/\udcff",)
        assert await held(destination) == {"/calico/a": b"1"}

    play(scenario, etcd, sqlite)


# --- nothing depends on a revision ------------------------------------------------------------------------------


def test_in_the_new_store_addresses_are_given_and_taken_back_as_if_it_were_the_old_one(way):
    async def scenario(source, destination):
        await source.commit([], [Put(keys.pool("p"), POOL), Put(keys.CLUSTER_INFORMATION, READY)])
        before = await allocated(source, "a", "b")
        await copied(source, destination)
        for value in (await held(destination)).values():
            assert b"resourceVersion" not in value

        after = await allocated(destination, "c", released="a")
        assert not set(before) & set(after)
        blocks = [decode_json(Block, item.value) for item in (await destination.range(keys.BLOCKS)).items]
        owners = {attribute.handle_id for block in blocks for attribute in block.attributes}
        assert owners == {"b", "c"}

    play(scenario, *way)


async def allocated(store, *handles, released=""):
    allocator = Allocator(store, "h1", SystemClock())
    await allocator.start()
    try:
        if released:
            assert await allocator.release(released)
        return [str((await allocator.allocate(Request(handle=one))).addresses[0]) for one in handles]
    finally:
        await allocator.close()
