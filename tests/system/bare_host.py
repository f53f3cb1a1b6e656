"""Bare hosts: each with a file system, processes, mounts, names, control groups and a network of its own, on one wire.

    with bare_hosts("h1", "h2", "h3", systemd=True) as bed:
        bed["h1"].run("systemctl is-system-running")

A host's root is an overlay over this machine's `/` (or over another root, `root=`), so what is written on it lies in its upper
directory and nowhere else, and `changed` lists it. With `systemd=True` its first process is the real systemd; else one that waits.

Promises: everything is gone when the block is left, and also when this process is killed: a keeper, which hears of that by the end
of a pipe, ends the hosts and removes their control groups; the kernel does the rest, for all mounts lie in its mount namespace.
Must not: mount or write anything outside that, or touch the machine's network, settings, names or units.
"""

import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import bare_host_kernel
from bare_host_boot import FIRST_PROCESS, HIDDEN, JOIN, KEEPER, MASKED
from bare_host_files import Files

CHECKOUT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("OCICAT_CACHE") or "/var/cache/ocicat")  # of the Mesos library
FIRST = 11  # the last byte of the first host's address
PATIENCE_S = 90.0
HOME = "/root"
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": HOME,
    "LANG": "C.UTF-8",
}
# Of no interest to anybody who asks what a command has changed: what running programs write down of themselves.
VOLATILE = ("/var/log", "/var/lib/systemd", "/var/cache/ldconfig", "/etc/.pwd.lock", f"{HOME}/.cache")


class CommandFailed(AssertionError):
    """A command on a host did not succeed."""


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str


@contextmanager
def bare_hosts(*names, **options):
    """`Bed`'s options; the hosts are up."""
    bed = Bed(names, **options)
    try:
        bed.up()
        yield bed
    finally:
        bed.close()


class Bed:
    """`root`: what the hosts' file systems are laid over. `known`: /etc/hosts of each names all. `volumes`: directories that are
    file systems of their own there (an engine's data cannot lie on an overlay), whose contents do not count as changed. `shared`:
    directories that all of the hosts have in common, as only hosts with one kernel can. `given(host)`: {path: text} of what was
    installed on it before, or a Path of this machine's to copy (below /usr, not /lib or /sbin, which are links); what begins with
    #! may be executed."""

    def __init__(
        self,
        names,
        *,
        root="/",
        systemd=False,
        known=True,
        binds=(),
        volumes=(),
        shared=(),
        ocicat=True,
        given=None,
        subnet="172.31.9",
        domain="cluster.example",
    ):
        self.root, self.systemd, self.known, self.ocicat = Path(root), systemd, known, ocicat
        self.subnet, self.domain = subnet, domain
        self.shared, self.given = shared, given or (lambda _host: {})
        self.binds = [str(CHECKOUT), *([str(CACHE)] if CACHE.exists() else []), *map(str, binds)]
        self.volumes = volumes
        self.group = f"ocicat-bare-{os.getpid()}-{time.monotonic_ns() % 10**9}"
        self.base = mount_point(*self.binds)
        self.hosts = {name: Host(self, name, f"{subnet}.{FIRST + i}") for i, name in enumerate(names)}
        self._keeper = None

    def __getitem__(self, name):
        return self.hosts[name]

    def __iter__(self):
        return iter(self.hosts.values())

    def up(self):
        variables = {"PATH": os.environ["PATH"], "BASE": self.base, "GATEWAY": f"{self.subnet}.1"}
        if self.ocicat:  # the checkout is read-only there: each command would compile what it needs anew
            subprocess.run([sys.executable, "-m", "compileall", "-q", str(CHECKOUT / "src/ocicat")], check=True)
        command = ["unshare", "--mount", "--net", "--propagation", "slave", "bash", "-c", KEEPER]
        self._keeper = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=variables, start_new_session=True
        )
        assert self._keeper.stdout.readline() == b"ready\n", "the keeper did not start"
        for host in self:
            host.prepare()
        for host in self:
            host.begin()
        for host in self:
            host.finish()

    def close(self):
        if self._keeper is not None:
            for host in self:
                host.close()
            self._keeper.communicate()
            self._keeper = None

    @property
    def keeper(self):
        return self._keeper.pid

    def shared_path(self, path):
        """Of a directory or file that all hosts have in common, where the keeper has it: a path without a link in it."""
        return f"{self.base}/shared{path}"

    def beside(self, host, *command):
        """The command line that runs this one in the host's network, this machine's files and processes, and shared ones."""
        spaces = [f"--mount=/proc/{self.keeper}/ns/mnt", f"--net=/proc/{self[host].pid}/ns/net"]
        return ended_with_us("nsenter", *spaces, "--", *command)


