"""ADD and DEL of our plugin against Debian's ptp with host-local: `python bench/cni.py [--rounds N]`, as root.

Both plugins attach the same kind of containers (network namespaces) to the same host (a namespace as well), started in the same
way, turn by turn in one run: first one after the other, then eight at once. Ours goes through the real agent and an SQLite store
on disk. Times are from the start of the plugin's process to its end, in milliseconds. Absolute figures drift with the machine;
the ratios of the medians are what counts, on a machine that does nothing else. Processor time, which includes the agent's, holds
on a busy one too. Nothing is left behind, also not after an interruption: all of it lives in namespaces
without names, and in one temporary directory.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

from _command import Option, main
from ocicat.cni.install import install
from ocicat.errors import Unavailable
from ocicat.netlink import address, link, namespace, route
from ocicat.netlink.address import Address
from ocicat.netlink.inet import DEFAULT_V4, packed
from ocicat.netlink.link import End
from ocicat.netlink.route import Route
from ocicat.netlink.socket import RouteSocket

PTP = Path("/usr/lib/cni/ptp")
SEQUENTIAL, AT_ONCE, WIDTH = 25, 40, 8  # containers in a round, and how many processes run together
AIMS = {("ADD", 1): 0.5, ("DEL", 1): 1 / 3}
WAIT_S = 20.0

Times = dict[tuple[str, str, int], list[float]]  # (plugin, command, processes at once) -> ms


@dataclass(slots=True)
class Measured:
    times: Times = field(default_factory=lambda: defaultdict(list))
    cpu: dict[str, float] = field(
        default_factory=lambda: defaultdict(float)
    )  # plugin -> sum over rounds of processor ms for one container


@dataclass(slots=True)
class Plugin:
    """One of the two, and how it is called. `document` is the file with its network configuration."""

    name: str
    path: Path
    document: Path

    def start(self, command: str, container: str, netns: str) -> int:
        """The process id."""
        environment = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": container,
            "CNI_NETNS": netns,
            "CNI_IFNAME": "eth0",
            "CNI_PATH": str(PTP.parent),
        }
        files = [
            (os.POSIX_SPAWN_OPEN, 0, str(self.document), os.O_RDONLY, 0),
            (
                os.POSIX_SPAWN_OPEN,
                1,
                str(self.document.with_suffix(".out")),
                os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
                0o600,
            ),
        ]
        return os.posix_spawn(self.path, [str(self.path)], environment, file_actions=files)


def cpu_ms(agent: int) -> float:
    """Of all processes that ended, and of the agent, so far."""
    ended = os.times()
    ticks = sum(map(int, Path(f"/proc/{agent}/stat").read_text().rpartition(")")[2].split()[11:13]))
    return (ended.children_user + ended.children_system + ticks / os.sysconf("SC_CLK_TCK")) * 1000


def measure_round(measured: Measured, plugins: list[Plugin], host: int, agent: int) -> None:
    for width, count in ((1, SEQUENTIAL), (WIDTH, AT_ONCE)):
        for plugin in plugins:
            with containers(count) as paths:
                before = cpu_ms(agent)
                for command in ("ADD", "DEL"):
                    measured.times[plugin.name, command, width] += run(plugin, command, paths, width)
                wait_for(lambda: not veths(host), "the interfaces to be gone")
                measured.cpu[plugin.name] += (cpu_ms(agent) - before) / count


def run(plugin: Plugin, command: str, paths: list[str], width: int) -> list[float]:
    """The time of each, in ms; `width` of them run at a time."""
    waiting = [(f"bench{i}", path) for i, path in enumerate(paths)]
    running: dict[int, float] = {}
    times: list[float] = []
    while waiting or running:
        while waiting and len(running) < width:
            start = time.perf_counter()
            running[plugin.start(command, *waiting.pop())] = start
        pid, status = os.waitpid(-1, 0)
        if pid not in running:
            raise Unavailable("the agent died")
        times.append((time.perf_counter() - running.pop(pid)) * 1000)
        if status != 0:
            raise Unavailable(f"{plugin.name} {command} failed: {plugin.document.with_suffix('.out').read_text()}")
    return times


@contextmanager
def containers(count: int) -> Iterator[list[str]]:
    fds = [namespace.unnamed() for _ in range(count)]
    try:
        yield [f"/proc/{os.getpid()}/fd/{fd}" for fd in fds]
    finally:
        for fd in fds:
            os.close(fd)


def veths(host: int) -> list[str]:
    """Host sides of containers' interfaces."""
    with RouteSocket(host) as sock:
        return [each.name for each in sock.dump(link.dump()) if each.name not in ("lo", "up0")]


