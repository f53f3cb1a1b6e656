"""Hosts for core services: each a network namespace on one wire, with /etc, /run, /var/lib and /var/log of its own.

All of it ends with the process, whatever happens: a host is namespaces of mounts and processes that live as long as one of ours.
"""

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from beds import connect, waiting

from ocicat.netlink import link, namespace
from ocicat.netlink.link import End
from ocicat.netlink.socket import RouteSocket

_log = logging.getLogger(__name__)  # how long each command took: pytest --log-cli-level=INFO
WAIT_S = 90.0
wait_for = waiting(WAIT_S)
PREFIX = "oct-services-"
OWN = ("etc", "var/lib", "var/log", "opt", "var/backups")
INIT = "mount -t tmpfs none /run && for at in {own}; do mount --bind $0/$at /$at || exit 1; done; echo; exec tini -s -- cat"


class Done:
    """A command that ended."""

    def __init__(self, found):
        self.status, self.out, self.err = found.returncode, found.stdout, found.stderr

    def __repr__(self):
        return f"status {self.status}\n{self.out}\n{self.err}"


class Host:
    def __init__(self, bed, number):
        self.name, self.address = f"h{number}", f"10.0.0.{number}"
        self.root = bed.directory / self.name
        for own in OWN:
            (self.root / own).mkdir(parents=True)
        for name in (
            "passwd",
            "group",
            "nsswitch.conf",
            "hosts",
            "ssl",
            "java-17-openjdk",
            "ld.so.cache",
            "alternatives",
            "docker",
        ):
            if Path("/etc", name).exists():
                subprocess.run(["cp", "-a", f"/etc/{name}", self.root / "etc"], check=True)
        self.fd = namespace.unnamed()
        line = ["setpriv", "--pdeathsig", "KILL", "unshare", "--fork", "--pid", "--kill-child", "--mount-proc", "--uts"]
        # "slave": what other tests unmount meanwhile is unmounted here too.
        line += ["--mount", "--propagation", "slave", "sh", "-c", INIT.format(own=" ".join(OWN)), str(self.root)]
        self._init = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._init.stdout.readline() == b"\n"
        (child,) = Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children").read_text().split()
        self.pid = int(child)
        self.run("hostname", self.name)

    def close(self):
        self._init.communicate()
        os.close(self.fd)

    def enter(self):
        return [
            "nsenter",
            f"--target={self.pid}",
            "--mount",
            "--pid",
            "--uts",
            f"--net=/proc/{os.getpid()}/fd/{self.fd}",
        ]

    def run(self, *command):
        found = subprocess.run(
            [*self.enter(), *command], capture_output=True, text=True, timeout=WAIT_S * 2, check=False
        )
        return Done(found)

    def ocicat(self, *arguments):
        began = time.monotonic()
        done = self.run(sys.executable, "-m", "ocicat", *arguments)
        _log.info("%5.1f s  %s: %s", time.monotonic() - began, self.name, " ".join(arguments))
        return done

    def do(self, *arguments):
        """A command of ours that must succeed; what it prints."""
        done = self.ocicat(*arguments)
        assert done.status == 0, (self.name, arguments, done)
        return done

    def refused(self, *arguments):
        """What it says of a command that must fail, in one line."""
        done = self.ocicat(*arguments)
        assert done.status != 0, (arguments, done)
        return " ".join(done.err.split())

    def health(self, *which):
        """What `services health` prints; (is everything well, by service)."""
        done = self.ocicat("services", "health", *which, "-o", "json")
        assert done.out, done
        return done.status == 0, {one["service"]: one for one in json.loads(done.out)}

    def status(self, which):
        return json.loads(self.ocicat("services", "status", which, "-o", "json").out)[0]

    def path(self, name):
        """A file of this host, as it is seen from outside; below one of `OWN`, or /run."""
        return Path("/proc", str(self.pid), "root", name.lstrip("/"))

    def files(self):
        """All that is there, and what is in it."""
        return {
            str(path.relative_to(self.root)): path.read_bytes() if path.is_file() else b""
            for path in self.root.rglob("*")
            if not path.is_symlink()
        }


class Bed:
    def __init__(self, hosts=1):
        remove_left_over()
        self.directory = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
        self.directory.chmod(0o755)  # servers run as users of their own
        self.wire = namespace.unnamed()
        self.hosts = []
        try:
            with RouteSocket(self.wire) as wire:
                wire.request(link.create_bridge(End("wire", up=True)))
                for number in range(1, hosts + 1):
                    self.hosts.append(Host(self, number))
                    connect(wire, self.hosts[-1])
        except BaseException:
            self.close()
            raise

    @property
    def members(self):
        return ",".join(f"{host.name}={host.address}" for host in self.hosts)

    def each(self, action, hosts=None):
        """On all hosts at once; what each gave, in their order."""
        with ThreadPoolExecutor() as pool:
            return list(pool.map(action, hosts or self.hosts))

    def certify(self):
        """An authority on the first host, and a certificate for each, carried there; the directory's name."""
        first = self.hosts[0]
        first.do("pki", "init")

        def issue(host):
            names = ("--address", host.address, "--address", host.name)
            first.do("pki", "issue", host.name, *names, "--out", f"/etc/tls/{host.name}")
            if host is not first:
                (host.root / "etc/tls").mkdir()
                subprocess.run(["mv", first.root / f"etc/tls/{host.name}", host.root / "etc/tls/"], check=True)
            return f"/etc/tls/{host.name}"

        return self.each(issue)

    def close(self):
        for host in self.hosts:
            host.close()
        os.close(self.wire)
        shutil.rmtree(self.directory, ignore_errors=True)


def remove_left_over():
    """Of test runs that were killed: the kernel has ended everything else of them."""
    for left in Path(tempfile.gettempdir()).glob(PREFIX + "*"):
        if not Path("/proc", left.name.split("-")[2]).exists():
            shutil.rmtree(left, ignore_errors=True)
