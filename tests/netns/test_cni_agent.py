"""The real plugin, the real agent, real containers: what a runtime sees, and that nothing is ever left behind."""

import json
import signal
import sqlite3
from contextlib import suppress
from pathlib import Path

import pytest
from cni_bed import POOL, Bed, between_tests, wait_for

from ocicat.cni.spec import VERSIONS
from ocicat.netlink import namespace

pytestmark = pytest.mark.netns


@pytest.fixture(scope="module")
def started():
    bed = Bed()
    try:
        bed.cli("pool", "add", "default", POOL)
        bed.cli("pool", "add", "tiny", "10.66.0.0/31", "--block-size", "31")
        bed.start()
        yield bed
        wait_for(lambda: not bed.ruleset(), "the ruleset to be tidied")
    finally:
        bed.close()


@pytest.fixture
def bed(started):
    """The agent of this module, with nothing of the test before and nothing for the one after."""
    yield from between_tests(started)


def address(result):
    """The address in a result of any version, without its prefix length."""
    text = result["ip4"]["ip"] if "ip4" in result else result["ips"][0]["address"]
    assert text.endswith("/32")
    return text.removesuffix("/32")


def check_gone(bed, netns):
    """A DEL closes the interface; it is deleted behind it."""
    wait_for(lambda: not bed.inside(netns, "ip", "link", "show", "eth0"), "eth0 to be gone")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_container_from_add_to_del(bed, version):
    netns = bed.container()
    result = bed.add("c1", netns, cniVersion=version)
    assert result["cniVersion"] == version
    assert bed.call("CHECK", "c1", netns, cniVersion=version, prevResult=result) == (0, None)
    assert bed.pings(netns, "10.0.0.2", 30)
    bed.delete("c1", netns, cniVersion=version, prevResult=result)
    check_gone(bed, netns)


def test_two_containers_of_a_network_reach_each_other(bed):
    one, two = bed.container(), bed.container()
    bed.add("c1", one)
    assert bed.pings(one, address(bed.add("c2", two)))
    bed.delete("c1")
    bed.delete("c2")


def test_add_again_gives_the_same_again(bed):
    netns = bed.container()
    assert bed.add("c1", netns) == bed.add("c1", netns)
    assert len(bed.interfaces()) == 1
    bed.delete("c1", netns)


@pytest.mark.parametrize("times", [1, 3])
def test_del_of_what_never_was_succeeds(bed, times):
    for _ in range(times):
        bed.delete("never", "/no/such/netns")
        bed.delete("never")


def test_del_when_the_namespace_is_gone(bed):
    name = "oct-cni-gone"
    if name in namespace.names():
        namespace.delete(name)
    netns = str(namespace.create(name))
    try:
        bed.add("c1", netns)
    finally:
        namespace.delete(name)
    bed.delete("c1", netns)
    bed.delete("c1")


def test_an_address_asked_for_by_name(bed):
    netns = bed.container()
    assert address(bed.add("c1", netns, arguments="IP=10.65.0.99")) == "10.65.0.99"
    error = bed.refused("ADD", "c2", bed.container(), arguments="IP=10.65.0.99")
    assert error["code"] == 100
    assert "10.65.0.99" in error["msg"]
    bed.delete("c1", netns)


def test_two_networks_and_a_nested_container_never_meet(bed):
    netns, nested = bed.container(), bed.container()
    results = [
        bed.add("a", netns),
        bed.add("a", netns, interface="eth1", name="net2"),
        bed.add("a.b", nested),
        bed.add("a.eth0", bed.container()),
    ]
    assert len({address(result) for result in results}) == 4
    assert len(bed.interfaces()) == 4
    for interface, result in zip(("eth0", "eth1"), results, strict=False):
        assert bed.call("CHECK", "a", netns, interface=interface, prevResult=result) == (0, None)
    bed.delete("a", netns)
    check_gone(bed, netns)
    assert bed.pings(netns, "10.0.0.2", 30), "by its other network"
    assert bed.pings(nested, "10.0.0.2", 30)
    assert len(bed.routes()) == 3
    for container, interface in (("a", "eth1"), ("a.b", "eth0"), ("a.eth0", "eth0")):
        bed.delete(container, interface=interface)


