"""What goes wrong, and how it is told: a task that cannot have what it asks for fails with words that help, and leaves nothing."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from lab_bed import (
    MARKS,
    PATIENCE_S,
    as_running,
    end_all,
    endpoints,
    framework,
    log_since,
    log_size,
    mismatches,
    run,
    run_all,
    scenario,
    server,
    sh,
    until,
    untouched,
)

from ocicat.cni import install
from ocicat.errors import Unavailable
from ocicat.lab.demo import PORT
from ocicat.lab.demo_checks import NOTHING, disagreements, measure, opened
from ocicat.lab.spec import AGENT_PORT
from ocicat.mesos.types import NetworkRequest, PortMapping, TaskSpec, TaskState
from ocicat.model import keys
from ocicat.model.codec import decode_json, encode_json
from ocicat.model.net import Addr, Cidr
from ocicat.model.resources import Block, Metadata, Profile, ProfileSpec, Rule
from ocicat.store.base import Delete, Put

pytestmark = MARKS
LAB, LAB_HOSTS = "t-fail", 2

# Networks that are configured wrongly, and what the message must say: the object, the cause, what to do.
MALFORMED = {
    "n-mtu-text": ({"mtu": "big"}, ("n-mtu-text", "mtu")),
    "n-mtu-small": ({"mtu": 5}, ("n-mtu-small", "mtu", "576")),
    "n-pools-text": ({"pools": "tiny"}, ("n-pools-text", "pools")),
    "n-unknown-field": ({"podCidr": "10.0.0.0/8"}, ("n-unknown-field", "podCidr", "pools")),
    "n-ipam": ({"ipam": {"type": "ocicat", "subnet": "10.9.0.0/24"}}, ("n-ipam", "ipam", "pools")),
    "n-nowhere": ({"pools": ["nosuch"]}, ("n-nowhere", "nosuch", "pool")),
}


def asking(lab, label, **request):
    """A task on h1 that would run for long if it got the network it asks for."""
    return TaskSpec(label, "sleep 600", hostname="h1", network=NetworkRequest(**{"name": lab.network, **request}))


def configure(lab, name, fields):
    document = {"cniVersion": "0.2.0", "name": name, "type": "ocicat", **fields}
    for host in lab.hosts:
        Path(host.cni_config_dir, f"{name}.conf").write_text(json.dumps(document))


def ocicat(lab, *arguments):
    line = [sys.executable, "-m", "ocicat", *arguments, "--store", lab.store]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr


async def words_of_failure(connected, spec):
    """What Mesos says about a task that must fail; it must never have run."""
    launched = await connected.launch(spec)
    status = await launched.wait_ended(timeout_s=PATIENCE_S)
    assert status.state is TaskState.FAILED
    assert launched.status_of(TaskState.RUNNING) is None
    print(f"{spec.name}: {status.message}")
    return status.message


def lacking(message, words):
    return [word for word in words if word not in message]


# --- requests that cannot be met ----------------------------------------------------------------------------------


@scenario
async def test_each_malformed_network_fails_its_task_with_its_name_the_cause_and_what_to_do(lab):
    for name, (fields, _) in MALFORMED.items():
        configure(lab, name, fields)
    async with framework(lab) as connected:
        specs = [asking(lab, name, name=name) for name in MALFORMED]
        messages = await asyncio.gather(*(words_of_failure(connected, spec) for spec in specs))
    lack = [lacking(message, MALFORMED[name][1]) for name, message in zip(MALFORMED, messages, strict=True)]
    assert lack == [[]] * len(MALFORMED)
    assert await untouched(lab) == []


@scenario
async def test_a_version_that_nobody_speaks_fails_the_task_and_the_container_is_removed_all_the_same(lab):
    configure(lab, "n-version", {"cniVersion": "9.9.9"})
    async with framework(lab) as connected:
        message = await words_of_failure(connected, asking(lab, "n-version", name="n-version"))
    assert lacking(message, ("n-version", "9.9.9", "1.0.0")) == []
    assert "failed to detach" not in message
    assert await untouched(lab) == []


@scenario
async def test_what_cannot_be_honoured_fails_the_task_and_says_why(lab):
    wishes = {
        "unknown network": ({"name": "nowhere"}, ("nowhere",)),
        "address in no pool": ({"ip_addresses": ("192.0.2.1",)}, ("192.0.2.1", "no pool", "default (10.77.0.0/16)")),
        "two addresses": ({"ip_addresses": ("192.0.2.1", "fd00::1")}, ("192.0.2.1 lies in no", "fd00::1 lies in no")),
        "IPv6 alone": ({"ip_addresses": ("fd00::1",)}, ("reaches its Mesos agent by IPv4 only", "nested container")),
        "no port": ({"port_mappings": (PortMapping(8080, 80, "icmp"),)}, ("port_mappings.protocol", "one of tcp, udp")),
        "the agent's port": (
            {"port_mappings": (PortMapping(AGENT_PORT, 80),)},
            (f"tcp/{AGENT_PORT} is that of this host's Mesos agent", "choose another port"),
        ),
    }
    async with framework(lab) as connected:
        specs = [asking(lab, name.replace(" ", "-").replace("'", ""), **wish) for name, (wish, _) in wishes.items()]
        messages = await asyncio.gather(*(words_of_failure(connected, spec) for spec in specs))
    lack = [lacking(message, words) for (_, words), message in zip(wishes.values(), messages, strict=True)]
    assert lack == [[]] * len(wishes)
    assert await untouched(lab) == []


@scenario
async def test_an_address_is_given_once_and_again_when_its_task_has_ended(lab):
    wanted = "10.77.9.7"
    async with framework(lab) as connected:
        first = await run(connected, server(lab, "first", "h1", addresses=(wanted,)))
        assert as_running(first).addresses == (wanted,)
        message = await words_of_failure(connected, server(lab, "second", "h1", addresses=(wanted,)))
        assert lacking(message, (wanted, "in use")) == []
        other = await words_of_failure(connected, server(lab, "third", "h2", addresses=(wanted,)))
        assert lacking(other, (wanted,)) == []
        assert await disagreements(lab, [as_running(first)]) == []
        await end_all([first])
        assert await untouched(lab) == []
        again = await run(connected, server(lab, "fourth", "h1", addresses=(wanted,)))
        assert as_running(again).addresses == (wanted,)
    assert await untouched(lab) == []


@scenario
async def test_a_full_pool_fails_the_next_task_until_one_has_gone(lab):
    ocicat(lab, "pool", "add", "tiny", "10.78.0.0/30", "--block-size", "30")
    configure(lab, "n-tiny", {"pools": ["tiny"]})
    async with framework(lab) as connected:
        four = await run_all(connected, [server(lab, f"t{n}", "h1", network="n-tiny") for n in range(4)])
        assert {as_running(one).addresses[0] for one in four} == {f"10.78.0.{n}" for n in range(4)}
        message = await words_of_failure(connected, server(lab, "fifth", "h1", network="n-tiny"))
        assert lacking(message, ("pool tiny (10.78.0.0/30)", "full", "4 of 4", "add a pool")) == []
        other = await words_of_failure(connected, server(lab, "sixth", "h2", network="n-tiny"))
        assert lacking(other, ("pool tiny (10.78.0.0/30)", "full", "4 of 4", "add a pool")) == []
        running = [as_running(one) for one in four]
        assert await disagreements(lab, running) == []
        assert await mismatches(lab, running) == []
        await end_all(four[:1])
        await until(lambda: gone(lab, running[0]))  # Mesos reports the end of a task before it takes its container down
        seventh = await run(connected, server(lab, "seventh", "h1", network="n-tiny"))
        assert as_running(seventh).addresses == running[0].addresses
    assert await untouched(lab) == []


# --- a datastore that is locked -----------------------------------------------------------------------------------


@asynccontextmanager
async def locked(lab):
    await asyncio.to_thread(ocicat, lab, "store", "lock")
    try:
        yield
    finally:
        await asyncio.to_thread(ocicat, lab, "store", "unlock")


async def held(lab, running):
    """Does the datastore still have the endpoint of that task?"""
    return running.container_id in await endpoints(lab)


@scenario
async def test_a_locked_datastore_refuses_new_tasks_and_leaves_the_others_alone(lab):
    async with framework(lab) as connected:
        specs = [server(lab, "here", "h1", ("a",)), server(lab, "there", "h2", ("a",)), server(lab, "b", "h1", ("b",))]
        tasks = await run_all(connected, specs)
        running = [as_running(one) for one in tasks]
        async with locked(lab):
            for number, groups in enumerate((("a",), ("never-seen",))):
                message = await words_of_failure(connected, server(lab, f"late{number}", "h1", groups))
                assert lacking(message, ("datastore is locked", "ocicat store unlock")) == []
            assert await disagreements(lab, running) == []
            assert await mismatches(lab, running) == []
        late = await run(connected, server(lab, "later", "h1", ("a",)))
        assert await mismatches(lab, [*running, as_running(late)]) == []
    assert await untouched(lab) == []


@pytest.mark.parametrize("restarted", [False, True], ids=["", "and the agent was killed meanwhile"])
@scenario
async def test_a_task_killed_under_a_lock_gives_its_address_back_afterwards(lab, restarted):
    async with framework(lab) as connected:
        tasks = await run_all(connected, [server(lab, "goes", "h1", ("a",)), server(lab, "stays", "h1", ("a",))])
        goes, stays = map(as_running, tasks)
        async with locked(lab):
            await end_all(tasks[:1])
            await until(lambda: no_interface(lab, "h1", goes))
            if restarted:
                await asyncio.to_thread(lab.restart, "agent-h1", kill=True)
            assert await held(lab, goes)
        await until(lambda: gone(lab, goes))
        assert await disagreements(lab, [stays]) == []
    assert await untouched(lab) == []


async def gone(lab, running):
    return not await held(lab, running)


def no_interface(lab, host, running):
    """Is there no route to the task's address on that host any more?"""
    line = [*lab.enter(host), "ip", "route", "show", running.addresses[0]]
    return subprocess.run(line, capture_output=True, check=True).stdout == b""


