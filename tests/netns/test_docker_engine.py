"""The real Docker engine uses the drivers: networks, addresses, ports, policy; restarts of everybody; and nothing is left."""

import asyncio
import shutil
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from docker_bed import POOL, POOL6, WAIT_S, Bed, end, image, wait_for

from ocicat.lab.lab import silent
from ocicat.lab.mesos import library
from ocicat.lab.mesos.options import AgentOptions, MasterOptions
from ocicat.mesos.framework import Framework
from ocicat.mesos.types import ExecutorSpec, Image, NetworkRequest, TaskSpec, TaskState
from ocicat.netlink import namespace

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(not shutil.which("dockerd"), reason="docker.io is not installed"),
    pytest.mark.skipif(not Path("/bin/busybox").exists(), reason="busybox-static is not installed"),
]

POLICY = """
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: db}
spec:
  selector: app == 'db'
  types: [Ingress]
  ingress:
  - {action: Allow, source: {selector: app == 'web'}}
"""


@pytest.fixture(scope="module")
def bed():
    bed = Bed(hosts=2)
    try:
        bed.cli("pool", "add", "default", POOL)
        bed.cli("pool", "add", "six", POOL6)
        with ThreadPoolExecutor() as pool:
            list(pool.map(start, bed.hosts))
        yield bed
    finally:
        bed.close()


@pytest.fixture(autouse=True)
def nothing_left(bed):
    """After each test, and before the next one where the last has failed."""
    yield
    for host in bed.hosts:
        names = host.do("ps", "--all", "--quiet").split()
        if names:
            host.do("rm", "--force", *names)
    bed.check_nothing_left()


def start(host):
    host.start_agent()
    host.start_engine()
    host.do("import", "-", "box", given=image())
    create(host, "net")
    create(host, "fixed", "--ipv6", f"--subnet={POOL}", f"--subnet={POOL6}")


def create(host, name, *options):
    host.do("network", "create", "--driver=ocicat", "--ipam-driver=ocicat", *options, name)


def test_containers_reach_each_other_on_one_host_and_across_hosts(bed):
    h1, h2 = bed.hosts
    one, two, three = h1.run_container("one"), h1.run_container("two"), h2.run_container("three")
    assert h1.routes() >= {one, two}
    for host, name, target in ((h1, "one", two), (h1, "one", three), (h2, "three", one), (h2, "three", two)):
        assert host.pings(name, target), (name, target)
    h1.do("rm", "--force", "one")
    assert one not in h1.routes()


def test_addresses_of_choice_of_both_families(bed):
    h1, h2 = bed.hosts
    for host, name, last in ((h1, "one", 77), (h2, "two", 200)):
        host.run_container(name, f"--ip=10.66.0.{last}", f"--ip6=fd66::{last}", net="fixed")
        network = host.inspect(name, "fixed")
        assert (network["IPAddress"], network["GlobalIPv6Address"]) == (f"10.66.0.{last}", f"fd66::{last}")
    assert h1.pings("one", "10.66.0.200")
    assert h1.pings("one", "fd66::200")
    refused = h2.refused("run", "--network=fixed", "--ip=10.66.0.77", "box", "sleep", "1")
    assert "10.66.0.77 is in use" in refused
    refused = h2.refused("run", "--network=fixed", "--ip=10.99.0.1", "box", "sleep", "1")
    assert "10.99.0.1" in refused


def test_a_container_on_two_networks_answers_on_both_and_keeps_one_when_it_leaves_the_other(bed):
    h1, h2 = bed.hosts
    create(h1, "second")
    h2.run_container("peer")
    first = h1.run_container("both", "--label=ocicat.label.app=x")
    h1.do("network", "connect", "--driver-opt=ocicat.groups=net", "second", "both")
    second = h1.inspect("both", "second")["IPAddress"]
    peer = h2.inspect("peer")["IPAddress"]
    wait_for(lambda: h2.pings("peer", second), "the second network's routes")
    assert h2.pings("peer", first)
    for source in (first, second):
        assert h1.inside("both", "ping", "-c1", "-W1", "-I", source, peer), source
    h1.do("network", "disconnect", "net", "both")
    assert first not in h1.routes()
    assert h1.pings("both", peer)
    h1.do("rm", "--force", "both")
    h1.do("network", "rm", "second")


