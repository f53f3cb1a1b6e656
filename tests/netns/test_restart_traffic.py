"""The agent is stopped, or killed, and started again while its containers talk: no packet is lost, and none slips through."""

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from cni_bed import POOL, WAIT_S, Bed, wait_for

from ocicat.netlink import namespace
from ocicat.store.schema.mark import KEY as SCHEMA

pytestmark = pytest.mark.netns

OPEN, CLOSED = 7000, 7100
EVERY_S = 0.0005
ENOUGH = 200  # datagrams, connections, or pieces of the stream: on each side of the restart
PIECE = bytes(10_000)
BYTES_S = 20_000_000
IPERF3 = OPEN + 5
INTERVAL = re.compile(r"sec +(\S+) \S*Bytes .*bits/sec +(\d+) ")  # what it has sent in that time, and what of it again
STALLED = 10  # of its intervals of 0.1 s, one after another
SO_RCVBUFFORCE, SO_MAX_PACING_RATE = 33, 47  # the socket module does not name them
POLICY = """
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {{name: {name}}}
spec:
  order: {order}
  selector: all()
  types: [Ingress, Egress]
  ingress:
  - {{action: Allow, protocol: TCP, destination: {{ports: ["{ports}"]}}}}
  - {{action: Allow, protocol: UDP, destination: {{ports: ["{ports}"]}}}}
  egress:
  - {{action: Allow}}
"""


class Repeated:
    """Work that a thread does again and again until `stop`, or until it fails. `done`: how often it did."""

    enough = ENOUGH

    def __init__(self, work):
        self.done = 0
        self.failure = None
        self._work = work
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            while not self._stopping.wait(EVERY_S):
                self._work()
                self.done += 1
        except Exception as error:  # it is the test's thread that has to fail
            self.failure = error

    def goes_on(self):
        """Until it was done many times more."""
        aim = self.done + self.enough
        wait_for(lambda: self.failure or self.done >= aim, "traffic")
        assert self.failure is None

    def stop(self):
        self._stopping.set()
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()
        assert self.failure is None


class Numbered(Repeated):
    """Datagrams that bear their numbers, in one direction. Nothing ever answers, so policy sees each as it saw the first."""

    def __init__(self, stack, sender, receiver, to):
        self._to = to
        self._receiver = stack.enter_context(opened(receiver, socket.SOCK_DGRAM, to))
        self._receiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        self._sender = stack.enter_context(opened(sender, socket.SOCK_DGRAM))
        super().__init__(self._send)

    def _send(self):
        self._sender.sendto(struct.pack("!I", self.done), self._to)

    def lost(self):
        """The numbers that did not arrive. After `stop`."""
        missing = set(range(self.done))
        self._receiver.settimeout(0.5)  # the last ones may still be on their way
        while missing:
            try:
                missing.remove(struct.unpack("!I", self._receiver.recv(4))[0])
            except TimeoutError:
                break
        return missing


def stream(stack, client, server, to):
    """One TCP connection that is always busy, at a pace that a busy machine can keep."""
    with opened(server, socket.SOCK_STREAM, to) as listener:
        listener.listen()
        sender = stack.enter_context(opened(client, socket.SOCK_STREAM))
        sender.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, BYTES_S)
        sender.connect(to)
        receiver = stack.enter_context(listener.accept()[0])
    receiver.settimeout(WAIT_S)

    def piece():
        sender.sendall(PIECE)
        left = len(PIECE)
        while left:
            got = len(receiver.recv(left))
            assert got, "the stream has ended"
            left -= got

    return Repeated(piece)


class Iperf3(Repeated):
    """What it tells of each tenth of a second: it never stands still, and sends nothing again."""

    enough = 3

    def __init__(self, stack, client, server, to):
        address, port = to
        serving = stack.enter_context(running(server, "iperf3", "-s", "-1", "-p", str(port), "--forceflush"))
        next(line for line in serving.stdout if "listening" in line)
        command = f"iperf3 -c {address} -p {port} -t 600 -i 0.1 -b {8 * BYTES_S} --forceflush"
        one_processor = "-A", "0,0"  # on two it overtakes itself, and TCP takes for lost what is late
        self._lines = stack.enter_context(running(client, *command.split(), *one_processor)).stdout
        self._still = 0
        super().__init__(self._interval)

    def _interval(self):
        sent, again = next(found.groups() for found in map(INTERVAL.search, self._lines) if found)
        self._still = 0 if float(sent) else self._still + 1
        assert (again, self._still < STALLED) == ("0", True)