# --- an agent that is away ----------------------------------------------------------------------------------------


@scenario
async def test_what_happens_while_the_agent_is_away_is_done_when_it_comes_back(lab):
    async with framework(lab) as connected:
        goes, stays = await run_all(connected, [server(lab, name, "h1", ("a",)) for name in ("goes", "stays")])
        await asyncio.to_thread(lab.stop, "agent-h1")
        comes = await connected.launch(server(lab, "comes", "h1", ("a",)))
        await goes.kill()
        with pytest.raises(Unavailable, match="not running after 10 s"):
            await comes.wait(TaskState.RUNNING, timeout_s=10)
        await asyncio.to_thread(lab.start, "agent-h1")
        await comes.wait(TaskState.RUNNING, timeout_s=PATIENCE_S)
        await goes.wait_ended(timeout_s=PATIENCE_S)
        running = [as_running(stays), as_running(comes)]
        await until(lambda: gone(lab, as_running(goes)))
        assert await disagreements(lab, running) == []
        assert await mismatches(lab, running) == []
    assert await untouched(lab) == []


@contextmanager
def other_plugin(lab, host, content):
    """That host has this plugin meanwhile."""
    plugin = Path(lab.host(host).plugin_dir, "ocicat")
    before = plugin.read_bytes()
    replace_plugin(plugin, content)
    try:
        yield
    finally:
        replace_plugin(plugin, before)