def test_both_networks_of_a_container_are_reached_and_answer_from_their_own_address(bed):
    netns, other = bed.container(), bed.container()
    both = [bed.add("two", netns), bed.add("two", netns, interface="eth1")]
    bed.add("one", other)
    for result in both:
        assert bed.pings(other, address(result), 30)
    for name in ("eth0", "eth1"):
        bed.delete("two", netns, interface=name)
    bed.delete("one", other)


# --- CHECK -------------------------------------------------------------------------------------------------------


def test_check_of_what_never_was_is_code_3(bed):
    assert bed.refused("CHECK", "never", bed.container())["code"] == 3


def test_check_compares_with_the_result_before(bed):
    netns = bed.container()
    result = bed.add("c1", netns, cniVersion="1.0.0")
    other = json.loads(json.dumps(result).replace(address(result), "10.65.0.254"))
    error = bed.refused("CHECK", "c1", netns, cniVersion="1.0.0", prevResult=other)
    assert error["code"] == 100
    assert "10.65.0.254" in error["msg"]
    bed.delete("c1", netns)


@pytest.mark.parametrize(
    "damage", [("ip", "addr", "flush", "dev", "eth0"), ("ip", "route", "del", "default"), ("ip", "link", "del", "eth0")]
)
def test_check_finds_what_is_missing_inside(bed, damage):
    netns = bed.container()
    bed.add("c1", netns)
    assert bed.inside(netns, *damage)
    assert bed.refused("CHECK", "c1", netns)["code"] == 100
    bed.delete("c1", netns)


# --- ADDs that must fail, and leave nothing (the fixture looks) --------------------------------------------------


def test_no_such_namespace(bed):
    error = bed.refused("ADD", "c1", "/no/such/netns")
    assert error["code"] == 3
    assert "/no/such/netns" in error["msg"]


def test_a_file_that_is_no_namespace(bed):
    error = bed.refused("ADD", "c1", str(bed.plugin))
    assert error["code"] == 100
    assert "cannot enter network namespace" in error["msg"]


def test_the_interface_is_taken(bed):
    netns = bed.container()
    assert bed.inside(netns, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "x0")
    error = bed.refused("ADD", "c1", netns)
    assert error["code"] == 100
    assert "eth0" in error["msg"]
    assert bed.inside(netns, "ip", "link", "show", "eth0")


def test_a_pool_that_is_full(bed):
    for name in ("c1", "c2"):
        bed.add(name, bed.container(), pools=["tiny"])
    error = bed.refused("ADD", "c3", bed.container(), pools=["tiny"])
    assert error["code"] == 100
    assert "tiny" in error["msg"] + error["details"]
    assert len(bed.interfaces()) == 2
    for name in ("c1", "c2"):
        bed.delete(name)


def test_a_pool_that_does_not_exist(bed):
    error = bed.refused("ADD", "c1", bed.container(), pools=["other"])
    assert "other" in error["msg"]


def test_a_store_that_is_locked(bed):
    netns = bed.container()
    bed.add("c1", netns)
    bed.cli("store", "lock")
    try:
        error = bed.refused("ADD", "c2", bed.container())
        assert "locked" in error["msg"]
        assert "unlock" in error["details"]
        bed.delete("c1", netns)
    finally:
        bed.cli("store", "unlock")


def test_a_store_that_somebody_holds(bed):
    """DEL succeeds all the same, and the address comes back when the store does."""
    netns, other = bed.container(), bed.container()
    bed.add("c1", netns)
    holder = sqlite3.connect(bed.store.removeprefix("sqlite://"), isolation_level=None)
    try:
        holder.execute("BEGIN EXCLUSIVE")
        removed, refused = bed.at_once([lambda: bed.call("DEL", "c1", netns), lambda: bed.call("ADD", "c2", other)])
        assert removed == (0, None)
        check_gone(bed, netns)
        assert (refused[0], refused[1]["code"]) == (1, 11)
    finally:
        holder.close()


@pytest.mark.parametrize("document", ["", "{", '{"cniVersion": "9.9", "name": "n", "type": "ocicat"}'])
def test_a_configuration_that_is_malformed(bed, document):
    assert bed.refused("ADD", "c1", bed.container(), document=document)["code"] in (1, 6)


# --- the agent dies ----------------------------------------------------------------------------------------------


