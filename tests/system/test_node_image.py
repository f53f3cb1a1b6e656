"""The agent's image, built and run by the real Docker engine on a host with systemd and the real Mesos, as an operator does it.

The base of the image is a Debian made by debootstrap; what is copied into it is made on this machine. The host has no other network
than its own, so building and running fetch nothing.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import debian_root
import mesos_package
import pytest
from bare_host import CHECKOUT, VOLATILE, bare_hosts, ended_with_us, wait_for
from bare_matrix import Cluster
from bare_matrix import Host as Seen
from lab_bed import MARKS, as_running, end_all, mismatches, run_all, server, within

from ocicat.lab.demo_checks import task_namespace
from ocicat.lab.lab import silent
from ocicat.lab.mesos import library
from ocicat.mesos.framework import Framework

pytestmark = [
    *MARKS,
    pytest.mark.skipif(not shutil.which("dockerd"), reason="docker.io is not installed"),
    pytest.mark.skipif(bool(debian_root.missing()), reason=debian_root.missing()),
]

IMAGE, NEWER, BROKEN, ONCE = "ocicat:test", "ocicat:newer", "ocicat:broken", "ocicat:once"
POOL = "10.66.0.0/24"
ENGINE = "dockerd --iptables=false --ip6tables=false --bridge=none --ip-forward=false --ip-masq=false"
UNIT = CHECKOUT / "packaging/systemd/ocicat-agent.service"
STORE = "sqlite:///var/lib/ocicat/store.db"
# The compiled module holds its source's time, which changes with it: the interpreter takes the source.
NEWER_FILE = r"""FROM ocicat:test
RUN sed -i 's/^__version__ = .*/__version__ = "99.0"/' /opt/ocicat/venv/lib/python3.11/site-packages/ocicat/__init__.py
"""
BROKEN_FILE = 'FROM ocicat:test\nENTRYPOINT ["sh", "-c", "echo it cannot start; exit 7"]\n'
# It fails once; started again it stays, and does nothing.
ONCE_FILE = """FROM ocicat:test
ENTRYPOINT ["sh", "-c", "[ -e /run/ocicat/once ] && exec sleep 600; touch /run/ocicat/once; exit 7"]
"""
NETWORK = '{"cniVersion":"1.0.0","name":"ocicat","type":"ocicat"}'
LIMIT_MB = 170
# The operator's data: whatever is stopped, they stay. Disabling a unit removes the directory of links, when it was the last one.
OURS = ("/var/lib/ocicat", "/etc/ocicat", "/etc/systemd/system/multi-user.target.wants")
OPTIONS = "--host h1 --address 172.31.9.11/24"
FILE = '[host]\nname = "h1"\naddress = "172.31.9.11/24"\n'


def given(host):
    """Mesos's packages and our own, but for the agent's environment, which is that of the checkout."""
    ours = {
        "/usr/bin/ocicat": f'#!/bin/sh\nexec {Path(sys.executable).with_name("ocicat")} "$@"\n',
        "/usr/lib/systemd/system/ocicat-agent.service": UNIT.read_text().replace("OOMScoreAdjust=-500\n", ""),
    }
    return mesos_package.files(host, masters=f"{host.address}:5050") | ours


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image") / "context"
    build = [
        sys.executable,
        str(CHECKOUT / "packaging/docker/build"),
        IMAGE,
        "--only-prepare",
        "--context",
        str(folder),
    ]
    subprocess.run(build, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def host(context):
    library.ensure(library.default_cache(), silent)
    base = debian_root.tarball()
    with bare_hosts("h1", systemd=True, volumes=("/var/lib/docker",), binds=(context, base.parent), given=given) as bed:
        h1 = bed["h1"]
        engine = h1.spawn(ENGINE, log="/var/log/dockerd.log")
        wait_for(lambda: h1.run("docker version", check=False).status == 0, "the engine")
        h1.run(f"docker import {base} base", timeout_s=300)
        build = f"{CHECKOUT}/packaging/docker/build {IMAGE} --base base --context {context}"
        h1.run(build, timeout_s=300, DOCKER_BUILDKIT="0")
        for name, text in ((NEWER, NEWER_FILE), (BROKEN, BROKEN_FILE), (ONCE, ONCE_FILE)):
            h1.run(f"docker build --tag {name} -", given=text, timeout_s=300, DOCKER_BUILDKIT="0")
        yield h1
    engine.wait()  # it has ended with its host


@pytest.fixture(autouse=True)
def nothing_runs_afterwards(host):
    yield
    host.run("ocicat node stop --purge", check=False)


def start(host, *options, image=IMAGE, told=OPTIONS, **more):
    return host.run(f"ocicat node start --with docker --image {image} {' '.join(options)} -- {told}", **more)


def status(host):
    return json.loads(host.run("ocicat node status -o json", check=False).out)[0]


def inspected(host, what, kind="container"):
    return json.loads(host.run(f"docker {kind} inspect {what}").out)[0]


def containers(host):
    return host.run("docker ps --all --format '{{.Names}} {{.Image}} {{.State}}'").out.splitlines()


# --- the image --------------------------------------------------------------------------------------------------


def test_the_image_is_small_and_says_what_it_is(host):
    found = inspected(host, IMAGE, "image")
    print(f"image: {found['Size'] / 1e6:.0f} MB")
    assert found["Size"] < LIMIT_MB * 1e6
    labels = found["Config"]["Labels"]
    version = host.run(f"docker run --rm --network none {IMAGE} --version").out.split()[-1]
    assert labels["org.opencontainers.image.version"] == version
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?|unknown", labels["org.opencontainers.image.revision"])
    assert labels["org.opencontainers.image.source"]


def test_there_is_no_compiler_and_no_installer_in_it(host):
    script = r"""
    for program in cc gcc c99 ld as make pip pip3 uv; do command -v $program; done
    find / -xdev -name '*.a' -o -xdev -name pip -o -xdev -name 'pip-*' -o -xdev -name '*.deb'
    find / -xdev -path '*/.cache/*' -o -xdev -path '/var/lib/apt/lists/*'
    """
    run = ["docker", "run", "--rm", "--network", "none", "--entrypoint", "sh", IMAGE, "-c", script]
    found = host.run(run, check=False)
    assert (found.out, found.err) == ("", "")


def test_without_options_or_power_the_image_says_what_is_missing(host):
    done = host.run(f"docker run --rm --network none --read-only {IMAGE}", check=False)
    assert done.status == 78
    assert "Traceback" not in done.err


# --- the agent in a container ---------------------------------------------------------------------------------------


def test_a_dry_run_prints_what_can_be_typed_and_does_nothing(host):
    lines = start(host, "--dry-run").out.splitlines()
    assert [line.split()[:2] for line in lines] == [["docker", "create"], ["docker", "start"]]
    assert containers(host) == []
    of_image = f"docker run --rm --network none {IMAGE} node start --with docker --image {IMAGE} --dry-run -- {OPTIONS}"
    assert host.run(of_image).out.splitlines() == lines  # for hosts that have no other ocicat
    host.run(f"{of_image} | sh")
    wait_for(lambda: status(host)["state"] == "well", "the agent")
    assert "nothing to change" in start(host).err
    host.run("docker kill --signal HUP ocicat-agent")  # goes through to the agent
    wait_for(lambda: "the settings were read again" in host.run("ocicat node logs 2>&1").out, "the settings to be read")


def test_real_mesos_tasks_have_a_network_while_their_agent_is_replaced(host):
    """The container is there before Mesos's agent is: it has nothing of Mesos's mounts in its own."""
    add_pool(host)
    start(host)
    installed = host.run(
        f"docker run --rm --network none --volume /:/host {IMAGE} mesos install --root /host --mesos-version 1.11.0"
    )
    assert "/opt/ocicat/cni/ocicat" in installed.out
    host.run("systemctl daemon-reload; systemctl start mesos-master mesos-agent")
    cluster = Cluster(f"{host.address}:5050", STORE, [Seen("h1", host.pid)])
    with within(Path(f"/proc/{host.pid}/ns/net")):
        asyncio.run(asyncio.wait_for(tasks_of_mesos(host, cluster), 240))
    host.run("systemctl stop mesos-agent mesos-master")


async def tasks_of_mesos(host, cluster):
    async with Framework.connect(cluster.master, name="image") as framework:
        specs = [server(cluster, name, "h1", (group,)) for name, group in (("a1", "a"), ("a2", "a"), ("b1", "b"))]
        tasks = await run_all(framework, specs)
        running = [as_running(task) for task in tasks]
        assert await mismatches(cluster, running) == []
        with pinging(task_namespace(cluster, running[0]), running[1].addresses[0]) as ping:
            await asyncio.to_thread(replaced, host)
        assert ping.lost() == 0
        late = await run_all(framework, [server(cluster, "b2", "h1", ("b",))])
        assert await mismatches(cluster, [*running, *map(as_running, late)]) == []
        assert status(host)["agent"]["endpoints"] == 4
        await end_all([*tasks, *late])
    wait_for(lambda: status(host)["agent"]["endpoints"] == 0, "the last endpoint to go")


def replaced(host):
    """By a newer one; by one that does not start, and not for long; by force."""
    assert "version 99.0, in container ocicat-agent" in start(host, image=NEWER).err
    refused = start(host, image=BROKEN, check=False)
    assert (refused.status, "it cannot start" in refused.err) == (1, True)
    assert "ended with status 7; the one before it runs again" in refused.err
    assert containers(host) == [f"ocicat-agent {NEWER} running"]
    wait_for(lambda: status(host)["state"] == "well", "the agent of before")
    host.run("docker kill ocicat-agent && docker start ocicat-agent")
    wait_for(lambda: status(host)["state"] == "well", "the agent after a kill")
    assert status(host)["agent"]["version"] == "99.0"


def test_a_replacement_broken_off_before_its_start_has_a_way_back(host):
    """All of what is to be done but the last: the old one is there still, and is started again when the new one does not serve."""
    start(host)
    *steps, started, when = start(host, "--dry-run", image=BROKEN).out.splitlines()
    assert (started, when) == (
        "docker start ocicat-agent",
        "# when it serves: docker rm --force ocicat-agent-former",
    )
    host.bash("\n".join(steps))
    assert len(containers(host)) == 2
    refused = start(host, image=BROKEN, check=False)
    assert (refused.status, "the one before it runs again" in refused.err) == (1, True)
    assert containers(host) == [f"ocicat-agent {IMAGE} running"]
    wait_for(lambda: status(host)["state"] == "well", "the agent of before")


def test_how_it_ended_is_told_also_while_the_engine_has_started_it_again(host):
    """The engine's state of a container that runs has no exit status: it was 0 then."""
    start(host)
    refused = start(host, image=ONCE, check=False)
    host.run("rm /run/ocicat/once")
    assert "ended with status 7; the one before it runs again" in refused.err


