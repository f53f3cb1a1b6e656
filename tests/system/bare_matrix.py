"""The demo's ten tasks on a cluster of bare hosts: who reaches whom, measured and compared; then that nothing of them is left.

A program, run in the network of one of the hosts and the file system of the machine: `bare_matrix.py MASTER STORE NAME=PID...`
prints both matrices, and exits with 1 when anything is not as it must be.
"""

import asyncio
import sys
from pathlib import Path

from ocicat.errors import OcicatError
from ocicat.lab import demo
from ocicat.lab.progress import Progress

# Where Mesos keeps the network namespaces of containers since `ocicat mesos install` made it keep them over a reboot. The library
# puts `agents/0/work` between; Mesos's own program does not.
MESOS_DIRECTORY = "/var/lib/mesos/agent/agents/0/work"


class Host:
    """What the demo asks of a host of the lab; of this one, everything is found through its first process."""

    def __init__(self, name, pid):
        self.name, self.namespace = name, Path(f"/proc/{pid}/ns/net")
        self.runtime_dir = f"/proc/{pid}/root{MESOS_DIRECTORY}"


class Cluster:
    """The same of a lab."""

    network = "ocicat"

    def __init__(self, master, store, hosts):
        self.master, self.store, self.hosts = master, store, hosts

    def namespace(self, name):
        return self._host(name).namespace

    def enter(self, name):
        return ["nsenter", f"--net={self._host(name).namespace}", "--"]

    def _host(self, name):
        return next(host for host in self.hosts if host.name == name)


def main(master, store, *hosts):
    cluster = Cluster(master, store, [Host(*text.split("=")) for text in hosts])
    asyncio.run(demo._run(cluster, keep=False, talk=Progress()))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except OcicatError as error:
        print(f"FAILED: {error}")
        sys.exit(1)