def impatient(lab, host):
    """That host's plugin waits for its agent for two seconds only."""
    return other_plugin(lab, host, install.compiled("cc", "PATIENCE_MS=2000"))


def replace_plugin(plugin, content):
    new = plugin.with_name("ocicat.new")
    new.write_bytes(content)
    new.chmod(0o755)
    new.replace(plugin)


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@scenario
async def test_an_agent_that_never_comes_back_fails_the_task_with_the_place_where_it_should_be(lab):
    socket = lab.hosts[1].socket
    async with framework(lab) as connected:
        with impatient(lab, "h2"):
            await asyncio.to_thread(lab.stop, "agent-h2")
            try:
                message = await words_of_failure(connected, server(lab, "lost", "h2", ("a",)))
            finally:
                await asyncio.to_thread(lab.start, "agent-h2")
        assert lacking(message, ("the ocicat agent at", socket, "is it running?")) == []
        await run(connected, server(lab, "found", "h2", ("a",)))
    assert await untouched(lab) == []


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@scenario
async def test_a_task_that_ended_while_the_agent_was_away_for_too_long_is_tidied_up_when_it_is_back(lab):
    async with framework(lab) as connected:
        goes = await run(connected, server(lab, "goes", "h2", ("a",)))
        with impatient(lab, "h2"):
            await asyncio.to_thread(lab.stop, "agent-h2")
            try:
                await end_all([goes])
                await until(lambda: not handles(lab, "h2"))
                # Mesos's agent stays in the network of the container that it was last asked about (its NamespaceRunner), for
                # as long as it lives: a thread of it keeps that network, and the interface that leads there.
                await asyncio.to_thread(lab.restart, "mesos-h2")
                await until(lambda: ": oci" not in sh(lab, "h2", "ip -o link show type veth"))
            finally:
                await asyncio.to_thread(lab.start, "agent-h2")
    assert await untouched(lab) == []


