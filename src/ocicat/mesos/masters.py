"""Where the Mesos masters are.

PURE. Any of the masters will do to start with: those that do not lead send us on to the one that does.
"""

from __future__ import annotations

from ocicat.errors import UserError
from ocicat.model.base import Struct

DEFAULT_PORT = 5050


class Endpoint(Struct, frozen=True):
    """A TCP address. `host` is a name or an address, without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_master(text: str) -> tuple[Endpoint, ...]:
    """ "host:port" or "host1:port1,host2:port2"; the port may be left out. UserError for anything else."""
    if "://" in text:
        raise UserError(
            f"master {text!r}: only host:port is understood", hint="host1:5050,host2:5050 names several masters"
        )
    endpoints = tuple(parse_endpoint(part.strip(), DEFAULT_PORT) for part in text.split(",") if part.strip())
    if not endpoints:
        raise UserError("no Mesos master is named", hint="say host:port")
    return endpoints


def parse_endpoint(text: str, default_port: int) -> Endpoint:
    """ "host", "host:port", "[v6]" or "[v6]:port"."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(default_port)
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not bare or not port.isdecimal() or not 0 < int(port) < 65536 or (":" in bare and bare == host):
        raise UserError(f"{text!r} is not host:port", hint="an IPv6 address stands in brackets: [fd00::1]:5050")
    return Endpoint(bare, int(port))
