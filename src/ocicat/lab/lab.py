"""A lab as an object: started, looked at, disturbed, and removed.

Promises: `Lab.up` returns a lab in which everything is ready, or raises and leaves nothing; `down` removes everything, whatever
state the lab is in. Progress goes to `report`, a line for each step, with the seconds since the beginning.
Must not: be called inside a running event loop (it blocks, and runs one of its own).

Invariants:
1. A lab is claimed twice before anything else is made: its directory by the state file, its name by the fabric's namespace. Both
   are atomic, so of two labs that want the same, one is refused.
2. Nothing is taken down by name before both claims have succeeded: it could be somebody else's.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType

from ocicat.errors import Conflict, NotFound, Refused, Unavailable
from ocicat.lab import hosts, prepare, requirements, state, sweep
from ocicat.lab.control import Request, ask
from ocicat.lab.mesos import library, ready
from ocicat.lab.processes import enter, master_address, processes
from ocicat.lab.spec import MASTER_PORT, NETWORK, Host, LabSpec, check_name, is_entry
from ocicat.lab.state import SUPERVISOR, State
from ocicat.lab.status import ProcessStatus, Status, status
from ocicat.lab.sweep import Removed, Traces
from ocicat.model.base import replace
from ocicat.netlink import namespace
from ocicat.supervise.interpreter import module_line
from ocicat.supervise.keeper import ProcessSpec

Report = Callable[[str], None]

READY_S = 90.0  # a Mesos agent needs one or two seconds; machines differ
_SUPERVISOR_S = 60.0  # half a second, on a machine that does nothing else
_POLL_S = 0.05
_LOG_LINES = 15


def silent(_line: str) -> None:
    """For those who want no progress."""


class Lab:
    """A lab that is up, or was."""

    def __init__(self, spec: LabSpec) -> None:
        self.spec = spec
        self.directory = spec.root
        self.hosts: tuple[Host, ...] = spec.nodes
        self.master = master_address(spec)
        self.store = spec.store
        self.network = NETWORK

    @classmethod
    def up(cls, spec: LabSpec | None = None, report: Report = silent) -> Lab:
        """Start a lab and wait until all of it is ready.

        UserError (a setting; not root), Refused (something is missing, a lab is there already, a process ended), Unavailable
        (the Mesos library cannot be downloaded, or not everything is ready within 90 s).
        """
        spec = resolved(spec or LabSpec()).check()
        requirements.check(spec.root, zookeeper=bool(spec.zookeeper_hosts))
        mesos = library.ensure(library.default_cache(), report)
        _claim(spec, processes(spec, str(mesos)))
        lab = cls(spec)
        try:
            lab._build(report)
            lab._start(report)
        except BaseException:
            report("failed; taking the lab down")
            lab.down()
            raise
        return lab

    @classmethod
    def open(cls, directory: Path) -> Lab:
        """The lab in that directory. NotFound, or Refused when its state cannot be read."""
        return cls(state.load(directory).spec)

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def host(self, name: str) -> Host:
        """`master`, `master2`, ..., `h1`, ...; NotFound."""
        for host in (*self.spec.master_hosts, *self.hosts):
            if host.name == name:
                return host
        raise NotFound(
            f"the lab has no host {name}",
            hint=f"there are {_listed(h.name for h in self.spec.master_hosts)} and {_listed(h.name for h in self.hosts)}",
        )

    def enter(self, host: str) -> list[str]:
        """What to put before a command line to run it on that host."""
        return list(enter(self.host(host).namespace))

    def namespace(self, host: str) -> Path:
        return namespace.named(self.host(host).namespace)

    def environment(self) -> dict[str, str]:
        """What tells ocicat's own commands about this lab."""
        return {"OCICAT_STORE": self.store, "OCICAT_MASTER": self.master}

    def log(self, process: str) -> Path:
        """The log of that process; NotFound."""
        self._process(process)
        return self.spec.log(process)

    def status(self) -> Status:
        """As it is now, whether or not the supervisor lives. NotFound when the lab is gone."""
        return status(state.load(self.directory), time.time())

    def leader(self) -> str:
        """The name of the host whose master leads; empty while none does, or when the lab is not there."""
        with suppress(NotFound), namespace.opened(self.namespace("master")) as there, namespace.inside(there):
            leading = (h.name for h in self.spec.master_hosts if ready.master_leads(f"{h.ip}:{MASTER_PORT}"))
            return next(leading, "")
        return ""

    def stop(self, process: str) -> None:
        """End a process, and keep it down. NotFound, Refused, Unavailable."""
        self._ask(Request("stop", process))

    def start(self, process: str) -> None:
        """Start a process that was stopped; returns when it is ready."""
        self._ask(Request("start", process))
        self._await({process})

    def restart(self, process: str, *, kill: bool = False) -> None:
        """End a process (with `kill` by SIGKILL) and start it again; returns when it is ready."""
        self._ask(Request("restart", process, kill))
        self._await({process})

    def down(self, report: Report = silent) -> Removed:
        """Remove the lab; once more is no error."""
        return down(self.spec.name, self.directory, report)

    def _build(self, report: Report) -> None:
        hosts.build(self.spec.fabric, (*self.spec.master_hosts, *self.hosts))
        of_masters = "the master's namespace" if self.spec.masters == 1 else f"{self.spec.masters} masters' namespaces"
        report(f"network: a bridge, {of_masters} and {_counted(len(self.hosts), 'host')}")
        prepare.directories(self.spec)
        prepare.store(self.spec)
        report(f"datastore: {self.store}, pool {self.spec.pool} in blocks of /{self.spec.block_size}")
        prepare.zookeepers(self.spec)
        prepare.plugins(self.spec)
        report(f"plugin and network {NETWORK} for {_counted(len(self.hosts), 'host')}")

    def _start(self, report: Report) -> None:
        start_supervisor(self.spec)
        self._await({SUPERVISOR}, timeout_s=_SUPERVISOR_S)
        listed = state.load(self.directory).processes
        self._await({process.name for process in listed}, lambda name: report(f"{name} is ready"))

    def _await(self, names: set[str], ready: Report = silent, timeout_s: float = READY_S) -> None:
        """Until all of these processes are ready. Refused as soon as one of them ends, Unavailable after `timeout_s`."""
        before = {process.name: process.restarts for process in self.status().processes}
        deadline = time.monotonic() + timeout_s
        while names:
            late = time.monotonic() > deadline
            for process in [found for found in self.status().processes if found.name in names]:
                if process.state == "running":
                    names.remove(process.name)
                    ready(process.name)
                elif _ended(process, before[process.name]):
                    raise Refused(f"{process.name} {process.last_exit}{self._excerpt(process.name)}")
                elif late:
                    raise Unavailable(
                        f"{process.name} is not ready after {timeout_s:.0f} s{self._excerpt(process.name)}"
                    )
            time.sleep(_POLL_S if names else 0)

    def _excerpt(self, process: str) -> str:
        text = tail(self.spec.log(process), _LOG_LINES)
        return f"; the end of its log:\n{text}" if text else "; its log is empty"

    def _ask(self, request: Request) -> None:
        self._process(request.process)
        ask(self.spec.control_socket, request)

    def _process(self, name: str) -> None:
        names = [SUPERVISOR, *(process.name for process in state.load(self.directory).processes)]
        if name not in names:
            raise NotFound(f"the lab has no process {name}", hint=f"there are {_listed(names)}")


