"""A host with containers, for the benchmarks: the real graph and the real dataplane, in namespaces without names.

They end with the process, whatever happens. What is measured lies between containers of one host: that is where all rules apply and
nothing else is in the way.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from time import perf_counter

from ocicat.calc import Graph
from ocicat.dataplane.api import Applied, Attach, DataplaneConfig, EndpointFailed, EndpointsInForce, Problem, Report
from ocicat.dataplane.apply import Dataplane
from ocicat.errors import Unavailable
from ocicat.model.net import Addr
from ocicat.model.wanted import Batch
from ocicat.netlink import address, link, namespace, route
from ocicat.netlink.address import Address
from ocicat.netlink.inet import DEFAULT_V4, packed
from ocicat.netlink.link import End
from ocicat.netlink.route import Route
from ocicat.netlink.socket import RouteSocket

Update = tuple[str, bytes | None]
WAIT_S = 600.0
_ADDRESS, _NEIGHBOUR = "10.0.0.1", "10.0.0.2"


def path_of(fd: int) -> str:
    """By which another process finds the namespace."""
    return f"/proc/{os.getpid()}/fd/{fd}"


class NotingDataplane(Dataplane):
    """`asked`: when something was last submitted, by `perf_counter`."""

    asked = 0.0

    def submit(self, batch: Batch) -> None:
        self.asked = perf_counter()
        super().submit(batch)


class Plane:
    """A dataplane, and what it has reported."""

    def __init__(self, netns_fd: int) -> None:
        self._revision = 0
        self._applied_at: dict[int, float] = {}
        self._in_force: set[str] = set()
        self._faults: list[Report] = []
        self._heard = threading.Condition()
        self.dataplane = NotingDataplane(DataplaneConfig(host_addresses=(Addr.parse(_ADDRESS),)), self.hear)
        with namespace.inside(netns_fd):
            self.dataplane.start()

    def hear(self, report: Report) -> None:
        """On the dataplane's thread."""
        with self._heard:
            match report:
                case Applied(revision):
                    self._applied_at[revision] = perf_counter()
                case EndpointsInForce(keys):
                    self._in_force.update(keys)
                case EndpointFailed():
                    self._faults.append(report)
                case Problem(_, text) if text:
                    self._faults.append(report)
            self._heard.notify_all()

    def applied(self, revision: int) -> float:
        """Waits until everything up to there is in the kernel; when that was, by `perf_counter`."""
        self._wait(lambda: any(found >= revision for found in self._applied_at), f"revision {revision}")
        return min(at for found, at in self._applied_at.items() if found >= revision)

    def in_force(self, keys: Iterable[str]) -> None:
        self._wait(lambda: self._in_force.issuperset(keys), "the endpoints to be in force")

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        with self._heard:
            done = self._heard.wait_for(lambda: bool(self._faults) or condition(), WAIT_S)
            if not done or self._faults:
                raise Unavailable(f"waited for {what}: {self._faults or f'{WAIT_S:g} s are over'}")


class Host:
    """A namespace with an uplink and a default route, its containers, and the dataplane that serves it until `stop`."""

    def __init__(self) -> None:
        self._fds: list[int] = []
        self.fd = self._namespace()
        self._wire_uplink()
        self.plane = Plane(self.fd)

    def close(self) -> None:
        self.stop()
        for fd in self._fds:
            os.close(fd)

    def stop(self) -> None:
        """The kernel stays as it is."""
        self.plane.dataplane.stop()

    def _namespace(self) -> int:
        self._fds.append(namespace.unnamed())
        return self._fds[-1]

    def _wire_uplink(self) -> None:
        outside = self._namespace()
        with RouteSocket(self.fd) as sock:
            sock.request(link.create_veth(End("up0", up=True), End("out0", netns_fd=outside)))
            sock.request(link.change("lo", up=True))
            sock.request(address.add(Address(sock.get(link.get("up0")).index, packed(_ADDRESS), 24)))
            sock.request(route.add(Route(DEFAULT_V4, gateway=packed(_NEIGHBOUR))))

    def attach(self, key: str, interface: str, text: str) -> str:
        """The path of a new container's namespace."""
        path = path_of(self._namespace())
        request = Attach(key, interface, path, "eth0", (Addr.parse(text),))
        self.plane.dataplane.attach(request).result(WAIT_S)
        return path

    def enforce(self, batch: Batch, revision: int) -> float:
        """Seconds until it is in the kernel."""
        begin = perf_counter()
        self.plane.dataplane.submit(batch)
        return self.plane.applied(revision) - begin


def wanted(host: str, updates: Iterable[Update]) -> Batch:
    """All of it, at revision 1."""
    graph = Graph(host)
    for key, value in updates:
        graph.update(key, value)
    graph.in_sync()
    return graph.flush(1)