class pinging:  # noqa: N801  used like a function
    """From a namespace to an address, a hundred times a second."""

    def __init__(self, path, address):
        command = ended_with_us("nsenter", f"--net={path}", "ping", "-i", "0.01", address)
        self._ping = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._ping.send_signal(2)
        self._said = self._ping.communicate()[0]

    def lost(self):
        """Before the last that came back: ping may be ended between a packet and its answer."""
        back = {int(number) for number in re.findall(r"icmp_seq=(\d+) ttl", self._said)}
        print(f"{max(back)} packets sent while the agent was replaced, {max(back) - len(back)} lost")
        assert len(back) > 100
        return max(back) - len(back)


def test_the_health_check_asks_the_agent_and_it_ends_at_once_when_it_is_told_to(host):
    test = inspected(host, IMAGE, "image")["Config"]["Healthcheck"]["Test"]
    start(host)
    assert host.run(["docker", "exec", "ocicat-agent", *test[1:]]).out == "well\n"
    host.run("docker stop --time 60 ocicat-agent")  # by a signal, or else the status would be 137
    assert inspected(host, "ocicat-agent")["State"]["ExitCode"] == 0
    assert status(host)["problem"] == "no agent serves /run/ocicat/agent.sock: it ended with status 0"
    asked = [
        "docker",
        "run",
        "--rm",
        "--network",
        "none",
        "--volume",
        "/run/ocicat:/run/ocicat",
        "--entrypoint",
        test[1],
    ]
    done = host.run([*asked, IMAGE, *test[2:]], check=False)
    assert (done.status, done.out) == (1, "down\n")