def test_killed_between_adds_the_containers_go_on(bed):
    one, two = bed.container(), bed.container()
    first = bed.add("c1", one)
    bed.kill()
    assert bed.pings(one, "10.0.0.2", 30)
    waiting = bed.spawn("ADD", "c2", two)
    bed.start(wait=False)
    with waiting:
        second = json.load(waiting.stdout)
    assert waiting.returncode == 0
    assert bed.add("c1", one) == first
    assert bed.pings(one, address(second), 30)
    bed.delete("c1", one)
    bed.delete("c2", two)


def test_a_container_that_vanished_while_no_agent_ran_is_given_back(bed):
    name = "oct-cni-lost"
    if name in namespace.names():
        namespace.delete(name)
    bed.add("c1", str(namespace.create(name)))
    bed.kill()
    namespace.delete(name)
    wait_for(lambda: not bed.interfaces(), "the kernel to delete the interface")
    bed.start()


@pytest.mark.parametrize("delay_ms", [0, 1, 2, 3, 5, 8, 13])
def test_killed_during_adds_they_are_finished_by_the_next(bed, delay_ms):
    containers = {f"c{i}": bed.container() for i in range(4)}
    running = [bed.spawn("ADD", name, netns) for name, netns in containers.items()]
    with pytest.raises(TimeoutError):
        wait_ms(delay_ms)
    bed.kill()
    bed.start()
    addresses = set()
    for process in running:
        with process:
            addresses.add(address(json.load(process.stdout)))
        assert process.returncode == 0
    assert len(addresses) == 4
    for name, netns in containers.items():
        assert bed.pings(netns, "10.0.0.2", 30)
        bed.delete(name, netns)


def wait_ms(delay_ms):
    """A moment in the middle of something has no condition that one could wait for."""
    signal.sigtimedwait([], delay_ms / 1000)
    raise TimeoutError


def test_killed_during_dels_they_are_finished_by_the_next(bed):
    containers = {f"c{i}": bed.container() for i in range(4)}
    for name, netns in containers.items():
        bed.add(name, netns)
    running = [bed.spawn("DEL", name, netns) for name, netns in containers.items()]
    bed.kill()
    bed.start()
    for process in running:
        with process:
            assert process.stdout.read() == b""
        assert process.returncode == 0


def test_stopped_politely_the_adds_are_finished_by_the_next(bed):
    containers = {f"c{i}": bed.container() for i in range(4)}
    running = [bed.spawn("ADD", name, netns) for name, netns in containers.items()]
    bed.agent.terminate()
    assert bed.agent.wait(20) == 0
    bed.start()
    for process in running:
        with process:
            said = process.stdout.read()
        assert process.returncode == 0, said
    for name in containers:
        bed.delete(name)


# --- many --------------------------------------------------------------------------------------------------------


def test_32_at_once(bed):
    containers = {f"c{i}": bed.container() for i in range(32)}
    results = bed.at_once([lambda n=name, p=path: bed.add(n, p) for name, path in containers.items()])
    assert len({address(result) for result in results}) == 32
    assert len(bed.routes()) == 32
    targets = [address(result) for result in results]
    paths = list(containers.values())
    reached = bed.at_once([lambda i=i: bed.pings(paths[i], targets[(i + 1) % 32], 30) for i in range(32)])
    assert all(reached)
    bed.at_once([lambda n=name: bed.delete(n) for name in containers])


def test_add_and_del_of_one_container_at_once(bed):
    """Whoever comes first, the two do not mix; a DEL at the end always cleans up."""
    netns = bed.container()
    bed.at_once([lambda c=command: bed.call(c, "c1", netns) for command in ("ADD", "DEL") * 4])
    bed.delete("c1", netns)


def held_namespaces(pid):
    """Network namespaces that open descriptors of the process keep; a descriptor may close while they are read."""
    held = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            held.append(str(descriptor.readlink()))
    return [name for name in held if name.startswith("net:[")]


def test_the_containers_namespace_is_not_kept_alive(bed):
    """An agent that holds a descriptor of a namespace would keep it, and all that is in it, for ever."""
    netns = bed.container()
    bed.add("c1", netns)
    wait_for(lambda: not held_namespaces(bed.agent.pid), "the agent to let go of the namespace")
    bed.delete("c1", netns)
