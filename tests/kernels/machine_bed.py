"""A machine of its own, with a kernel of Debian's, and with this machine's files: what needs another kernel, or the whole of one.

    with machine(kernel("6.1")) as vm:
        vm.run("uname -r")

With `systemd=True` its first process is the real systemd; else one that does what it is asked, and no more. Its files are this
machine's, which it can only read (QEMU sees to that), under what it writes, which is in its memory; the checkout is as it was when
the machine began. It has two processors, 3 GiB, and no network.

Promises: it ends with the block, and when this process is killed; it leaves nothing. NoMachine says why there can be none here.
"""

import io
import json
import os
import shutil
import socket
import subprocess
import tarfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from machine_guest import INIT, SERVE, TARGET, UNIT

CHECKOUT = Path(__file__).resolve().parents[2]
PROGRAM = "qemu-system-x86_64"
MEMORY_MIB = 3072
BOOT_S = 60.0
EMULATED = 10.0  # so much slower, where there is no KVM
PATIENCE_S = 90.0
NEEDED_HERE = {PROGRAM: "qemu-system-x86", "busybox": "busybox-static", "depmod": "kmod", "tini": "tini"}
NEEDED = ("virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay")
LEFT_OUT = {".git", ".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", "build", "dist"}


class NoMachine(Exception):
    """There can be none here, and why."""


class MachineDied(AssertionError):
    """It ended, or does not answer; with the last words of its console."""


class CommandFailed(AssertionError):
    """A command in it did not succeed."""


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str


def missing(*, emulated=False):
    """Why there can be none here; "" when there can. Without `emulated` it must be one by KVM."""
    for program, package in NEEDED_HERE.items():
        if not shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"):
            return f"{program} is not installed (Debian: {package})"
    return "" if emulated else without_kvm()


def without_kvm():
    """Why the processor must be emulated; "" when it need not."""
    if Path("/sys/module/kvm_pvm").exists():
        return "this machine's KVM (kvm_pvm) runs no kernels but those made for it, which Debian's are not"
    return "" if os.access("/dev/kvm", os.R_OK | os.W_OK) else "there is no /dev/kvm that can be used"


@contextmanager
def machine(kernel, **options):
    """`Machine`'s options; it has booted."""
    vm = Machine(kernel, **options)
    try:
        vm.boot()
        yield vm
    finally:
        vm.close()


