"""The network isolator module of Mesos 0.24 to 0.28, played: it runs the plugin just as the module does, and forgets as it does.

One fresh process per call; one JSON object on standard input without a newline, then its end; the first 40960 bytes of standard
output are the reply; the exit status does not count; no time limit of its own. What each version sends is in `Version`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from cni_bed import Bed, wait_for

from ocicat.cni.install import install_netmodules
from ocicat.model import keys

REPLY_LIMIT_BYTES = 40_960
BOUND_S = 60.0
OWNER = "net-modules::"  # how the agent's handles of uids begin
WITH_LABELS = {"0.27": lambda labels: {"labels": labels}, "0.28": lambda labels: labels}


class Failed(Exception):
    """The task fails with this text."""


@dataclass
class Container:
    """A process in a network of its own, as the launcher forks it with CLONE_NEWNET; it lives until it is killed."""

    process: subprocess.Popen

    @classmethod
    def launch(cls):
        process = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo ready; exec sleep 600"], stdout=subprocess.PIPE
        )
        assert process.stdout.readline() == b"ready\n"
        return cls(process)

    @property
    def pid(self):
        return self.process.pid

    @property
    def netns(self):
        return f"/proc/{self.pid}/ns/net"

    def kill(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(BOUND_S)
        self.process.stdout.close()


@dataclass
class Task:
    """What a framework asked for. `static`: addresses; `automatic`: how many more."""

    groups: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    static: tuple[str, ...] = ()
    automatic: int = 1


@dataclass
class Module:
    """`infos` is all its memory: a restart of the Mesos agent makes a new one."""

    plugin: Path
    version: str = "0.28"
    infos: dict[str, list[str]] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)

    def prepare(self, container_id, task):
        """The container's addresses."""
        uid = str(uuid.uuid4())
        addresses = []
        if task.static:
            self.run("reserve", self._common(task) | {"uid": uid, "ipv4_addrs": list(task.static)})
            addresses += task.static
        if task.automatic:
            args = self._common(task) | {"uid": uid, "num_ipv4": task.automatic, "num_ipv6": 0}
            reply = self.run("allocate", args)
            if not reply["ipv4"]:
                raise Failed("No IPv4 addresses received")
            addresses += reply["ipv4"]
        self.infos[container_id] = addresses
        return addresses

    def isolate(self, container_id, pid, task):
        args = self._common(task) | {"container_id": container_id, "pid": pid, "ipv4_addrs": self.infos[container_id]}
        self.run("isolate", args)

    def cleanup(self, container_id):
        """Of a container that it does not know it says only that."""
        if container_id not in self.infos:
            return False
        self.run("release", {"ips": self.infos[container_id]})
        self.run("cleanup", {"hostname": "slave-1", "container_id": container_id})
        return True

    def _common(self, task):
        labels = [{"key": key, "value": value} for key, value in sorted(task.labels.items())]
        found = {"hostname": "slave-1", "netgroups": list(task.groups)}
        if labels and self.version in WITH_LABELS:
            found["labels"] = WITH_LABELS[self.version](labels)
        return {name: value for name, value in found.items() if value != []}

    def run(self, command, args):
        """The plugin's reply, as the module gets it: keys in their order, no blanks."""
        request = json.dumps({"args": args, "command": command}, sort_keys=True, separators=(",", ":"))
        done = subprocess.run(
            [self.plugin], input=request.encode(), stdout=subprocess.PIPE, timeout=BOUND_S, check=False
        )
        reply = done.stdout[:REPLY_LIMIT_BYTES]
        self.calls.append((request, reply.decode()))
        if not reply:
            raise Failed("Got no response from the plugin")
        found = json.loads(reply)
        if found.get("error") is not None:
            raise Failed(found["error"])
        return found


class ModuleBed(Bed):
    """The bed of the CNI plugin with the other plugin beside it."""

    def __init__(self):
        super().__init__()
        self.net_plugin = install_netmodules(self.directory / "mesos", self.socket)
        self.containers = []

    def module(self, version="0.28"):
        return Module(self.net_plugin, version)

    def launch(self):
        self.containers.append(Container.launch())
        return self.containers[-1]

    def run(self, module, task=None, container_id=""):
        """A task from its launch until it runs: (container id, its container, its addresses)."""
        task, container_id = task or Task(), container_id or str(uuid.uuid4())
        addresses = module.prepare(container_id, task)
        container = self.launch()
        module.isolate(container_id, container.pid, task)
        return container_id, container, addresses

    def end(self, module, container_id, container):
        container.kill()
        module.cleanup(container_id)

    def tidy(self):
        for container in self.containers:
            container.kill()
        self.containers.clear()
        super().tidy()
        self._forget_addresses()

    def _forget_addresses(self):
        """After a test that failed: what its containers and uids hold would be in use for the tests that follow."""
        module = self.module()
        for handle in self.owners():
            name = handle.removeprefix(OWNER)
            if name != handle:
                module.run("release", {"uid": name})
        for item in self.stored(keys.WORKLOADS):
            container_id = json.loads(item.value)["spec"]["containerID"]
            module.run("cleanup", {"hostname": "slave-1", "container_id": container_id})

    def close(self):
        for container in self.containers:
            container.kill()
        super().close()


__all__ = ["BOUND_S", "Container", "Failed", "Module", "ModuleBed", "Task", "os", "wait_for"]