def test_the_health_check_follows_the_socket_that_the_agent_is_told(host):
    test = inspected(host, IMAGE, "image")["Config"]["Healthcheck"]["Test"]
    start(host, told=f"{OPTIONS} --socket /run/ocicat/other.sock")
    assert host.run(["docker", "exec", "ocicat-agent", *test[1:]]).out == "well\n"
    other = {"OCICAT_SOCKET": "/run/ocicat/other.sock"}
    assert json.loads(host.run("ocicat node status -o json", **other).out)[0]["state"] == "well"
    host.run("ocicat node stop --purge", **other)
    assert host.run("ls -A /run/ocicat", check=False).out == ""


def test_settings_that_cannot_be_used_are_told_by_the_engine_too_and_heal_without_a_word(host):
    """The engine waits twice as long before each try, up to a minute: it needs no other end."""
    host.write("/etc/ocicat/ocicat.toml", FILE)
    start(host, told="")
    host.write("/etc/ocicat/ocicat.toml", FILE + "[agent]\nmtu = 1\n")
    host.run("docker restart ocicat-agent")
    said = "its settings cannot be used (status 78): see `ocicat config check` and `ocicat node logs`"
    wait_for(lambda: status(host)["problem"].endswith(f": {said}"), "the status to say so")
    assert status(host)["kept_by"] == "docker"
    wait_for(lambda: "Restarting (78)" in host.run("docker ps").out, "the engine to say so")
    assert "agent.mtu: mtu 1 is not in 576 to 65535" in host.run("ocicat node logs 2>&1").out
    host.write("/etc/ocicat/ocicat.toml", FILE)
    wait_for(lambda: status(host)["state"] == "well", "the engine's next try")
    host.run("rm /etc/ocicat/ocicat.toml")


