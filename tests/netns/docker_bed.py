"""Hosts with a real agent and a real Docker engine each, on one wire. All of it ends with the process, whatever happens.

A host is a network namespace without a name, and namespaces of mounts and processes that live as long as a process of ours does.
It has a /run of its own, so that every engine finds its plugin, and every agent its engine, where they always are.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path

from beds import connect, waiting

from ocicat.dataplane.ownership import ROUTE_PROTOCOL
from ocicat.model import keys
from ocicat.model.codec import decode_json
from ocicat.model.resources import Block, WorkloadEndpoint
from ocicat.netlink import address, link, namespace, route
from ocicat.netlink.address import Address
from ocicat.netlink.inet import INET, INET6, packed
from ocicat.netlink.link import End
from ocicat.netlink.socket import RouteSocket
from ocicat.store.open import open_store

WAIT_S = 60.0
wait_for = waiting(WAIT_S)
PREFIX = "oct-docker-"
POOL, POOL6 = "10.66.0.0/24", "fd66::/112"
ENGINE = ["dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none", "--ip-forward=false", "--ip-masq=false"]
INIT = "mount -t tmpfs none /run && mkdir -p /run/docker/plugins && echo && exec tini -s -- cat"
IDLE = ("box", "sleep", "600")
COMMANDS = ("sh", "sleep", "ping", "wget", "httpd", "ip", "nc", "cat")


def remove_left_over():
    """Of test runs that were killed: the kernel has ended everything else of them."""
    for left in Path(tempfile.gettempdir()).glob(PREFIX + "*"):
        if not Path("/proc", left.name.split("-")[2]).exists():
            shutil.rmtree(left)
            remove_cgroups(left.name)


def remove_cgroups(name):
    for folder in sorted(Path("/sys/fs/cgroup").glob(f"*/{name}/**/"), reverse=True):
        folder.rmdir()


def image():
    """A root file system with busybox alone, as `docker import` takes it."""
    made = BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        tar.add("/bin/busybox", "bin/busybox")
        for command in COMMANDS:
            link = tarfile.TarInfo(f"bin/{command}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return made.getvalue()


class Host:
    def __init__(self, bed, number):
        self.bed, self.name = bed, f"h{number}"
        self.address, self.address6 = f"10.0.0.{number}", f"fd00::{number}"
        self.directory = bed.directory / self.name
        self.directory.mkdir()
        self.fd = namespace.unnamed()
        self.agent = self.engine = None
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--fork", "--pid", "--kill-child", "--mount-proc"]
        # "slave": what other tests unmount meanwhile is unmounted here too, and no namespace of theirs is kept alive.
        command += ["--mount", "--propagation", "slave", "sh", "-c", INIT]
        self._init = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._init.stdout.readline() == b"\n"
        self.pid = child_of(self._init.pid)
        self.run = Path("/proc", str(self.pid), "root", "run")

    def close(self):
        self._init.communicate()
        for process in (self.agent, self.engine):
            if process:
                process.wait()
        os.close(self.fd)

    def spawn(self, log, *command):
        """A program on this host."""
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--pid", f"--net=/proc/{os.getpid()}/fd/{self.fd}"]
        with (self.directory / log).open("a") as output:
            return subprocess.Popen([*enter, *command], stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    # --- the agent --------------------------------------------------------------------------------------------

    def start_agent(self):
        options = ["--host", self.name, "--address", f"{self.address}/24", "--address6", f"{self.address6}/64"]
        options += ["--store", self.bed.store, "--socket", str(self.directory / "agent.sock")]
        options += ["--flow-log", str(self.directory / "flows.log"), "--docker-plugin"]
        (self.directory / "agent.log").write_text("")
        self.agent = self.spawn("agent.log", sys.executable, "-m", "ocicat", "agent", *options)
        wait_for(self._agent_ready, "the agent")

    def _agent_ready(self):
        assert self.agent.poll() is None, self.log("agent")
        return "ready: host" in self.log("agent")

    def stop_agent(self, number=signal.SIGKILL):
        end(self.agent, number)

    def log(self, program):
        return (self.directory / f"{program}.log").read_text()

    # --- the engine -------------------------------------------------------------------------------------------

    def start_engine(self):
        cgroup = f"/{self.bed.directory.name}"
        options = ["--data-root", str(self.directory / "docker"), "--cgroup-parent", cgroup]
        self.engine = self.spawn("engine.log", *ENGINE, *options)
        wait_for(self._engine_ready, "the engine")

    def _engine_ready(self):
        assert self.engine.poll() is None, self.log("engine")
        return self.docker("version")[0] == 0

    def stop_engine(self, number=signal.SIGKILL):
        end(self.engine, number)

    def docker(self, *arguments, given=None):
        """(exit status, standard output, standard error)."""
        command = ["docker", "-H", f"unix://{self.run}/docker.sock", *arguments]
        found = subprocess.run(command, input=given, capture_output=True, timeout=120, check=False)
        return found.returncode, found.stdout.decode().strip(), found.stderr.decode().strip()

    def do(self, *arguments, **kwargs):
        """The output of a command of Docker's that must succeed."""
        status, output, error = self.docker(*arguments, **kwargs)
        assert status == 0, (arguments, error, self.log("agent"))
        return output

    def refused(self, *arguments):
        """What Docker says of a command that must fail."""
        status, _, error = self.docker(*arguments)
        assert status != 0
        return error

    def run_container(self, name, *options, net="net", said=""):
        """Its address. `said`: an option of its endpoint."""
        network = f"name={net},driver-opt={said}" if said else net
        self.do("run", "--detach", "--stop-signal=KILL", f"--name={name}", f"--network={network}", *options, *IDLE)
        return self.inspect(name, net)["IPAddress"]

    def inspect(self, name, net="net"):
        return json.loads(self.do("inspect", name))[0]["NetworkSettings"]["Networks"][net]

    def inside(self, name, *command):
        """Does the command succeed in the container?"""
        return self.docker("exec", name, *command)[0] == 0

    def pings(self, name, target):
        return self.inside(name, "ping", "-c1", "-W1", target)

    # --- what there is ----------------------------------------------------------------------------------------

    def output(self, *command):
        enter = ["nsenter", f"--net=/proc/{os.getpid()}/fd/{self.fd}"]
        return subprocess.run([*enter, *command], check=False, capture_output=True, text=True).stdout

    def interfaces(self):
        """Of containers, both sides, those that are being deleted included."""
        with RouteSocket(self.fd) as sock:
            return {each.name for each in sock.dump(link.dump()) if each.name.startswith(("oci", "ocp"))}

    def routes(self):
        """Addresses that the host has a route to a container for."""
        with RouteSocket(self.fd) as sock:
            found = [each for family in (INET, INET6) for each in sock.dump(route.dump(family))]
        hosts = [each.dst for each in found if each.protocol == ROUTE_PROTOCOL and each.oif]
        return {str(each).split("/")[0] for each in hosts if each.length == (128 if ":" in str(each) else 32)}