class Machine:
    """Commands run one at a time, as its root user. What it is made of and what its console says is in memory only."""

    def __init__(self, kernel, *, systemd=False, given=None, options=()):
        """`given`: {path: text} of files that it has. `options`: of its kernel, beside ours."""
        self.kernel, self.systemd, self.given, self.options = kernel, systemd, given or {}, options
        self.boot_s = 0.0
        self._slower = EMULATED if without_kvm() else 1.0
        self._process = self._port = self._console = None
        self._rest = b""

    def boot(self):
        if why := missing(emulated=True):
            raise NoMachine(why)
        began = time.monotonic()
        self._port, theirs = socket.socketpair()
        self._console = os.fdopen(os.memfd_create("console"), "r+b")
        with theirs, os.fdopen(os.memfd_create("initrd"), "r+b") as initrd:
            initrd.write(_initrd(self.kernel, self.systemd, self.given))
            initrd.flush()
            files = [each.fileno() for each in (theirs, initrd, self._console)]
            self._process = subprocess.Popen(self._line(*files), stdin=subprocess.DEVNULL, pass_fds=files)
        self._answer(BOOT_S * self._slower, None)
        self.boot_s = time.monotonic() - began

    def _line(self, port, initrd, console):
        words = ["console=ttyS0", "quiet", "panic=-1", "mitigations=off", "systemd.unit=machine.target", *self.options]
        folders = {"root": "/", "modules": self.kernel.modules}
        shares = [
            word
            for name, path in folders.items()
            for word in (
                *("-fsdev", f"local,id={name},path={path},security_model=none,readonly=on,multidevs=remap"),
                *("-device", f"virtio-9p-pci,fsdev={name},mount_tag={name}"),
            )
        ]
        # What a processor says of its flaws cannot always be passed on; of those emulated the plainer is the faster. Of two
        # emulated ones, one was seen to fault (6.12) where the kernel changes its own code while the other runs it.
        slow = ["-accel", "tcg", "-cpu", "Westmere", "-smp", "1"]
        fast = ["-accel", "kvm", "-cpu", "host,-arch-capabilities", "-smp", "2"]
        return [
            *("setpriv", "--pdeathsig", "KILL", PROGRAM),
            *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
            *("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"),
            *("-machine", "q35", *(slow if without_kvm() else fast), "-m", str(MEMORY_MIB), "-nic", "none"),
            *("-kernel", str(self.kernel.image), "-initrd", f"/proc/self/fd/{initrd}", "-append", " ".join(words)),
            *("-serial", f"file:/proc/self/fd/{console}", "-device", "virtio-rng-pci", "-device", "virtio-serial-pci"),
            *("-chardev", f"socket,id=port,fd={port}", "-device", "virtserialport,chardev=port,name=ocicat"),
            *shares,
        ]

    def close(self):
        """As if its power was cut."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._port.close()
            self._process = None
            self._console.close()

    def run(self, command, *, check=True, given="", timeout_s=None, log=None):
        """A command line as typed into its shell (or a list of arguments). CommandFailed with all it said if `check`,
        and if it takes longer than `timeout_s` (none: as long as anything short may take). `log`: an open file, to which it is
        said as it comes."""
        line = ["bash", "-c", command] if isinstance(command, str) else [*map(str, command)]
        limit_s = timeout_s or PATIENCE_S * self._slower
        self._port.settimeout(PATIENCE_S)
        self._port.sendall(json.dumps({"command": line, "given": given, "limit_s": limit_s}).encode() + b"\n")
        done = self._answer(limit_s + PATIENCE_S, log)
        if done.status == "late" or (check and done.status):
            raise CommandFailed(f"{self.kernel.name}: {command}: status {done.status}\n{done.out}{done.err}")
        return done

    def _answer(self, limit_s, log):
        said = {"out": [], "err": []}
        end = time.monotonic() + limit_s
        while True:
            while b"\n" not in self._rest:
                self._port.settimeout(max(0.01, end - time.monotonic()))
                try:
                    more = self._port.recv(1 << 16)
                except OSError as error:
                    raise MachineDied(f"{self.kernel.name}: {error}\n{self.last_words()}") from None
                if not more:
                    raise MachineDied(f"{self.kernel.name}: it ended\n{self.last_words()}")
                self._rest += more
            line, _, self._rest = self._rest.partition(b"\n")
            answer = json.loads(line)
            if "status" in answer:
                return Done(answer["status"], "".join(said["out"]), "".join(said["err"]))
            for name, text in answer.items():
                said[name].append(text)
                if log:
                    log.write(text)
                    log.flush()

    def last_words(self, lines=40):
        """Of its console."""
        said = os.pread(self._console.fileno(), 1 << 20, 0).decode(errors="replace")
        return "\n".join(said.splitlines()[-lines:])

    def write(self, path, text):
        """A file of its own."""
        self.run(["sh", "-c", 'mkdir -p "$(dirname "$0")" && cat > "$0"', path], given=text)


def _initrd(kernel, systemd, given):
    """The first script, busybox, the modules with which files are reached, and the files that it is given."""
    modules = _in_order(kernel.modules, NEEDED)
    words = {"RELEASE": kernel.release, "SYSTEMD": "1" if systemd else ""}
    words["MODULES"] = " ".join(Path(each).name for each in modules)
    settings = "".join(f"{name}='{value}'\n" for name, value in words.items())
    files = {
        "init": f"#!/bin/busybox sh\n{settings}{INIT}".encode(),
        "bin/busybox": Path(shutil.which("busybox")).read_bytes(),
        **{f"modules/{Path(each).name}": (kernel.modules / each).read_bytes() for each in modules},
        "given.tar": _given(given),
    }
    folders = [("bin", 0o40755, b""), ("modules", 0o40755, b"")]
    entries = [*folders, *((name, 0o100755, data) for name, data in files.items()), ("TRAILER!!!", 0, b"")]
    return b"".join(_packed(number, *entry) for number, entry in enumerate(entries, 1))


def _packed(number, name, mode, data):
    """As cpio's "newc" has it: all numbers are text, name and data are filled to four bytes."""
    fields = [number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
    return b"".join(part + bytes(-len(part) % 4) for part in (head, data))


def _in_order(modules, wanted):
    """Paths of these modules below that folder, each after those that it needs; without what is built in."""
    needs = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        path, _, others = line.partition(":")
        needs[Path(path).name.split(".")[0].replace("-", "_")] = [path, *others.split()]
    found = []
    for name in wanted:
        for path in reversed(needs.get(name, [])):
            if path not in found:
                found.append(path)
    return found


def _given(given):
    """The checkout as it is now, and what makes the machine one of its own."""
    files = {
        "/etc/fstab": "",
        "/etc/hostname": "machine\n",
        "/etc/hosts": "127.0.0.1 localhost\n127.0.1.1 machine.cluster.example machine\n",
        "/etc/resolv.conf": "nameserver 127.0.0.1\n",
        "/etc/machine-id": "0123456789abcdef0123456789abcdef\n",
        "/etc/systemd/journald.conf.d/machine.conf": "[Journal]\nStorage=volatile\n",
        "/etc/systemd/system/machine.service": UNIT,
        "/etc/systemd/system/machine.target": TARGET,
        "/etc/machine/serve.py": SERVE,
        **given,
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name.lstrip("/"))
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
        for entry in sorted(CHECKOUT.iterdir()):
            if entry.name not in LEFT_OUT:
                tar.add(entry, arcname=str(entry).lstrip("/"))
    return packed.getvalue()