def test_it_serves_docker_s_own_networks_too(host):
    """It asks the engine for labels, by a socket, and enters sandboxes, both as the host's first process sees them."""
    start(host, told=f"{OPTIONS} --docker-plugin")
    add_pool(host)
    host.run("docker network create --driver=ocicat --ipam-driver=ocicat --ipv6=false net")
    try:
        run = "docker run --detach --network net --stop-signal KILL --entrypoint sleep"
        host.run(f"{run} --name one --label ocicat.label.app=web {IMAGE} 600; {run} --name two {IMAGE} 600")
        host.run("docker exec --detach one python3 -m http.server 80")
        address = inspected(host, "one")["NetworkSettings"]["Networks"]["net"]["IPAddress"]
        ask = f"import urllib.request as u; print(u.urlopen('http://{address}', timeout=5).status)"
        asked = ["docker", "exec", "two", "python3", "-c", ask]
        wait_for(lambda: host.run(asked, check=False).out == "200\n", "the page")
        wait_for(lambda: "app: web" in host.run(f"ocicat get wep -o yaml --store {STORE}").out, "the container's label")
    finally:
        host.run("docker rm --force one two; docker network rm net", check=False)


def add_pool(host):
    host.run(f"ocicat pool add default {POOL} --store {STORE}", check=False)  # it is there if another test came before


# --- the compose file -----------------------------------------------------------------------------------------------


@pytest.mark.skipif(not shutil.which("docker-compose"), reason="docker-compose is not installed")
def test_the_compose_file_makes_the_same_container(host):
    compose = f"docker-compose --file {CHECKOUT}/packaging/docker/compose.yaml"
    variables = {"OCICAT_IMAGE": IMAGE, "OCICAT_AGENT_OPTIONS": OPTIONS}
    host.run(f"{compose} config --quiet", **variables)
    host.run(f"{compose} up --detach", **variables)
    wait_for(lambda: status(host)["state"] == "well", "the agent")
    composed = inspected(host, "ocicat-agent")
    start(host)
    started = inspected(host, "ocicat-agent")
    assert made_as(composed) == made_as(started)