def child_of(pid):
    """The one process that it has started."""
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def end(process, number):
    """The program behind `nsenter`, which passes no signal on."""
    os.kill(child_of(process.pid), number)
    process.wait(WAIT_S)


class Bed:
    def __init__(self, hosts=1):
        remove_left_over()
        self.directory = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
        self.store = f"sqlite://{self.directory}/store.db"
        self.wire = namespace.unnamed()
        self.hosts = []
        try:
            self._build(hosts)
        except BaseException:
            self.close()
            raise

    def _build(self, count):
        with RouteSocket(self.wire) as wire:
            wire.request(link.create_bridge(End("wire", up=True)))
            self.hosts = [Host(self, number) for number in range(1, count + 1)]
            for host in self.hosts:
                self._connect(wire, host)

    @staticmethod
    def _connect(wire, host):
        index = connect(wire, host)
        with RouteSocket(host.fd) as inside:
            inside.request(address.add(Address(index, packed(host.address6), 64, nodad=True)))

    def close(self):
        for host in self.hosts:
            host.close()
        os.close(self.wire)
        shutil.rmtree(self.directory)
        remove_cgroups(self.directory.name)

    def cli(self, *arguments, text=None):
        command = [sys.executable, "-m", "ocicat", *arguments, "--store", self.store]
        subprocess.run(command, check=True, capture_output=True, timeout=60, input=text, text=True)

    def stored(self, prefix):
        async def read():
            store = await open_store(self.store)
            try:
                return (await store.range(prefix)).items
            finally:
                await store.close()

        return asyncio.run(read())

    def endpoints(self):
        return [decode_json(WorkloadEndpoint, item.value) for item in self.stored(keys.WORKLOADS)]

    def endpoint(self, address):
        (found,) = [each for each in self.endpoints() if address in str(each.spec.ip_networks)]
        return found

    def owners(self):
        """Handles that hold addresses, as the blocks themselves say."""
        blocks = [decode_json(Block, item.value) for item in self.stored(keys.BLOCKS)]
        return {attribute.handle_id for block in blocks for attribute in block.attributes} - {None}

    def left(self):
        """What there still is of containers."""
        stored = [item.key for prefix in (keys.WORKLOADS, keys.HANDLES) for item in self.stored(prefix)]
        kernel = [each for host in self.hosts for each in (*host.interfaces(), *host.routes())]
        return [*stored, *self.owners(), *kernel]

    def check_nothing_left(self):
        """Interfaces are deleted in the background."""
        try:
            wait_for(lambda: not self.left(), "nothing to be left")
        except AssertionError as error:
            raise AssertionError(f"left behind: {self.left()}") from error