def wait_for(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > end:
            raise Unavailable(f"waited {WAIT_S:g} s for {what}")
        time.sleep(0.01)


def make_host(stack: ExitStack) -> int:
    """A namespace with an uplink and a default route."""
    host, outside = namespace.unnamed(), namespace.unnamed()
    stack.callback(os.close, host)
    stack.callback(os.close, outside)
    with RouteSocket(host) as sock, RouteSocket(outside) as far:
        sock.request(link.create_veth(End("up0", up=True), End("out0", netns_fd=outside)))
        far.request(link.change("out0", up=True))
        sock.request(link.change("lo", up=True))
        sock.request(address.add(Address(sock.get(link.get("up0")).index, packed("10.0.0.1"), 24)))
        sock.request(route.add(Route(DEFAULT_V4, gateway=packed("10.0.0.2"))))
    return host


def start_agent(stack: ExitStack, host: int, directory: Path) -> tuple[int, Path]:
    """Its process id and its socket, served. The kernel ends it when this process ends."""
    store, socket = f"sqlite://{directory}/store.db", directory / "agent.sock"
    ocicat = [sys.executable, "-m", "ocicat"]
    subprocess.run([*ocicat, "pool", "add", "bench", "10.65.0.0/16", "--store", store], check=True, capture_output=True)
    enter = ["setpriv", "--pdeathsig", "KILL", "nsenter", f"--net=/proc/{os.getpid()}/fd/{host}"]
    options = ["--host", "bench", "--address", "10.0.0.1/24", "--store", store, "--socket", str(socket)]
    log = stack.enter_context((directory / "agent.log").open("w"))
    agent = subprocess.Popen([*enter, *ocicat, "agent", *options], stderr=log)
    stack.callback(agent.wait)
    stack.callback(agent.terminate)
    wait_for(lambda: socket.exists() or agent.poll() is not None, "the agent")
    if agent.poll() is not None:
        raise Unavailable(f"the agent did not start: {Path(log.name).read_text()}")
    return agent.pid, socket


def make_plugins(directory: Path, socket: Path) -> list[Plugin]:
    ipam = {"type": "host-local", "subnet": "10.66.0.0/16", "dataDir": str(directory / "host-local")}
    configurations: dict[str, dict[str, object]] = {
        "ocicat": {"cniVersion": "0.4.0", "name": "bench", "type": "ocicat"},
        "ptp": {"cniVersion": "0.4.0", "name": "bench", "type": "ptp", "ipam": ipam},
    }
    for name, configuration in configurations.items():
        (directory / f"{name}.json").write_text(json.dumps(configuration))
    ours = install(directory / "bin", socket)
    return [Plugin("ocicat", ours, directory / "ocicat.json"), Plugin("ptp", PTP, directory / "ptp.json")]


def report(measured: Measured, rounds: int) -> None:
    times, cpu = measured.times, measured.cpu
    print(f"{'':18}{'ocicat p50':>12}{'p99':>8}{'ptp p50':>12}{'p99':>8}{'ratio':>8}  (ms)")
    for width in (1, WIDTH):
        for command in ("ADD", "DEL"):
            ours, theirs = (times[name, command, width] for name in ("ocicat", "ptp"))
            ratio = median(ours) / median(theirs)
            aim = AIMS.get((command, width))
            verdict = "" if aim is None else f"  aim {aim:.2f}: {'met' if ratio <= aim else 'MISSED'}"
            what = f"{command}, {'one by one' if width == 1 else f'{width} at once'}"
            print(
                f"{what:18}{median(ours):12.2f}{quantiles(ours, n=100)[98]:8.2f}"
                f"{median(theirs):12.2f}{quantiles(theirs, n=100)[98]:8.2f}{ratio:8.2f}{verdict}"
            )
    ours_ms, theirs_ms = (cpu[name] / rounds / 2 for name in ("ocicat", "ptp"))
    print(f"{'processor time':18}{ours_ms:12.2f}{'':8}{theirs_ms:12.2f}{'':8}{ours_ms / theirs_ms:8.2f}  ADD and DEL")


def measure(rounds: int) -> Measured:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="oct-bench-")))
        host = make_host(stack)
        agent, socket = start_agent(stack, host, directory)
        plugins = make_plugins(directory, socket)
        with namespace.inside(host):  # ptp works in the namespace that it is started in
            measure_round(Measured(), plugins, host, agent)  # to warm up
            measured = Measured()
            for _ in range(rounds):
                gc.collect()
                measure_round(measured, plugins, host, agent)
                plugins.reverse()
        return measured


def bench(arguments: argparse.Namespace) -> None:
    measured = measure(arguments.rounds)
    print(f"{arguments.rounds} rounds of {SEQUENTIAL} containers one by one and {AT_ONCE} by {WIDTH} at once")
    report(measured, arguments.rounds)


if __name__ == "__main__":
    sys.exit(main(__doc__, bench, {"rounds": Option(6)}, programs={PTP: "containernetworking-plugins"}))
