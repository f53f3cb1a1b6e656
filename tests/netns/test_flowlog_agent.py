"""Flow logs of a real agent: switched on and off by the operator, names from the datastore, over a restart."""

import json
import signal
import subprocess
import sys

import pytest
from cni_bed import POOL, Bed, wait_for

pytestmark = pytest.mark.netns


class World(Bed):
    """A host with two containers of one group."""

    def __init__(self):
        super().__init__()
        self.cli("pool", "add", "default", POOL)
        self.start()
        self.one, self.two = self.container(), self.container()
        self.add("c1", self.one)
        self.target = self.add("c2", self.two)["ip4"]["ip"].removesuffix("/32")

    def switch(self, state, **more):
        spec = {"flowLogsLocalReporter": state, "flowLogsFlushInterval": "1s", **more}
        document = {"apiVersion": "projectcalico.org/v3", "kind": "FelixConfiguration", "metadata": {"name": "default"}}
        path = self.directory / "felix.json"
        path.write_text(json.dumps(document | {"spec": spec}))
        self.cli("apply", "-f", str(path))

    def groups(self):
        """The NFLOG groups that somebody reads."""
        command = [
            "nsenter",
            f"--net=/proc/self/fd/{self.host}",
            "cat",
            "/proc/thread-self/net/netfilter/nfnetlink_log",
        ]
        text = subprocess.run(command, check=True, capture_output=True, text=True, pass_fds=[self.host]).stdout
        return [int(line.split()[0]) for line in text.splitlines()]

    def statements(self):
        command = ["nsenter", f"--net=/proc/self/fd/{self.host}", "nft", "list", "table", "inet", "ocicat"]
        text = subprocess.run(command, check=True, capture_output=True, text=True, pass_fds=[self.host]).stdout
        return text.count(" group ")

    def flows(self, *words):
        command = [sys.executable, "-m", "ocicat", "flows", "--file", str(self.flow_log), "-o", "json", *words]
        found = subprocess.run(command, check=False, capture_output=True, text=True)
        return [json.loads(line) for line in found.stdout.splitlines()]


@pytest.fixture(scope="module")
def world():
    made = World()
    yield made
    made.close()


def test_off_nobody_reads_and_no_rule_tells(world):
    assert (world.groups(), world.statements()) == ([], 0)
    assert world.pings(world.one, world.target)
    assert world.flows() == []


def test_on_and_off_while_it_runs(world):
    world.switch("Enabled", flowLogsGoldmaneServer="goldmane:7443")
    wait_for(lambda: world.groups() == [1, 2] and world.statements(), "the reader")
    assert world.pings(world.one, world.target)
    found = wait_for(lambda: len(world.flows("--to", world.target)) == 2 and world.flows(), "the flows")
    assert {one["reporter"] for one in found} == {"src", "dst"}
    for one in found:
        assert (one["source_type"], one["source_namespace"], one["source_name"]) == ("wep", "default", "h1-cni-c1-eth0")
        assert (one["dest_name"], one["host"], one["action"]) == ("h1-cni-c2-eth0", "h1", "allow")
        assert "projectcalico.org/orchestrator=cni" in one["source_labels"]
        assert one["policies"]["enforced"][0]["name"] == "net1"
    assert "flowLogsGoldmaneServer is passed over" in world.log_text()
    world.switch("Disabled")
    wait_for(lambda: world.groups() == [] and not world.statements(), "nobody to read")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_over_a_restart(world, number):
    world.switch("Enabled")
    wait_for(lambda: world.groups() == [1, 2] and world.statements(), "the reader")
    world.log.write("starting over\n")
    world.log.flush()
    world.agent.send_signal(number)
    world.agent.wait(10)
    assert world.groups() == []
    assert world.pings(world.one, world.target)  # with rules that tell nobody
    before = len(world.flows())
    world.start()
    wait_for(lambda: world.groups() == [1, 2], "the reader")
    assert world.pings(world.one, world.target)
    found = wait_for(lambda: len(world.flows()) >= before + 2 and world.flows(), "the flows")
    assert {one["source_name"] for one in found} == {"h1-cni-c1-eth0"}


def test_what_was_seen_is_written_when_the_agent_is_stopped(world):
    world.switch("Enabled", flowLogsFlushInterval="24h")
    wait_for(lambda: world.groups() == [1, 2] and world.statements(), "the reader")
    assert world.inside(world.one, "ping", "-c3", "-i0.2", world.target)
    before = len(world.flows())
    world.agent.send_signal(signal.SIGTERM)
    world.agent.wait(10)
    assert len(world.flows()) == before + 2
