"""A lab on paper: its hosts, addresses, directories and options, all derived from a handful of settings.

Promises: the same settings always give the same names, so that what a lab made can be found again by name alone.
Must not: touch the system. PURE.

Invariants:
1. Every namespace and every cgroup of the lab NAME is called `ocNAME-` and then `fabric`, `master` (`master2`, ...) or `h`
   and a number; nothing else is.
2. Everything the lab writes lies below its directory, and `is_entry` knows what lies directly in it.
3. No address of the lab is visible outside its namespaces, so labs never clash with each other or with the machine.
"""

from __future__ import annotations

import re
from pathlib import Path

from ocicat.errors import UserError
from ocicat.model.base import Struct
from ocicat.model.net import Cidr

NETWORK = "ocicat"  # the CNI network that tasks ask for
POOL, POOL6 = "default", "default6"
DEFAULT_PARENT = "ocicat"  # below /run: default directories of labs lie in it
MASTER_PORT = 5050
AGENT_PORT = 5051

_FABRIC_SUBNET, _FABRIC_SUBNET6 = "172.30.77.0/24", "fd77:30::/64"
_MASTER_ORDINAL = 10
_MAX_HOSTS = 200
_MAX_MASTERS = 5
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,14}[a-z0-9])?")
_MAX_DIRECTORY = 80  # a Unix socket's path has 107 bytes, and ours lie up to 27 deeper


class Host(Struct, frozen=True):
    """One host of the lab: a network namespace whose `eth0` has `address` and `address6` (with their prefix lengths; the second
    may be empty)."""

    name: str
    namespace: str
    address: str
    directory: str
    address6: str = ""

    @property
    def ip(self) -> str:
        return self.address.partition("/")[0]

    @property
    def socket(self) -> str:
        """Of the ocicat agent, for the CNI plugin."""
        return f"{self.directory}/agent.sock"

    @property
    def plugin_dir(self) -> str:
        return f"{self.directory}/cni/bin"

    @property
    def cni_config_dir(self) -> str:
        return f"{self.directory}/cni/conf"

    @property
    def mesos_dir(self) -> str:
        """The Mesos agent's (or master's) own directories lie in it."""
        return f"{self.directory}/mesos"

    @property
    def zookeeper_dir(self) -> str:
        return f"{self.directory}/zookeeper"

    @property
    def work_dir(self) -> str:
        """Of the Mesos agent: sandboxes lie in it."""
        return f"{self.mesos_dir}/work"

    @property
    def runtime_dir(self) -> str:
        """Of the Mesos agent: the containers' namespaces are mounted in it."""
        return f"{self.mesos_dir}/run"


