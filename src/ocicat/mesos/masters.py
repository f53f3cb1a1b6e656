"""How Mesos masters are named: some of them, or the ZooKeeper in which they elect the one that leads.

PURE. Of masters that are listed any will do to start with: those that do not lead send us on to the one that does.
"""

from __future__ import annotations

from ocicat.errors import UserError
from ocicat.model.base import Struct

DEFAULT_PORT = 5050
ZOOKEEPER_PORT = 2181

_ZOOKEEPER = "zk://"
_FORMS = "host1:5050,host2:5050 names several masters, zk://host1:2181,host2:2181/mesos the ZooKeeper that knows which one leads"


class Endpoint(Struct, frozen=True):
    """A TCP address. `host` is a name or an address, without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Ensemble(Struct, frozen=True):
    """A ZooKeeper, and the absolute `path` below which the masters' nodes lie. `credentials` is "user:password", or empty."""

    servers: tuple[Endpoint, ...]
    path: str
    credentials: str = ""

    @property
    def user(self) -> str:
        return self.credentials.partition(":")[0]

    def __str__(self) -> str:
        """As it is written, but without the password."""
        user = f"{self.user}:***@" if self.credentials else ""
        return f"{_ZOOKEEPER}{user}{','.join(map(str, self.servers))}{self.path}"


def parse_masters(text: str) -> tuple[Endpoint, ...] | Ensemble:
    """What `parse_master` takes, or "zk://[user:password@]host1:port1,host2:port2/path"; UserError for anything else."""
    return _parse_ensemble(text) if text.startswith(_ZOOKEEPER) else parse_master(text)


def parse_master(text: str) -> tuple[Endpoint, ...]:
    """ "host:port" or "host1:port1,host2:port2"; the port may be left out. UserError for anything else."""
    if "://" in text:
        raise UserError(f"master {text!r}: only host:port and zk:// are understood here", hint=_FORMS)
    endpoints = _endpoints(text, DEFAULT_PORT)
    if not endpoints:
        raise UserError("no Mesos master is named", hint="say host:port")
    return endpoints


def parse_endpoint(text: str, default_port: int) -> Endpoint:
    """ "host", "host:port", "[v6]" or "[v6]:port"."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(default_port)
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not bare or not _is_port(port) or (":" in bare and bare == host):
        raise UserError(f"{text!r} is not host:port", hint="an IPv6 address stands in brackets: [fd00::1]:5050")
    return Endpoint(bare, int(port))


def _is_port(text: str) -> bool:
    """Few digits first: `int` raises for some thousands, and who writes them may be anybody."""
    return len(text) <= 5 and text.isdecimal() and 0 < int(text) < 65536


def _parse_ensemble(text: str) -> Ensemble:
    """Messages repeat what stands behind the credentials only: a password may be in front of it."""
    credentials, at, rest = text.removeprefix(_ZOOKEEPER).rpartition("@")
    user, colon, password = credentials.partition(":")
    if at and not (user and colon and password):
        raise UserError(f"zk://...@{rest}: what stands before the @ is not user:password", hint=_FORMS)
    hosts, _, path = rest.partition("/")
    servers = _endpoints(hosts, ZOOKEEPER_PORT)
    if not servers:
        raise UserError(f"zk://{rest}: no ZooKeeper server is named", hint=_FORMS)
    if not path or any(part in ("", ".", "..") for part in path.rstrip("/").split("/")):
        raise UserError(
            f"zk://{rest}: no path of ZooKeeper's, for example /mesos: it is what --zk of the masters ends with"
        )
    return Ensemble(servers, f"/{path.rstrip('/')}", credentials)


def _endpoints(text: str, default_port: int) -> tuple[Endpoint, ...]:
    return tuple(parse_endpoint(part.strip(), default_port) for part in text.split(",") if part.strip())
