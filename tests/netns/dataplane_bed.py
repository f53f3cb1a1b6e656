"""A host, a neighbour on its uplink, and containers, in namespaces without names: they end with the process, whatever happens."""

import os
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

from beds import send_now

from ocicat.dataplane.api import Attach, DataplaneConfig, Detach, EndpointFailed, EndpointsInForce, Problem
from ocicat.dataplane.apply import Dataplane
from ocicat.model.net import Addr, Cidr
from ocicat.model.wanted import AddressSet, Endpoint, InSync, LocalBlock, Match, ProfileRules, Revision, WantedRule
from ocicat.netlink import address, link, namespace, nftset, route
from ocicat.netlink.address import Address
from ocicat.netlink.inet import DEFAULT_V4, DEFAULT_V6, packed
from ocicat.netlink.link import End
from ocicat.netlink.route import Route
from ocicat.netlink.socket import NetfilterSocket, RouteSocket
from ocicat.netlink.wire import Query, Request, attributes, be

WAIT_S = 30.0
BLOCKED_S = 0.25
HOST, OUTSIDE = "10.0.0.1", "10.0.0.2"
HOST6, OUTSIDE6 = "fd00::1", "fd00::2"
ALLOW, DENY = WantedRule("Allow"), WantedRule("Deny")


def addr(text):
    return Addr.parse(text)


def members(name, *addresses):
    return AddressSet(f"s:{name}", frozenset(map(addr, addresses)))


def from_set(name, action="Allow"):
    return WantedRule(action, source=Match(sets=(f"s:{name}",)))


def profile(name, ingress=(), egress=(ALLOW,)):
    return ProfileRules(name, tuple(ingress), tuple(egress))


class Bed:
    """Containers are called "a", "b", ...; their endpoints "/a", "/b", ... on interfaces "ocia", "ocib", ..."""

    def __init__(self):
        self._fds = []
        self.reports = []
        self._heard = threading.Condition()
        self._planes = []
        self.host = self.namespace()
        self.outside = self.namespace()
        self.containers = {}
        self._wire()

    def namespace(self):
        self._fds.append(namespace.unnamed())
        return self._fds[-1]

    def close(self):
        for plane in self._planes:
            plane.stop()
        for fd in self._fds:
            os.close(fd)

    def _wire(self):
        """Uplink "up0" of the host to "out0" of the neighbour, which sends everything to the host."""
        with RouteSocket(self.host) as host, RouteSocket(self.outside) as outside:
            host.request(link.create_veth(End("up0", up=True), End("out0", netns_fd=self.outside)))
            for sock, name, four, six in ((host, "up0", HOST, HOST6), (outside, "out0", OUTSIDE, OUTSIDE6)):
                sock.request(link.change("lo", up=True))
                sock.request(link.change(name, up=True))
                index = sock.get(link.get(name)).index
                sock.request(address.add(Address(index, packed(four), 24)))
                sock.request(address.add(Address(index, packed(six), 64, nodad=True)))
            outside.request(route.add(Route(DEFAULT_V4, gateway=packed(HOST))))
            outside.request(route.add(Route(DEFAULT_V6, gateway=packed(HOST6))))
            send_now(host, "up0")

    def plane(self, **settings):
        """A running dataplane in the host's namespace."""
        plane = Dataplane(DataplaneConfig(**{"host_addresses": (addr(HOST),), **settings}), self._hear)
        with namespace.inside(self.host):
            plane.start()
        self._planes.append(plane)
        return plane

    def _hear(self, report):
        with self._heard:
            self.reports.append(report)
            self._heard.notify_all()

    def wait(self, wanted):
        """Until one of the reports is as wanted; that one."""
        with self._heard:
            assert self._heard.wait_for(lambda: any(map(wanted, self.reports)), WAIT_S), self.reports
            return next(filter(wanted, self.reports))

    def wait_in_force(self, revision, *names):
        """Until these endpoints were all reported in force at that revision or later."""

        def complete():
            told = [r for r in self.reports if isinstance(r, EndpointsInForce) and r.revision >= revision]
            return {f"/{name}" for name in names} <= {key for r in told for key in r.keys}

        with self._heard:
            assert self._heard.wait_for(complete, WAIT_S), self.reports

    def problem(self, name):
        return self.wait(lambda r: isinstance(r, Problem) and r.object == name and r.text).text

    def failure(self, name):
        return self.wait(lambda r: isinstance(r, EndpointFailed) and r.key == f"/{name}").text

    def request(self, name, *addresses, **more):
        if name not in self.containers:
            self.containers[name] = self.namespace()
        path = f"/proc/{os.getpid()}/fd/{self.containers[name]}"
        return Attach(f"/{name}", f"oci{name}", path, "eth0", tuple(map(addr, addresses)), **more)

    def attach(self, plane, name, *addresses, **more):
        return plane.attach(self.request(name, *addresses, **more)).result(WAIT_S)

    def detach(self, plane, name):
        plane.detach(Detach(f"/{name}", f"oci{name}")).result(WAIT_S)

    def nft(self, *arguments, text=None):
        return self.run(self.host, "nft", *arguments, text=text)

    def ip(self, *arguments):
        return self.run(self.host, "ip", *arguments)

    @staticmethod
    def run(fd, *command, text=None):
        inside = ["nsenter", f"--net=/proc/{os.getpid()}/fd/{fd}", *command]
        return subprocess.run(inside, input=text, capture_output=True, text=True, check=True).stdout

    def generation(self):
        """The kernel's count of nftables transactions in the host's namespace."""
        get = Request(10 << 8 | 16, 0, nftset.NFGENMSG.pack(0, 0, 0), "get", "generation")
        with NetfilterSocket(self.host) as sock:
            return sock.get(Query(get, lambda body: be(attributes(body, nftset.NFGENMSG.size), 1)))

    def interfaces(self):
        with RouteSocket(self.host) as sock:
            return {each.name for each in sock.dump(link.dump())}