def made_as(found):
    """What Docker made of it, but for names, times, and what each of the two says in its own way."""
    how = {name: value for name, value in found["HostConfig"].items() if name in COMPARED}
    how["CapAdd"] = sorted(each.removeprefix("CAP_") for each in how["CapAdd"])
    how["Tmpfs"] = sorted(how["Tmpfs"])
    binds = how.pop("Binds")
    return how, sorted(each.removesuffix(":rw") for each in binds), found["Config"]["Cmd"]


COMPARED = (
    *(
        "Binds",
        "CapAdd",
        "CapDrop",
        "NetworkMode",
        "PidMode",
        "Privileged",
        "ReadonlyRootfs",
        "RestartPolicy",
        "SecurityOpt",
    ),
    *("Tmpfs", "UsernsMode"),
)


# --- without Docker, and conflicts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["native", "systemd"])
def test_without_docker_it_is_kept_too_and_two_never_run(host, kind):
    host.mark()
    before = host.rules()
    host.run(f"ocicat node start --with {kind} -- {OPTIONS}")
    found = status(host)
    assert (found["state"], found["kept_by"]) == ("well", kind)
    refused = start(host, check=False)
    assert refused.status == 1
    assert f"kept by {kind} already" in refused.err
    assert "ready: host h1" in host.run("ocicat node logs").out
    host.run(f"kill -9 {found['agent']['pid']}")
    wait_for(lambda: (status(host)["agent"] or found["agent"])["pid"] != found["agent"]["pid"], "another one")
    wrong = host.run(f"ocicat node start --with {kind} -- {OPTIONS} --mtu 1", check=False)
    assert wrong.status == 1
    assert "mtu 1 is not in 576 to 65535" in wrong.err
    assert "the one before it runs again" in wrong.err
    wait_for(lambda: status(host)["state"] == "well", "the agent of before")
    assert "serves" in host.run(f"ocicat node start --with {kind} -- {OPTIONS} --mtu 1400").err
    host.run("ocicat node stop --purge")
    check_left(host, before)


def test_an_agent_that_somebody_else_started_is_left_alone(host):
    own = host.spawn(f"ocicat agent {OPTIONS}", log="/var/log/own.log")
    wait_for(lambda: status(host)["state"] == "well", "the agent")
    pid = status(host)["agent"]["pid"]
    for line in (f"ocicat node start --with docker --image {IMAGE}", "ocicat node stop --purge"):
        refused = host.run(line, check=False)
        assert refused.status == 1
        assert f"process {pid}" in refused.err
    assert containers(host) == []
    host.run(f"kill {pid}")
    own.wait(60)


# --- and back --------------------------------------------------------------------------------------------------------


def test_stopping_leaves_containers_their_network_and_purging_leaves_nothing(host):
    host.mark()
    before = host.rules()
    add_pool(host)
    start(host)
    host.run("ip netns add c1")
    add = "CNI_COMMAND=ADD CNI_CONTAINERID=c1 CNI_IFNAME=eth0 CNI_NETNS=/var/run/netns/c1"
    plugin = host.run(
        f"docker cp --follow-link ocicat-agent:/opt/ocicat/plugins/ocicat /tmp/ && {add} /tmp/ocicat", given=NETWORK
    )
    assert "10.66.0" in plugin.out
    host.run("ocicat node stop")
    assert "10.66.0" in host.rules()  # the container keeps its network
    assert "tables inet ocicat" in host.run("ocicat node stop --purge --dry-run").out
    host.run("ocicat node stop --purge")
    host.run("ip netns delete c1")
    check_left(host, before)
    assert host.run("ocicat node stop").err == "ocicat: there is nothing to stop\n"


def check_left(host, before):
    assert host.rules() == before
    assert containers(host) == []
    assert host.changed(VOLATILE + OURS) == {}
    assert host.run("ls -A /run/ocicat", check=False).out == ""


def test_an_image_that_is_not_to_be_had_is_named(host):
    refused = start(host, image="ocicat:none", check=False)
    assert refused.status == 1
    assert "the engine has no image ocicat:none, and cannot get it" in refused.err
    assert containers(host) == []


def test_only_root_may(host):
    line = f"setpriv --reuid=65534 --clear-groups ocicat node start --with docker --image {IMAGE}"
    refused = host.run(line, check=False)
    assert (refused.status, "only root" in refused.err) == (2, True)