def handles(lab, name):
    """The containers' namespaces that Mesos keeps on that host."""
    host = next(host for host in lab.hosts if host.name == name)
    return list(Path(host.runtime_dir, "isolators/network/cni").glob("*"))


# --- a datastore with garbage in it -------------------------------------------------------------------------------


@asynccontextmanager
async def garbage(lab, *wrong):
    """These keys hold what nobody can read meanwhile, and afterwards what they held before."""
    async with opened(lab) as store:
        before = {key: await store.get(key) for key in wrong}
        await store.commit([], [Put(key, b'{"kind": "nonsense", ') for key in wrong])
    try:
        yield
    finally:
        async with opened(lab) as store:
            back = [Put(key, found.value) if found else Delete(key) for key, found in before.items()]
            await store.commit([], back)


FOREIGN_BLOCK = keys.block(Cidr.parse("10.77.7.0/26"))


@pytest.mark.parametrize("restarted", [False, True], ids=["", "and the agent starts with them"])
@scenario
async def test_objects_that_cannot_be_read_are_named_and_stop_nobody_else(lab, restarted):
    wrong = (keys.profile("broken"), keys.pool("broken"), FOREIGN_BLOCK, keys.WORKLOADS + "default/h1-mesos-x-eth0")
    async with framework(lab) as connected:
        before = await run_all(connected, [server(lab, name, name, ("a",)) for name in ("h1", "h2")])
        size = log_size(lab, "agent-h1")
        async with garbage(lab, *wrong):
            if restarted:
                await asyncio.to_thread(lab.restart, "agent-h1", kill=True)
            after = await run_all(connected, [server(lab, f"new-{name}", name, ("a",)) for name in ("h1", "h2")])
            running = [as_running(one) for one in (*before, *after)]
            assert await mismatches(lab, running) == []
            assert lacking(log_since(lab, "agent-h1", size), (keys.profile("broken"), "10.77.7.0")) == []
    assert await untouched(lab) == []


@scenario
async def test_a_task_in_a_group_whose_profile_cannot_be_read_is_closed_until_it_can(lab):
    async with framework(lab) as connected, garbage(lab, keys.profile("odd")):
        tasks = await run_all(connected, [server(lab, name, "h1", ("odd",)) for name in ("odd", "friend")])
        pair = [as_running(one) for one in tasks]
        assert set((await measure(lab, pair, PORT)).values()) == {NOTHING}
        everything = ProfileSpec(ingress=(Rule(action="Allow"),), egress=(Rule(action="Allow"),))
        await put(lab, keys.profile("odd"), Profile(metadata=Metadata(name="odd"), spec=everything))
        await until(lambda: all_open(lab, pair), within_s=5)
    assert await untouched(lab) == []


async def put(lab, key, resource):
    async with opened(lab) as store:
        await store.commit([], [Put(key, encode_json(resource))])


async def all_open(lab, running):
    return await mismatches(lab, running) == []


@scenario
async def test_a_host_whose_own_block_cannot_be_read_takes_another(lab):
    async with framework(lab) as connected:
        first = as_running(await run(connected, server(lab, "first", "h1", ("a",))))
        block = await block_of(lab, first.addresses[0])
        size = log_size(lab, "agent-h1")
        async with garbage(lab, block):
            second = as_running(await run(connected, server(lab, "second", "h1", ("a",))))
            assert await block_of(lab, second.addresses[0]) != block
            assert await mismatches(lab, [first, second]) == []
            assert block in log_since(lab, "agent-h1", size)
    assert await untouched(lab) == []


async def block_of(lab, text):
    """The key of the block that holds this address."""
    async with opened(lab) as store:
        items = (await store.range(keys.BLOCKS)).items
    (found,) = [item.key for item in items if Addr.parse(text) in keys.block_cidr(item.key)]
    return found


@scenario
async def test_no_address_is_lost_to_all_that_went_wrong(lab):
    async with opened(lab) as store:
        items = (await store.range(keys.BLOCKS)).items
    for item in items:
        block = decode_json(Block, item.value, what=item.key)
        assert sorted(block.unallocated) == list(range(Cidr.parse(block.cidr).size)), item.key
        assert block.attributes == ()
    assert await untouched(lab) == []