def test_policy_by_labels_of_the_options_and_of_the_container(bed):
    h1, h2 = bed.hosts
    bed.cli("apply", "-f", "-", text=POLICY)
    try:
        database = h1.run_container("database", said="ocicat.label.app=db")
        h2.run_container("web", said="ocicat.label.app=web")
        h2.run_container("labelled", "--label=ocicat.label.app=web")
        h1.run_container("other")
        assert h2.pings("web", database)
        assert not h1.pings("other", database)
        wait_for(lambda: h2.pings("labelled", database), "the container's own label to count")
    finally:
        bed.cli("delete", "globalnetworkpolicy", "db")


def test_a_published_port(bed):
    h1, h2 = bed.hosts
    h1.run_container("one", "--publish=8080:80", said="ocicat.groups=public")
    h1.do("exec", "--detach", "one", "httpd", "-p", "80", "-h", "/bin")
    ask = ("curl", "-s", "-m5", "-o", "/dev/null", "-w", "%{http_code}", f"http://{h1.address}:8080/busybox")
    wait_for(lambda: h2.output(*ask) == "200", "the page")
    taken = h1.refused("run", "--network=net", "--publish=8080:81", "box", "sleep", "1")
    assert "host port tcp/8080 leads to endpoint" in taken
    any_port = h1.refused("run", "--network=net", "--publish=80", "box", "sleep", "1")
    assert "name the one that is to lead to it: --publish PORT:80" in any_port


def test_what_the_engine_shows_of_an_error(bed):
    (h1, _) = bed.hosts
    for options, words in (
        (("--driver=ocicat",), "create the network with --ipam-driver ocicat"),
        (("--driver=ocicat", "--ipam-driver=ocicat", "-o", "ocicat.lable.app=x"), "option ocicat.lable.app: unknown"),
        (("--driver=ocicat", "--ipam-driver=ocicat", "--subnet=10.9.0.0/24"), "there is no pool '10.9.0.0/24'"),
        (("--driver=ocicat", "--ipam-driver=ocicat", "--internal"), "--internal is not served"),
    ):
        assert words in h1.refused("network", "create", *options, "wrong")
    assert "wrong" not in h1.do("network", "ls")


def test_containers_outlive_the_agent_and_new_ones_wait_for_the_next(bed):
    h1, h2 = bed.hosts
    one, two = h1.run_container("one"), h2.run_container("two")
    h1.stop_agent()
    assert h2.pings("two", one)
    with ThreadPoolExecutor(1) as pool:
        third = pool.submit(h1.run_container, "three")
        wait_for(lambda: "three" in h1.do("ps", "--all"), "the engine to begin")
        h1.start_agent()
        assert third.result(WAIT_S) in h1.routes()
    assert h1.pings("three", two)
    h1.stop_agent(signal.SIGTERM)
    h1.start_agent()
    h1.do("rm", "--force", "one", "three")
    assert one not in h1.routes()


def test_a_killed_engine_leaves_nothing_when_it_is_back(bed):
    (h1, _) = bed.hosts
    one = h1.run_container("one")
    h1.stop_engine()
    assert one in h1.routes()
    h1.start_engine()
    wait_for(lambda: one not in h1.routes(), "the engine to clean up")
    h1.do("start", "one")
    again = h1.inspect("one")["IPAddress"]
    wait_for(lambda: again in h1.routes(), "the container's new route")