class LabSpec(Struct, frozen=True, kw_only=True):
    """What a lab is made from. `pool` is the containers' addresses, handed to hosts in blocks of `block_size` bits of prefix;
    `pool6`: the same of IPv6, "" for a lab without IPv6.
    `masters` elect their leader in a ZooKeeper of `zookeepers` servers, which run on the masters' hosts; 0 of these: one where
    there are several masters, else none, and the master stands alone.
    `agent_flags` and `master_flags` are further flags of the Mesos agents and masters, by their own names.
    `dns`: every ocicat agent serves the tasks' names at its host's address, with these further options; None: none does."""

    hosts: int = 3
    pool: str = "10.77.0.0/16"
    block_size: int = 26
    pool6: str = ""
    name: str = "lab"
    directory: str = ""
    masters: int = 1
    zookeepers: int = 0
    agent_flags: dict[str, str] = {}
    master_flags: dict[str, str] = {}
    dns: tuple[str, ...] | None = None

    def check(self) -> LabSpec:
        """The same, or a UserError that names the setting."""
        check_name(self.name)
        if not 1 <= self.hosts <= _MAX_HOSTS:
            raise UserError(f"{self.hosts} hosts: a lab has 1 to {_MAX_HOSTS}")
        if not 1 <= self.masters <= _MAX_MASTERS:
            raise UserError(f"{self.masters} masters: a lab has 1 to {_MAX_MASTERS}")
        if not 0 <= self.zookeepers <= self.masters:
            raise UserError(f"{self.zookeepers} ZooKeeper servers: one for each master at most, on its host")
        if not self.directory.startswith("/") or len(self.directory) > _MAX_DIRECTORY:
            raise UserError(
                f"directory {self.directory!r}: not an absolute path of at most {_MAX_DIRECTORY} characters",
                hint="sockets lie in it, whose paths the kernel limits",
            )
        self._check_pool()
        return self

    def _check_pool(self) -> None:
        pool = _pool(self.pool, 4, _FABRIC_SUBNET, "--pool 10.77.0.0/16")
        if self.pool6:
            _pool(self.pool6, 6, _FABRIC_SUBNET6, "--pool6 fd77::/64")
        if not 20 <= self.block_size <= 32:
            raise UserError(f"block size {self.block_size} is not in 20 to 32")
        if self.block_size < pool.length:
            raise UserError(f"blocks of /{self.block_size} do not fit into pool {self.pool}")

    @property
    def root(self) -> Path:
        return Path(self.directory)

    @property
    def state_file(self) -> Path:
        return self.root / "state.json"

    @property
    def control_socket(self) -> Path:
        return self.root / "control.sock"

    @property
    def store(self) -> str:
        """URL of the lab's datastore."""
        return f"sqlite://{self.directory}/store/store.db"

    @property
    def fabric(self) -> str:
        """The namespace that holds the bridge between the hosts, and the supervisor."""
        return f"oc{self.name}-fabric"

    @property
    def master(self) -> Host:
        """Where the Mesos master runs, the first if there are several."""
        return self.master_hosts[0]

    @property
    def master_hosts(self) -> tuple[Host, ...]:
        """A namespace of its own for each Mesos master: all hosts stay alike, and what runs there is outside the cluster."""
        names = ("master", *(f"master{number}" for number in range(2, self.masters + 1)))
        return tuple(self._host(name, _MASTER_ORDINAL - i) for i, name in enumerate(names))

    @property
    def zookeeper_hosts(self) -> tuple[Host, ...]:
        """Empty where the master stands alone."""
        return self.master_hosts[: self.zookeepers or int(self.masters > 1)]

    @property
    def nodes(self) -> tuple[Host, ...]:
        """The hosts with agents: h1, h2, ..."""
        return tuple(self._host(f"h{i}", _MASTER_ORDINAL + i) for i in range(1, self.hosts + 1))

    def _host(self, name: str, ordinal: int) -> Host:
        address, address6 = (_nth(subnet, ordinal) for subnet in (_FABRIC_SUBNET, _FABRIC_SUBNET6))
        namespace, directory = f"oc{self.name}-{name}", f"{self.directory}/{name}"
        return Host(name, namespace, address, directory, address6 if self.pool6 else "")

    def log(self, process: str) -> Path:
        return self.root / "logs" / f"{process}.log"


def _nth(subnet: str, ordinal: int) -> str:
    cidr = Cidr.parse(subnet)
    return f"{cidr.nth(ordinal)}/{cidr.length}"


def _pool(text: str, family: int, fabric: str, example: str) -> Cidr:
    """UserError when it cannot be the containers' addresses of that family."""
    try:
        pool = Cidr.parse(text)
    except UserError as error:
        raise UserError(f"pool: {error.message}", hint=error.hint or f"for example {example}") from error
    if pool.family != family:
        raise UserError(f"pool {text}: not IPv{family}")
    if pool.overlaps(Cidr.parse(fabric)):
        raise UserError(f"pool {text} overlaps {fabric}, the network between the hosts", hint="choose another")
    return pool


def check_name(name: str) -> str:
    """The same, or a UserError: it becomes part of paths that are removed."""
    if not _NAME.fullmatch(name):
        hint = "lower-case letters, digits and dashes, at most 16, a letter first"
        raise UserError(f"{name!r} is not a name for a lab", hint=hint)
    return name


def is_name(name: str, text: str) -> bool:
    """Is `text` what the lab `name` calls a namespace or a cgroup?"""
    return re.fullmatch(rf"oc{re.escape(name)}-(fabric|master[2-9]?|h[0-9]+)", text) is not None


def is_entry(text: str) -> bool:
    """Is `text` the name of something a lab puts directly into its directory?"""
    return re.fullmatch(r"state\.json(\.[0-9]+)?|control\.sock|logs|store|master[2-9]?|h[0-9]+", text) is not None