class Host:
    """One of them. Commands run as its root user, as in a shell of its own."""

    def __init__(self, bed, name, address):
        self.bed, self.name, self.address = bed, name, address
        self.fqdn = f"{name}.{bed.domain}"
        self.group = f"{bed.group}-{name}"
        self.pid = 0
        self.boot_s = 0.0
        self._first = self._began = self._files = None

    # --- life ---------------------------------------------------------------------------------------------------

    @property
    def _outside(self):
        """The host's directory, seen from here."""
        return Path(f"/proc/{self.bed.keeper}/root{self.bed.base}", self.name)

    def prepare(self):
        for part in ("up", "work", "root", "before", "given"):
            (self._outside / part).mkdir(parents=True)
        (self._outside / "groups").touch()
        for path, text in self._given().items():
            given = self._outside / "given" / path.lstrip("/")
            given.parent.mkdir(parents=True, exist_ok=True)
            content = text.read_bytes() if isinstance(text, Path) else text.encode()
            given.write_bytes(content)
            given.chmod(0o755 if content.startswith(b"#!") else 0o644)
        self._hide()

    def _given(self):
        """What is in the way of a file of the root's, or beside it, before anybody does anything."""
        files = {"/etc/hostname": f"{self.name}\n", "/etc/fstab": "", "/etc/resolv.conf": "nameserver 127.0.0.1\n"}
        files["/etc/hosts"] = "127.0.0.1 localhost\n" + self._names()
        files["/etc/machine-id"] = hashlib.md5(self.name.encode(), usedforsecurity=False).hexdigest() + "\n"
        files["/etc/systemd/journald.conf.d/bare.conf"] = "[Journal]\nStorage=volatile\n"
        return files | self.bed.given(self)

    def _names(self):
        if not self.bed.known:  # as Debian's installer leaves it
            return f"127.0.1.1 {self.fqdn} {self.name}\n"
        return "".join(f"{host.address} {host.fqdn} {host.name}\n" for host in self.bed)

    def _hide(self):
        given = self._outside / "given"
        for path in HIDDEN:
            folder = given / path.lstrip("/")
            folder.mkdir(parents=True)
            os.setxattr(folder, "trusted.overlay.opaque", b"y")
        units = given / "etc/systemd/system"
        for unit in MASKED:
            (units / unit).symlink_to("/dev/null")
        (units / "default.target").symlink_to("/lib/systemd/system/multi-user.target")
        if self.bed.ocicat:
            program = given / "usr/local/bin/ocicat"
            program.parent.mkdir(parents=True)
            program.symlink_to(Path(sys.executable).with_name("ocicat"))

    def begin(self):
        """Its first process, without a network yet."""
        enter = ["nsenter", f"--mount=/proc/{self.bed.keeper}/ns/mnt", "bash", "-c", JOIN]
        variables = {
            "PATH": os.environ["PATH"],
            "BASE": self.bed.base,
            "NAME": self.name,
            "ROOT": str(self.bed.root),
            "GROUP": self.group,
            "OUTSIDE": Path("/proc/self/cgroup").read_text().strip(),
            "FIRST_PROCESS": FIRST_PROCESS,
            "SHARED": " ".join(self.bed.shared),
            "BINDS": " ".join(self.bed.binds),
            "VOLUMES": " ".join(self.bed.volumes),
            "SYSTEMD": "1" if self.bed.systemd else "",
        }
        self._began = time.monotonic()
        self._first = subprocess.Popen(enter, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=variables)

    def finish(self):
        """Its network, and the rest of its start."""
        assert self._first.stdout.readline() == b"made\n", f"{self.name}: no file system: {self._errors()}"
        self.pid = child_of(self._first.pid)
        self._connect()
        self._first.stdin.write(b"go\n")
        self._first.stdin.flush()
        if self.bed.systemd:
            wait_for(self._is_systemd, f"{self.name}: systemd")
            wait_for(self._booted, f"{self.name}: the end of its boot")
        else:
            assert self._first.stdout.readline() == b"up\n", f"{self.name}: no first process: {self._errors()}"
        self.boot_s = time.monotonic() - self._began
        if self._files is None:
            self._files = Files(self._outside / "up", self._outside / "before")
            self.mark()

    def _errors(self):
        return (self._outside / "errors").read_text()

    def _is_systemd(self):
        assert self._first.poll() is None, f"{self.name}: its first process ended: {self._errors()}"
        return Path(f"/proc/{self.pid}/comm").read_text() == "systemd\n"

    def _booted(self):
        return self.run("systemctl is-system-running --wait", check=False).out.strip() in {"running", "degraded"}

    def _connect(self):
        lines = f"""link add {self.name} type veth peer name eth0 netns {self.pid}
link set {self.name} master fabric up"""
        inside = f"""link set lo up
link set eth0 up
address add {self.address}/24 dev eth0
route add default via {self.bed.subnet}.1"""
        left = ["nsenter", f"--net=/proc/{self.bed.keeper}/ns/net", "ip", "link", "delete", self.name]
        subprocess.run(left, check=False, stderr=subprocess.DEVNULL)  # of a host that the kernel is still taking away
        for pid, batch in ((self.bed.keeper, lines), (self.pid, inside)):
            subprocess.run(
                ["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-batch", "-"], input=batch, text=True, check=True
            )

    def close(self):
        """As if its power was cut."""
        if self._first is not None:
            if self.pid and self._first.poll() is None:
                os.kill(self.pid, signal.SIGKILL)  # what waits for it ends then, too
            else:
                self._first.kill()
            self._first.communicate()
            self._first, self.pid = None, 0

    def reboot(self):
        """Power off and on: what was written to its disk is still there; /run, /tmp and the kernel's rules are not."""
        self.close()
        work = self._outside / "work"
        shutil.rmtree(work)
        work.mkdir()
        self.begin()
        self.finish()

    # --- commands -----------------------------------------------------------------------------------------------

    def enter(self, *command):
        """The command line that runs this one on the host."""
        join = 'for group in $GROUPS_JOINED; do echo $$ > $group/cgroup.procs; done 2>/dev/null; exec "$@"'
        groups = " ".join((self._outside / "groups").read_text().split())
        kinds = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        inside = ["setpriv", "--bounding-set=-sys_time", "nsenter", *kinds]
        inside += [f"--target={self.pid}", f"--wdns={HOME}"]
        return ["sh", "-c", f"GROUPS_JOINED={shlex.quote(groups)}; {join}", "sh", *inside, "--", *command]

    def run(self, command, *, check=True, given=None, timeout_s=PATIENCE_S, **variables):
        """A command line as typed into its shell (or a list of arguments). CommandFailed with all it said if `check`."""
        line = self.enter(*(["bash", "-c", command] if isinstance(command, str) else command))
        environment = {**ENVIRONMENT, **variables}
        done = subprocess.run(
            line, input=given, capture_output=True, text=True, env=environment, timeout=timeout_s, check=False
        )
        if check and done.returncode != 0:
            raise CommandFailed(f"{self.name}: {command}: status {done.returncode}\n{done.stdout}{done.stderr}")
        return Done(done.returncode, done.stdout, done.stderr)

    def bash(self, script, **options):
        """Lines of a script, which ends with the first that fails."""
        return self.run(["bash", "-euo", "pipefail", "-c", script], **options)

    def spawn(self, command, log="/dev/null", **variables):
        """A program beside the host's first process; its output goes to `log`, a file on the host. Ends with the host."""
        line = f"exec >>{shlex.quote(str(log))} 2>&1; exec {command}"
        environment = {**ENVIRONMENT, **variables}
        return subprocess.Popen(
            self.enter("bash", "-c", line), stdin=subprocess.DEVNULL, env=environment, start_new_session=True
        )

    # --- files --------------------------------------------------------------------------------------------------

    def path(self, path):
        """A file of the host, seen from here (absolute links in it lead astray)."""
        return Path(f"/proc/{self.pid}/root", str(path).lstrip("/"))

    def read(self, path):
        return self.run(["cat", str(path)]).out

    def write(self, path, text, mode=0o644):
        self.run(
            ["sh", "-c", 'mkdir -p "$(dirname "$0")" && cat > "$0" && chmod "$1" "$0"', str(path), f"{mode:o}"],
            given=text,
        )

    def copy(self, path, other):
        """A file, or a directory with all in it, to the same place on another host, as `scp -pr` would."""
        into = str(Path(path).parent)
        packed = subprocess.run(
            self.enter("tar", "-c", "-C", into, Path(path).name), capture_output=True, check=True
        ).stdout
        unpack = other.enter("sh", "-c", 'mkdir -p "$0" && tar -x -C "$0"', into)
        subprocess.run(unpack, input=packed, check=True)

    def mark(self):
        """From now on `changed` compares with the present."""
        self._files.mark()

    def changed(self, ignore=VOLATILE):
        """{path: "added", "removed" or what differs}, against the end of the boot, or the last `mark`. A file that was written and
        has its old bytes, mode and owner again is not changed. /run, /tmp, /dev and volumes are not looked at."""
        return self._files.changed(ignore)

    # --- the kernel ---------------------------------------------------------------------------------------------

    def rules(self):
        """Everything that decides on this host about packets, as text: tables, policy routing, routes, links; without counters."""
        return bare_host_kernel.rules(self)

    def sysctls(self):
        """{name: value} of its network's settings."""
        return bare_host_kernel.sysctls(self)

    def memory_kib(self):
        """What its processes have in memory that is theirs alone."""
        script = (
            "cat /proc/[0-9]*/smaps_rollup 2>/dev/null | awk '/^Private|^Pss:/ {a[$1]+=$2} END {print a[\"Pss:\"]}'"
        )
        return int(self.run(script).out)


def mount_point(*others):
    """A directory that every Debian has, and in which none of these lies: in the keeper's mount namespace it is covered."""
    fit = [
        top
        for top in ("/media", "/mnt", "/srv")
        if Path(top).is_dir() and not any(f"{other}/".startswith(top + "/") for other in others)
    ]
    assert fit, "no directory to mount the hosts in"
    return fit[0]


def ended_with_us(*command):
    """The command line of a process that the kernel ends when the one that has started it is killed: it is on no host, and nobody
    else would."""
    return ["setpriv", "--pdeathsig", "KILL", "--", *command]


def child_of(pid):
    """The one process that it has started."""
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def wait_for(condition, what, patience_s=PATIENCE_S):
    """Until it is true; its value."""
    end = time.monotonic() + patience_s
    while not (value := condition()):
        assert time.monotonic() < end, f"waited {patience_s} s for {what}"
        time.sleep(0.01)
    return value
