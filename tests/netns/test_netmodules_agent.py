"""The real plugin, the real agent, real processes in networks of their own: what the module of each Mesos version sees."""

from __future__ import annotations

import itertools
import json
import subprocess
import threading
from functools import partial

import pytest
from cni_bed import wait_for
from netmodules_bed import Failed, ModuleBed, Task

from ocicat.model import keys

pytestmark = pytest.mark.netns

VERSIONS = ("0.24", "0.25", "0.26", "0.27", "0.28")
HOST = "10.0.0.1"


@pytest.fixture(scope="module")
def started():
    bed = ModuleBed()
    try:
        bed.cli("pool", "add", "default", "10.65.0.0/24")
        bed.cli("pool", "add", "six", "fd65::/112")
        bed.start()
        yield bed
    finally:
        bed.close()


@pytest.fixture
def bed(started):
    yield started
    print(started.log_text()[-4000:])  # pytest shows it where a test has failed
    try:
        started.check_nothing_left()
    finally:
        for container in started.containers:
            container.kill()
        started.tidy()


def endpoint(bed, container_id):
    found = [json.loads(item.value) for item in bed.stored(keys.WORKLOADS)]
    return next(one for one in found if one["spec"]["containerID"] == container_id)


def addresses_in(container):
    """Inside its network, as `ip` shows them."""
    command = ["nsenter", f"--net={container.netns}", "ip", "-o", "-4", "addr", "show", "dev", "eth0"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return {line.split()[3] for line in lines}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_task_of_each_version_from_launch_to_end(bed, version):
    module = bed.module(version)
    task = Task(groups=("web",), labels={"rack": "3A"}, static=() if version == "0.24" else ("10.65.0.77",))
    container_id, container, addresses = bed.run(module, task)
    assert addresses_in(container) == {f"{address}/32" for address in addresses}
    assert bed.pings(container.netns, HOST) is False  # only its Mesos agent's port
    assert bed.pings(container.netns, "10.0.0.2", 30)
    spec = endpoint(bed, container_id)
    assert spec["spec"]["profiles"] == ["web"]
    assert ("rack" in spec["metadata"]["labels"]) is (version in ("0.27", "0.28"))
    bed.end(module, container_id, container)
    commands = [json.loads(request)["command"] for request, _ in module.calls]
    assert commands == [*(["reserve"] if task.static else []), "allocate", "isolate", "release", "cleanup"]
    assert {reply for request, reply in module.calls if "allocate" not in request} == {'{"error":null}'}


def test_groups_decide_who_talks_to_whom(bed):
    """The acceptance cases of the demo framework on one host: {a}, {b}, {a,b}, public, and none."""
    module = bed.module()
    tasks = {"a": ("a",), "b": ("b",), "ab": ("a", "b"), "public": ("public",), "none": ()}
    running = {name: bed.run(module, Task(groups=groups)) for name, groups in tasks.items()}
    allowed = {"a": {"a", "ab", "public"}, "b": {"b", "ab", "public"}, "ab": {"a", "b", "ab", "public"}}
    allowed |= {"public": {"public"}, "none": set()}
    pairs = list(itertools.permutations(tasks, 2))
    pings = [partial(bed.pings, running[one][1].netns, running[other][2][0]) for one, other in pairs]
    reached = {pair for pair, found in zip(pairs, bed.at_once(pings), strict=True) if found}
    assert reached == {(sender, receiver) for sender, receiver in pairs if receiver in allowed[sender]}
    for container_id, container, _ in running.values():
        bed.end(module, container_id, container)


def test_several_addresses_and_static_ones(bed):
    module = bed.module()
    task = Task(groups=("a",), static=("10.65.0.20", "10.65.0.21"), automatic=2)
    container_id, container, addresses = bed.run(module, task)
    assert addresses[:2] == ["10.65.0.20", "10.65.0.21"]
    other = bed.run(module, Task(groups=("a",)))
    assert len(addresses_in(container)) == len(addresses) == 4
    assert all(bed.pings(other[1].netns, address, 30) for address in addresses)
    with pytest.raises(Failed, match=r"^IP '10\.65\.0\.21' already in use\.$"):
        bed.run(module, Task(static=("10.65.0.22", "10.65.0.21"), automatic=0))
    bed.end(module, container_id, container)
    bed.end(module, *other[:2])


def test_ipv6_is_served_though_no_module_asks_for_it(bed):
    module = bed.module()
    found = {}
    for name, asked in (("c-one", "fd65::7"), ("c-two", "fd65::8")):
        common = {"hostname": "slave-1", "uid": f"uid-{name}"}
        module.run("reserve", common | {"ipv6_addrs": [asked]})
        reply = module.run("allocate", common | {"num_ipv4": 1, "num_ipv6": 1})
        container = bed.launch()
        addresses = {"ipv4_addrs": reply["ipv4"], "ipv6_addrs": [asked, *reply["ipv6"]]}
        args = {"hostname": "slave-1", "container_id": name, "pid": container.pid, "netgroups": ["a"], **addresses}
        module.run("isolate", args)
        found[name] = container, addresses
    (one, _), (_, theirs) = found.values()
    for address in (*theirs["ipv4_addrs"], *theirs["ipv6_addrs"]):
        assert bed.pings(one.netns, address, 30), address
    for name, (container, _) in found.items():
        container.kill()
        module.run("cleanup", {"hostname": "slave-1", "container_id": name})


def test_an_address_in_a_label_is_no_program(bed, tmp_path):
    module = bed.module()
    witness = tmp_path / "run"
    container_id, container, addresses = bed.run(module, Task(labels={"ipv4_addrs": "['10.65.0.30']"}))
    assert addresses == ["10.65.0.30"]
    with pytest.raises(Failed, match="IP address could not be parsed"):
        bed.run(module, Task(labels={"ipv4_addrs": f"[__import__('pathlib').Path('{witness}').touch()]"}))
    assert not witness.exists()
    bed.end(module, container_id, container)


def test_what_cannot_be_isolated_leaves_nothing(bed):
    module = bed.module()
    for pid, text in ((bed.agent.pid, "has no network of its own"), (2**30, "No such file")):
        module.prepare("c-fails", Task())
        with pytest.raises(Failed, match=text):
            module.isolate("c-fails", pid, Task())
        assert module.cleanup("c-fails")
        bed.check_nothing_left()


def test_a_process_that_dies_before_it_is_isolated(bed):
    module = bed.module()
    module.prepare("c-dies", Task())
    container = bed.launch()
    container.kill()
    with pytest.raises(Failed, match="No such file"):
        module.isolate("c-dies", container.pid, Task())
    module.cleanup("c-dies")


def test_an_agent_that_is_killed_is_waited_for_and_knows_all(bed):
    module = bed.module()
    container_id, _, _ = bed.run(module)
    waiting = module.prepare("c-waits", Task())
    bed.kill()
    calls = [threading.Thread(target=bed.run, args=(module, Task(), f"c-{n}")) for n in range(3)]
    for call in calls:
        call.start()
    bed.start()
    for call in calls:
        call.join(60)
    other = bed.launch()
    module.isolate("c-waits", other.pid, Task())
    assert addresses_in(other) == {f"{waiting[0]}/32"}
    for one in bed.containers:
        one.kill()
    for name in (container_id, "c-waits", "c-0", "c-1", "c-2"):
        assert module.cleanup(name)


def test_without_an_agent_leave_is_taken_and_done_afterwards(bed):
    module = bed.module()
    container_id, container, _ = bed.run(module)
    bed.kill()
    container.kill()
    patient = bed.net_plugin.read_text()
    assert patient.count("PATIENCE_OF_LEAVING_S = 8.0") == 1
    bed.net_plugin.write_text(patient.replace("PATIENCE_OF_LEAVING_S = 8.0", "PATIENCE_OF_LEAVING_S = 0.5"))
    try:
        assert module.cleanup(container_id)
    finally:
        bed.net_plugin.write_text(patient)
    bed.start()
    bed.check_nothing_left()


def test_what_a_restarted_mesos_agent_forgot_is_collected(bed):
    """Its module does not know the container any more: neither `release` nor `cleanup` comes."""
    container_id, container, _ = bed.run(bed.module())
    module = bed.module()
    assert not module.cleanup(container_id)
    assert bed.pings(container.netns, "10.0.0.2") is False
    container.kill()
    wait_for(lambda: not bed.interfaces(), "the interface to go with its network")
    assert not module.cleanup(container_id)
    assert bed.owners()
    bed.kill()
    bed.start()
    bed.check_nothing_left()


def test_many_at_once(bed):
    module = bed.module()
    running = bed.at_once([lambda: bed.run(module, Task(groups=("a",))) for _ in range(12)])
    assert len({addresses[0] for _, _, addresses in running}) == 12
    bed.at_once([lambda one=one: bed.end(module, *one[:2]) for one in running])
