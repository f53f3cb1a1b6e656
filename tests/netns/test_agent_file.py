"""The real agent, told by a file alone: it starts, takes over what changes in it, and keeps to what is right when it is wrong."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cni_bed import HOST, OUTSIDE, POOL, Bed, wait_for

from ocicat.store.base import Put
from ocicat.store.open import open_store
from ocicat.store.schema.mark import KEY, Version, written
from ocicat.store.schema.steps import CURRENT

pytestmark = pytest.mark.netns

FILE = """
[host]
name = "h1"
address = "{address}/24"
[store]
url = "{store}"
[agent]
socket = "{socket}"
{agent}
[mesos]
agent = "off"
[flows]
log = "{flow_log}"
[log]
level = "{level}"
[felix]
vxlanPort = {port}
"""
OF_ALL = """
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: default}
spec: {vxlanPort: 4790, allowIPIPPacketsFromWorkloads: true}
"""

LONG_S = 2.0  # ten times what the one reads back in, and a small part of the other


class Told(Bed):
    """A bed whose agent has no options."""

    variables = {}

    def write(self, *, port=4791, agent="", level="info"):
        facts = {"address": HOST, "store": self.store, "socket": self.socket, "flow_log": self.flow_log}
        (self.directory / "ocicat.toml").write_text(FILE.format(port=port, agent=agent, level=level, **facts))

    def start(self, *, wait=True):
        enter = f"--net=/proc/{os.getpid()}/fd/{self.host}"
        environment = os.environ | {"OCICAT_CONFIG": str(self.directory / "ocicat.toml")} | self.variables
        command = ["setpriv", "--pdeathsig", "KILL", "nsenter", enter, sys.executable, "-m", "ocicat", "agent"]
        self.agent = subprocess.Popen(command, stderr=self.log, env=environment)
        if wait:
            wait_for(self._ready, "the agent")

    def tell(self, expected):
        """The agent reads its file again, and its log says so."""
        before = len(self.log_text())
        self.agent.send_signal(signal.SIGHUP)
        return wait_for(lambda: expected in self.log_text()[before:] and self.log_text()[before:], expected)

    def put(self, key, value):
        """As another program would."""

        async def write():
            store = await open_store(self.store)
            await store.commit([], [Put(key, value)])
            await store.close()

        asyncio.run(write())

    def of_children(self):
        """The page faults (proc(5): cminflt) of programs that the agent has run: more, as soon as one has ended."""
        stat = Path(f"/proc/{self.agent.pid}/stat").read_text()
        return int(stat.rpartition(")")[2].split()[8])

    def vxlan_ports(self):
        """Towards which workloads may send nothing."""
        rules = self.output("nft", "list", "table", "inet", "ocicat").decode()
        return set(re.findall(r"udp dport (\d+) .*drop", rules))


@pytest.fixture
def bed():
    made = Told()
    try:
        made.cli("pool", "add", "default", POOL)
        (made.directory / "felix.yaml").write_text(OF_ALL)
        made.cli("apply", "-f", str(made.directory / "felix.yaml"))
        yield made
    finally:
        made.close()


def test_an_agent_without_options_is_as_its_file_says_and_follows_it(bed):
    bed.write(port=4791)
    bed.start()
    assert bed.agent.args[-1] == "agent"
    bed.add("c1", bed.container(), cniVersion="1.0.0")
    wait_for(lambda: bed.vxlan_ports() == {"4791"}, "the file's port, not the datastore's")

    bed.write(port=4792, agent="mtu = 1400", level="debug")
    said = bed.tell("the settings were read again")
    assert f"agent.mtu is 0 until the agent is started again; {bed.directory}/ocicat.toml:9: 1400" in said
    wait_for(lambda: bed.vxlan_ports() == {"4792"}, "the new port")

    bed.write(port=70000)
    said = bed.tell("what is in force stays")
    assert f"{bed.directory}/ocicat.toml:17: felix.vxlanPort: must be between 1 and 65535" in said
    assert bed.vxlan_ports() == {"4792"}

    (bed.directory / "ocicat.toml").write_text("[host")
    assert "is no TOML" in bed.tell("what is in force stays")
    assert bed.agent.poll() is None

    bed.write(port=4789)
    text = (bed.directory / "ocicat.toml").read_text()
    (bed.directory / "ocicat.toml").write_text(text.replace("vxlanPort = 4789", "vxlanPortt = 1"))
    assert "felix.vxlanPortt: is no setting (did you mean felix.vxlanPort?)" in bed.tell("the settings were read again")
    wait_for(lambda: bed.vxlan_ports() == {"4790"}, "the datastore's port, where the file says none")
    bed.delete("c1")


def test_the_environment_goes_before_the_file_and_what_runs_can_be_looked_at(bed):
    bed.variables = {"FELIX_VXLANPORT": "4793"}
    bed.write(port=4791)
    bed.start()
    bed.add("c1", bed.container(), cniVersion="1.0.0")
    wait_for(lambda: bed.vxlan_ports() == {"4793"}, "the variable's port")
    command = [sys.executable, "-m", "ocicat", "config", "show", "-o", "wide"]
    environment = os.environ | {"OCICAT_SOCKET": str(bed.socket)}
    shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, env=environment)
    assert f"the agent runs (process {bed.agent.pid})" in shown.stderr
    rows = {line.split()[0]: line for line in shown.stdout.splitlines()}
    assert re.match(r"felix.vxlanPort +4793 +FELIX_VXLANPORT +live ", rows["felix.vxlanPort"])
    assert "4790 (FelixConfiguration default)" in rows["felix.vxlanPort"]
    assert re.match(r"host.name +h1 +\S+ocicat.toml:3 +restart ", rows["host.name"])
    assert re.match(
        r"felix.allowIPIPPacketsFromWorkloads +true +FelixConfiguration default +live ",
        rows["felix.allowIPIPPacketsFromWorkloads"],
    )
    bed.delete("c1")


@pytest.mark.parametrize(("interval", "back"), [("0.2", True), ("90.0", False)])
def test_the_kernel_is_read_back_as_often_as_the_file_says(bed, interval, back):
    """Who reads back runs `nft`; an ADD or DEL of a container whose profiles are known does not."""
    bed.write(agent=f"resync_interval_s = {interval}\nmtu = 1400")
    bed.start()
    bed.add("c1", bed.container(), cniVersion="1.0.0")
    (interface,) = bed.interfaces()
    if back:
        for _ in range(3):
            before = bed.of_children()
            wait_for(lambda was=before: bed.of_children() > was, "the kernel to be read back")
    else:
        wait_for(lambda: rests(bed), "an agent that runs nothing")
    assert "mtu 1400" in bed.output("ip", "link", "show", interface).decode()
    bed.delete("c1")


def rests(bed):
    """Does the agent run no program while containers come and go? Soon after it has begun it may still tidy up."""
    before, end = bed.of_children(), time.monotonic() + LONG_S
    while time.monotonic() < end:
        bed.add("c2", bed.container(), cniVersion="1.0.0")
        bed.delete("c2")
    return bed.of_children() == before


def test_an_agent_that_comes_back_knows_from_the_datastore_where_its_workloads_are(bed):
    bed.write()
    bed.start()
    bed.add("c1", bed.container(), cniVersion="1.0.0")
    (interface,) = bed.interfaces()
    entries = ("ip", "neigh", "show", "dev", interface, "nud", "permanent")
    before = bed.output(*entries)
    address, mac = re.fullmatch(r"(\S+) lladdr (\S+) PERMANENT *\n", before.decode()).groups()
    bed.kill()
    wrong = mac[:-2] + ("00" if mac[-2:] != "00" else "01")
    bed.output("ip", "neigh", "replace", address, "lladdr", wrong, "dev", interface, "nud", "permanent")
    bed.start()
    wait_for(lambda: bed.output(*entries) == before, "the right MAC")
    bed.output("ip", "neigh", "flush", "dev", interface, "nud", "permanent")
    wait_for(lambda: bed.output(*entries) == before, "the entry to come back")
    bed.delete("c1")


def test_a_file_that_says_too_little_or_something_wrong_starts_no_agent(bed):
    (bed.directory / "ocicat.toml").write_text('[host]\nname = "h1"\n[log]\nlevel = "loud"\n')
    bed.start(wait=False)
    assert bed.agent.wait(20) == 78
    assert f"{bed.directory}/ocicat.toml:4: log.level: 'loud' is not one of" in bed.log_text()
    bed.agent = None


def test_an_agent_whose_datastore_becomes_another_ends_and_its_containers_keep_what_they_have(bed):
    bed.write()
    bed.start()
    container = bed.container()
    bed.add("c1", container, cniVersion="1.0.0")
    assert bed.pings(container, OUTSIDE, 30)
    newer = Version(CURRENT.major + 1, 0)
    bed.put(KEY, written(newer))
    assert bed.agent.wait(20) == 1
    assert f"the datastore has schema {newer}" in bed.log_text()
    bed.start(wait=False)
    assert bed.agent.wait(20) == 1
    assert bed.pings(container, OUTSIDE, 30)
    bed.put(KEY, written(CURRENT))
    bed.log.write("starting over\n")
    bed.log.flush()
    bed.start()
    bed.delete("c1")