def endpoint(name, *addresses, profiles=("p",), **more):
    return Endpoint(f"/{name}", f"oci{name}", tuple(map(addr, addresses)), tuple(profiles), **more)


def reaches(fd, target, port=80, *, source=None, source_port=0, within_s=BLOCKED_S):
    """Does TCP get an answer? A refusal is one: then nobody listens there, but the packet went both ways."""
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    with namespace.inside(fd):
        sock = socket.socket(family, socket.SOCK_STREAM)
    with sock:
        sock.settimeout(within_s)
        if source or source_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((source or "", source_port))
        try:
            sock.connect((target, port))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
        return True


def hears(fd, target, port):
    """Does UDP get an answer? A refusal is one, as above; the kernel sends six of them at once and then one a second."""
    with namespace.inside(fd):
        sock = socket.socket(socket.AF_INET6 if ":" in target else socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        sock.settimeout(BLOCKED_S)
        sock.connect((target, port))
        try:
            sock.send(b"?")
            sock.recv(1)
        except ConnectionRefusedError:
            return True
        except (TimeoutError, PermissionError):
            return False
        return True


def pings(fd, target):
    command = [
        "nsenter",
        f"--net=/proc/{os.getpid()}/fd/{fd}",
        "ping",
        "-n",
        "-q",
        "-c",
        "1",
        "-W",
        str(BLOCKED_S),
        target,
    ]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def wait_until(condition):
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def flood(fd, target, count=2000):
    """A ping flood meanwhile; `.lost` afterwards: how many of `count` had no answer."""
    result = SimpleNamespace(lost=None)
    command = [
        "nsenter",
        f"--net=/proc/{os.getpid()}/fd/{fd}",
        "ping",
        "-q",
        "-n",
        "-c",
        str(count),
        "-i",
        "0.001",
        target,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as ping:
        yield result
        output, _ = ping.communicate(timeout=2 * WAIT_S)
    counted = output.split(" ping statistics ---\n")[1].splitlines()[0]  # below, times and "pipe 3"
    sent, received = (int(word) for word in counted.split() if word.isdigit())
    assert sent == count
    result.lost = sent - received


BLOCK = LocalBlock(Cidr.parse("10.65.0.0/26"))


def batch(revision, *messages):
    return (*messages, BLOCK, InSync(), Revision(revision))