def resolved(spec: LabSpec) -> LabSpec:
    """With an absolute directory; the default one where none is given."""
    directory = Path(spec.directory).absolute() if spec.directory else requirements.default_directory(spec.name)
    return replace(spec, directory=str(directory))


def down(name: str, directory: Path, report: Report = silent) -> Removed:
    """Remove the lab in `directory`, and what is left of a lab called `name` (or as the state there says)."""
    requirements.check_root()
    check_name(name)
    known = state.find(directory)
    removed = sweep.sweep(known.spec.name if known is not None else name, directory)
    report(f"removed: {removed}" if removed != Removed() else str(removed))
    return removed


def start_supervisor(spec: LabSpec) -> None:
    """Detached: a child of nobody, in a session of its own, with nothing open but its log."""
    line = ["setsid", "--fork", *enter(spec.fabric), *module_line("ocicat.lab.supervisor", spec.directory)]
    with spec.log(SUPERVISOR).open("ab") as output:
        subprocess.run(line, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", check=True)


def tail(log: Path, lines: int) -> str:
    """The last lines of a log; empty when there is none."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def _claim(spec: LabSpec, listed: tuple[ProcessSpec, ...]) -> None:
    """Invariant 1."""
    left = sweep.traces(spec.name, spec.root)
    if left:
        raise _occupied(spec, left)
    if spec.root.is_dir() and not all(is_entry(entry.name) for entry in spec.root.iterdir()):
        raise Refused(f"{spec.root} is not empty, and what is in it is no lab's", hint="choose another with --dir")
    state.claim(State(spec=spec, since=time.time(), processes=listed))
    try:
        namespace.create(spec.fabric)
    except BaseException as error:
        sweep.remove_directory(spec.root)
        if isinstance(error, Conflict):
            raise _occupied(spec, sweep.traces(spec.name, spec.root)) from error
        raise


def _occupied(spec: LabSpec, left: Traces) -> Refused:
    """Which lab is in the way: one that the state describes, or what is left of one."""
    known = state.find(spec.root)
    if known is None:
        what = ", ".join((*left.namespaces, *left.cgroups, *left.mounts, *left.entries))
        return Refused(f"something is left of a lab {spec.name}: {what}", hint=state.down_hint(spec))
    found = status(known, time.time()).processes
    running = sum(process.state == "running" for process in found)
    since = datetime.fromtimestamp(known.since).astimezone().isoformat(" ", "seconds")
    return Refused(
        f"there is a lab in {spec.root} since {since}, {running} of {len(found)} processes running",
        hint=state.down_hint(known.spec),
    )


def _ended(process: ProcessStatus, restarts: int) -> bool:
    return process.restarts > restarts or (process.state in {"waiting", "dead"} and process.last_exit != "")


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