@contextmanager
def running(netns, *command):
    """It ends with the test, whatever happens."""
    inside = ["setpriv", "--pdeathsig", "KILL", "nsenter", f"--net=/proc/{os.getpid()}/fd/{netns}", *command]
    with subprocess.Popen(inside, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def connections(stack, client, server, to):
    """A new TCP connection each time, over which a byte goes."""
    listener = stack.enter_context(opened(server, socket.SOCK_STREAM, to))
    listener.listen()

    def connect():
        with opened(client, socket.SOCK_STREAM) as near:
            near.connect(to)
            with listener.accept()[0] as far:
                far.send(b"!")
                assert near.recv(1) == b"!"

    return Repeated(connect)


def opened(netns, kind, bound=None):
    with namespace.inside(netns):
        made = socket.socket(socket.AF_INET, kind)
    made.settimeout(WAIT_S)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if bound:
        made.bind(bound)
    return made


def sent_again(netns):
    """TCP segments of that namespace, those that open a connection included."""
    with namespace.inside(netns):
        lines = Path("/proc/thread-self/net/snmp").read_text().splitlines()
    names, values = (line.split() for line in lines if line.startswith("Tcp:"))
    return int(values[names.index("RetransSegs")])


def container(bed, name):
    """Its namespace and address."""
    netns = bed.namespace()
    found = bed.add(name, f"/proc/{os.getpid()}/fd/{netns}", cniVersion="1.0.0")
    with namespace.inside(netns):  # on a busy machine tail loss probes and timeouts send again where nothing was lost
        Path("/proc/sys/net/ipv4/tcp_early_retrans").write_text("0")
        Path("/proc/sys/net/ipv4/tcp_rto_min_us").write_text("5000000")
    return netns, found["ips"][0]["address"].partition("/")[0]


@contextmanager
def talking(bed):
    """Traffic of every kind is there before, during and after; all that policy allows has arrived, and nothing else."""
    one, _ = container(bed, "c1")
    two, address = container(bed, "c2")
    with ExitStack() as stack:
        numbered = [
            Numbered(stack, sender, two, (address, OPEN + n)) for n, sender in enumerate((one, bed.outside, bed.host))
        ]
        refused = [Numbered(stack, sender, two, (address, CLOSED + n)) for n, sender in enumerate((one, bed.outside))]
        tcp = [make(stack, one, two, (address, OPEN + n)) for n, make in enumerate((stream, connections))]
        everything = (*numbered, *refused, *tcp, Iperf3(stack, one, two, (address, IPERF3)))
        for each in everything:
            each.goes_on()
        yield
        for each in everything:
            each.goes_on()
        for each in everything:
            each.stop()
        assert [each.lost() for each in numbered] == [set(), set(), set()]
        assert [len(each.lost()) for each in refused] == [each.done for each in refused]
    assert (sent_again(one), sent_again(two)) == (0, 0)


def allow(bed, name, order, ports):
    path = bed.directory / "policy.yaml"
    path.write_text(POLICY.format(name=name, order=order, ports=ports))
    bed.cli("apply", "-f", str(path))


def end(bed, number):
    bed.agent.send_signal(number)
    assert bed.agent.wait(WAIT_S) == (0 if number == signal.SIGTERM else -number)


def ruleset(bed):
    with namespace.inside(bed.host):
        rules = subprocess.run(["nft", "list", "table", "inet", "ocicat"], check=True, capture_output=True, text=True)
    return rules.stdout


@pytest.fixture
def bed():
    bed = Bed()
    try:
        bed.cli("pool", "add", "default", POOL)
        allow(bed, "talk", 10, f"{OPEN}:{OPEN + 9}")
        bed.start()
        yield bed
    finally:
        bed.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_lost_and_nothing_slips_through_when_the_agent_is_started_again(bed, number):
    with talking(bed):
        end(bed, number)
        bed.start()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nor_where_policy_has_changed_meanwhile(bed, number):
    with talking(bed):
        end(bed, number)
        allow(bed, "more", 5, "9")
        bed.start()
        wait_for(lambda: "more" in ruleset(bed), "the policy that has changed")


# --- another version --------------------------------------------------------------------------------------------------

ROOT = Path(__file__).parents[2]
BEFORE_SCHEMA = "8622977"  # the last that knew neither a configuration file nor a schema of the datastore
OTHER_CHAINS = "a9b99be"  # where it follows a later version it loses packets itself: there is no way back to it
TWO_STAGES = "1160b6e"  # the last that asked the two policies between two workloads at stages of their own
HERE, THERE = 'hook="forward", priority="filter")', 'hook="forward", priority="filter - 3")'


def of_history(commit, to):
    """The sources of an earlier version."""
    git = ["git", "-C", str(ROOT), "-c", f"safe.directory={ROOT}", "archive", commit, "src"]
    found = subprocess.run(git, capture_output=True, check=False, timeout=60)
    if found.returncode:
        pytest.skip(f"the history of this checkout does not have {commit}: {found.stderr.decode().strip()}")
    subprocess.run(["tar", "-x", "-C", to], input=found.stdout, check=True, timeout=60)
    return to / "src"


def of_a_later_version(to):
    """Ours, with base chains at other places."""
    shutil.copytree(ROOT / "src", to / "src", ignore=shutil.ignore_patterns("__pycache__"))
    path = to / "src/ocicat/dataplane/ruleset/skeleton.py"
    text = path.read_text()
    assert text.count(HERE) == 1
    path.write_text(text.replace(HERE, THERE))
    return to / "src"


def start(bed, sources=None):
    """An agent of this version, or of those sources."""
    if sources is None:
        bed.start()
        return
    asked = [sys.executable, "-c", "import ocicat; print(ocicat.__file__)"]
    environment = os.environ | {"PYTHONPATH": str(sources)}
    found = subprocess.run(asked, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert Path(found.stdout.strip()).is_relative_to(sources)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(sources))
        bed.start()


def replaced(bed, sources, number=signal.SIGTERM):
    """The agent by that of other sources; what the one attached the other detaches."""
    attached = f"of-{bed.agent.pid}"
    container(bed, attached)
    end(bed, number)
    start(bed, sources)
    bed.delete(attached)


def test_an_upgrade_loses_nothing_nor_does_the_way_back(bed, tmp_path):
    earlier = of_history(BEFORE_SCHEMA, tmp_path)
    end(bed, signal.SIGTERM)
    start(bed, earlier)
    with talking(bed):
        replaced(bed, None)
        assert [item.key for item in bed.stored(SCHEMA)] == [SCHEMA]
        replaced(bed, earlier, signal.SIGKILL)
        replaced(bed, None)
    bed.cli("store", "migrate")


@pytest.mark.parametrize("commit", [OTHER_CHAINS, TWO_STAGES])
def test_nor_does_one_from_a_version_with_other_base_chains(bed, tmp_path, commit):
    earlier = of_history(commit, tmp_path)
    end(bed, signal.SIGTERM)
    start(bed, earlier)
    before = ruleset(bed)
    with talking(bed):
        replaced(bed, None)
    assert base_chains(before) != base_chains(ruleset(bed))


def test_nor_does_the_way_back_from_a_version_with_other_base_chains(bed, tmp_path):
    later = of_a_later_version(tmp_path)
    before = base_chains(ruleset(bed))
    with talking(bed):
        replaced(bed, later)
        wait_for(lambda: "filter - 3" in ruleset(bed), "the later version's ruleset")
        replaced(bed, None)
        wait_for(lambda: base_chains(ruleset(bed)) >= before, "ours")
    assert "filter - 3" not in ruleset(bed)


def base_chains(text):
    return set(re.findall(r"type filter hook .*;", text))