def test_a_stopped_container_gives_its_address_back_and_gets_one_when_it_starts(bed):
    (h1, _) = bed.hosts
    one = h1.run_container("one")
    h1.do("stop", "--time=0", "one")
    assert one not in h1.routes()
    h1.do("start", "one")
    assert h1.inspect("one")["IPAddress"] in h1.routes()
    h1.do("kill", "one")
    wait_for(lambda: not h1.routes() & {one, h1.inspect("one")["IPAddress"]}, "its route to go")


# --- Apache Mesos with its Docker containerizer -------------------------------------------------------------------

EXECUTOR = Path(__file__).parents[1] / "system" / "custom_executor.py"
STATIC = "10.66.0.99"
RECORDER = """#!/bin/sh
echo "$@" >> {log}
exec docker "$@"
"""


def recorder(host):
    """A `docker` that writes down how Mesos calls it. The program, and the file."""
    program, log = host.directory / "docker-for-mesos", host.directory / "docker.calls"
    program.write_text(RECORDER.format(log=log))
    program.chmod(0o755)
    return program, log


@contextmanager
def mesos(host, docker):
    """A real master, and a real agent with both containerizers; the master's address."""
    directory, found = host.directory, str(library.ensure(library.default_cache(), silent))
    master = MasterOptions(
        ip=host.address, work_dir=f"{directory}/master", library=found, ready_file=f"{directory}/master.ready"
    )
    agent = AgentOptions(
        ip=host.address,
        hostname=host.name,
        master=f"{host.address}:5050",
        work_dir=f"{directory}/work",
        runtime_dir=f"{directory}/mesos",
        launcher_dir=f"{directory}/libexec",
        cgroups_root=host.bed.directory.name,
        library=found,
        ready_file=f"{directory}/mesos.ready",
        flags={
            "containerizers": "docker,mesos",
            "docker": str(docker),
            "docker_socket": "/var/run/docker.sock",
            "isolation": "filesystem/linux",
        },
    )
    running = []
    try:
        for options in (master, agent):
            running.append(host.spawn("mesos.log", *options.argv()))
            wait_for(Path(options.ready_file).exists, options.program())
        yield master.ip
    finally:
        for process in running:
            end(process, signal.SIGKILL)


def executor():
    """A program that runs inside the image, with the interpreter of this machine."""
    folders = (sys.base_prefix, "/lib", "/lib64", str(EXECUTOR.parent))
    volumes = tuple(("volume", f"{folder}:{folder}:ro") for folder in folders)
    return ExecutorSpec(
        command=f"exec {Path(sys.executable).resolve()} -ISE {EXECUTOR}",
        networks=(NetworkRequest("fixed"),),
        image=Image("box", "DOCKER", parameters=(("ip", STATIC), ("label", "ocicat.label.app=web"), *volumes)),
    )


def test_a_task_of_mesos_s_docker_containerizer_has_an_address_of_ours_and_reaches_its_agent(bed):
    """Its executor runs inside: it could not have registered otherwise."""
    h1, h2 = bed.hosts
    docker, calls = recorder(h1)

    async def run(master):
        async with Framework.connect(f"{master}:5050", name="docker") as framework:
            task = await framework.launch(TaskSpec("web", (), executor=executor()))
            status = await task.wait(TaskState.RUNNING, timeout_s=WAIT_S)
            await asyncio.to_thread(check, f"mesos-{status.container_id}")
            await task.kill()
            assert (await task.wait_ended(timeout_s=WAIT_S)).state == TaskState.KILLED

    def check(name):
        assert f"--net fixed --entrypoint /bin/sh --name {name} --ip={STATIC} --label=" in calls.read_text()
        wait_for(lambda: "mesos/executor" in bed.endpoint(STATIC).metadata.labels, "its labels")
        labels = bed.endpoint(STATIC).metadata.labels
        assert (labels["app"], labels["docker/container"], labels["mesos/framework"]) == ("web", name, "docker")
        h2.run_container("probe", net="fixed")
        assert h2.pings("probe", STATIC)

    with mesos(h1, docker) as master, namespace.inside(h1.fd):
        asyncio.run(run(master))
