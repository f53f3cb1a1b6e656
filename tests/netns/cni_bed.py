"""A host with a real agent and the real plugin, and containers, in namespaces without names: they end with the process.

The agent is a process of its own that the kernel kills when this one ends.
"""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from beds import send_now, waiting

from ocicat.cni.install import install
from ocicat.dataplane.ownership import ROUTE_PROTOCOL
from ocicat.model import keys
from ocicat.model.codec import decode_json
from ocicat.model.resources import Block
from ocicat.netlink import address, link, namespace, route
from ocicat.netlink.address import Address
from ocicat.netlink.inet import DEFAULT_V4, DEFAULT_V6, INET, INET6, packed
from ocicat.netlink.link import End
from ocicat.netlink.route import Route
from ocicat.netlink.socket import RouteSocket
from ocicat.store.open import open_store

WAIT_S = 60.0
wait_for = waiting(WAIT_S)
HOST, OUTSIDE = "10.0.0.1", "10.0.0.2"
HOST6, OUTSIDE6 = "fd10::1", "fd10::2"
POOL, POOL6 = "10.65.0.0/24", "fd65::/112"
PREFIX = "oct-cni-"


def one_agent(*pools):
    """For a fixture: the bed of all tests of a module, its agent running, with these pools (words of `pool add`)."""
    bed = Bed()
    try:
        for pool in pools:
            bed.cli("pool", "add", *pool)
        bed.start()
        yield bed
    finally:
        bed.close()


def between_tests(bed):
    """For a fixture: that bed for one test, with nothing of the one before and nothing for the one after."""
    yield bed
    try:
        bed.check_nothing_left()
    finally:
        bed.tidy()


def remove_left_over():
    """Directories of test runs that were killed; the kernel has ended everything else of them."""
    for left in Path(tempfile.gettempdir()).glob(PREFIX + "*"):
        if not Path("/proc", left.name.split("-")[2]).exists():
            shutil.rmtree(left)


class Bed:
    def __init__(self):
        remove_left_over()
        self.directory = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
        self.socket = self.directory / "agent.sock"
        self.store = f"sqlite://{self.directory}/store.db"
        self.flow_log = self.directory / "flows.log"
        self.log = (self.directory / "agent.log").open("w")
        self._fds = []
        self.host, self.outside = self.namespace(), self.namespace()
        self._wire()
        self.plugin = install(self.directory / "bin", self.socket)
        self.agent = None
        self._added = []

    def close(self):
        if self.agent:
            self.kill()
        self.log.close()
        for fd in self._fds:
            os.close(fd)
        shutil.rmtree(self.directory)

    def namespace(self):
        self._fds.append(namespace.unnamed())
        return self._fds[-1]

    def container(self):
        """The path of a new network namespace."""
        return f"/proc/{os.getpid()}/fd/{self.namespace()}"

    def _wire(self):
        with RouteSocket(self.host) as host, RouteSocket(self.outside) as outside:
            host.request(link.create_veth(End("up0", up=True), End("out0", netns_fd=self.outside)))
            for sock, name, text, text6 in ((host, "up0", HOST, HOST6), (outside, "out0", OUTSIDE, OUTSIDE6)):
                sock.request(link.change("lo", up=True))
                sock.request(link.change(name, up=True))
                index = sock.get(link.get(name)).index
                sock.request(address.add(Address(index, packed(text), 24)))
                sock.request(address.add(Address(index, packed(text6), 64, nodad=True)))
            outside.request(route.add(Route(DEFAULT_V4, gateway=packed(HOST))))
            outside.request(route.add(Route(DEFAULT_V6, gateway=packed(HOST6))))
            send_now(host, "up0")

    # --- the agent --------------------------------------------------------------------------------------------

    def cli(self, *arguments):
        command = [sys.executable, "-m", "ocicat", *arguments, "--store", self.store]
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    def start(self, *, wait=True):
        enter = f"--net=/proc/{os.getpid()}/fd/{self.host}"
        ocicat = [sys.executable, "-m", "ocicat", "agent", "--host", "h1", "--address", f"{HOST}/24"]
        ocicat += ["--address6", f"{HOST6}/64"]
        options = ["--store", self.store, "--socket", str(self.socket), "--flow-log", str(self.flow_log)]
        command = ["setpriv", "--pdeathsig", "KILL", "nsenter", enter, *ocicat, *options]
        self.agent = subprocess.Popen(command, stderr=self.log)
        if wait:
            wait_for(self._ready, "the agent")

    def _ready(self):
        assert self.agent.poll() is None, self.log_text()
        return self.log_text().rpartition("starting over")[2].count("ready: host") and self.socket.exists()

    def log_text(self):
        return Path(self.log.name).read_text()

    def kill(self):
        self.agent.send_signal(signal.SIGKILL)
        self.agent.wait()
        self.log.write("starting over\n")
        self.log.flush()

    # --- the plugin -------------------------------------------------------------------------------------------

    def spawn(self, command, container, netns, *, interface="eth0", arguments="", document=None, **fields):
        """The plugin, started."""
        self._added += [(container, interface)] if command == "ADD" else []
        environment = {"CNI_COMMAND": command, "CNI_CONTAINERID": container, "CNI_IFNAME": interface}
        environment |= {"CNI_NETNS": netns} if netns else {}
        environment |= {"CNI_ARGS": arguments} if arguments else {}
        stdin = json.dumps({"name": "net1", "type": "ocicat", **fields}) if document is None else document
        process = subprocess.Popen([self.plugin], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        process.stdin.write(stdin.encode())
        process.stdin.close()
        return process

    def call(self, *args, **kwargs):
        """(exit status, decoded output)."""
        with self.spawn(*args, **kwargs) as process:
            output = process.stdout.read()
        return process.returncode, json.loads(output or "null")

    def add(self, container, netns, **kwargs):
        """The result of an ADD that must succeed."""
        status, found = self.call("ADD", container, netns, **kwargs)
        assert status == 0, (found, self.log_text())
        return found

    def refused(self, *args, **kwargs):
        """The error result of a command that must fail."""
        status, found = self.call(*args, **kwargs)
        assert status == 1, found
        return found

    def delete(self, container, netns="", **kwargs):
        assert self.call("DEL", container, netns, **kwargs) == (0, None)

    def at_once(self, calls):
        """What every one of them gives, all running at the same time."""
        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(lambda call: call(), calls))

    # --- what there is ----------------------------------------------------------------------------------------

    def inside(self, netns, *command):
        """Does the command succeed in that namespace?"""
        command = ["nsenter", f"--net={netns}", *command]
        return subprocess.run(command, check=False, capture_output=True, timeout=2 * WAIT_S).returncode == 0

    def output(self, *command):
        """Of a command on the host."""
        enter = ["nsenter", f"--net=/proc/self/fd/{self.host}"]
        return subprocess.run([*enter, *command], check=False, capture_output=True, pass_fds=[self.host]).stdout

    def pings(self, netns, target, within_s=2):
        """An answer to one of the pings, a second apart, that are sent until there is one."""
        return self.inside(netns, "ping", "-c1", f"-w{within_s}", target)

    def interfaces(self):
        """Host sides of containers' interfaces, those that are being deleted included."""
        with RouteSocket(self.host) as host:
            return {each.name for each in host.dump(link.dump()) if each.name.startswith("oci")}

    def routes(self):
        """Addresses that the host has a route to a container for."""
        with RouteSocket(self.host) as host:
            found = [each for family in (INET, INET6) for each in host.dump(route.dump(family))]
        return {
            str(each.dst)
            for each in found
            if each.protocol == ROUTE_PROTOCOL and each.dst.length == 8 * len(each.dst.address) and each.oif
        }

    def ruleset(self):
        """What of containers the ruleset names."""
        command = ["nsenter", f"--net=/proc/self/fd/{self.host}", "nft", "list", "table", "inet", "ocicat"]
        text = subprocess.run(command, check=True, capture_output=True, text=True, pass_fds=[self.host]).stdout
        return set(
            re.findall(r"\boci[0-9a-f]{12}\b|\b10\.6[56]\.\d+\.\d+\b(?![/-])|\bfd65::[0-9a-f:]+\b(?![/-])", text)
        )

    def stored(self, prefix):
        async def read():
            store = await open_store(self.store)
            try:
                return (await store.range(prefix)).items
            finally:
                await store.close()

        return asyncio.run(read())

    def owners(self):
        """Handles that hold addresses, as the blocks themselves say."""
        blocks = [decode_json(Block, item.value) for item in self.stored(keys.BLOCKS)]
        return {attribute.handle_id for block in blocks for attribute in block.attributes} - {None}

    def left(self):
        """What there still is of containers, but for the ruleset: the agent tidies that when it is quiet."""
        stored = [item.key for prefix in (keys.WORKLOADS, keys.HANDLES) for item in self.stored(prefix)]
        return [*stored, *self.owners(), *self.interfaces(), *self.routes()]

    def tidy(self):
        """After a test that failed: so that the next one does not."""
        if self.agent.poll() is not None:
            self.start()
        while self._added:
            self.call("DEL", self._added[0][0], "", interface=self._added.pop(0)[1])

    def check_nothing_left(self):
        """Interfaces are deleted in the background."""
        try:
            wait_for(lambda: not self.left(), "nothing to be left")
        except AssertionError as error:
            raise AssertionError(f"left behind: {self.left()}") from error
