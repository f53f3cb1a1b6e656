"""The ways by which operators are on this host over ssh: whoever cuts them off has nobody left to undo it.

Sources: SSH_CONNECTION of this process and of those that started it (sudo drops it); and each connection of a process called sshd.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from ocicat.host.firewall.letting import Allowed
from ocicat.host.ports import Opening
from ocicat.model.base import Struct

_PROC = Path("/proc")
_DAEMONS = ("sshd", "sshd-session", "sshd-auth", "dropbear")
_ESTABLISHED = "01"
_SOCKET = re.compile(r"socket:\[(\d+)\]")


class Session(Struct, frozen=True, order=True):
    """Who came from `peer` to `port` of this host."""

    peer: str
    port: int


def look() -> list[Session]:
    """Of the network namespace of the caller; sorted, each once."""
    return sorted({*_of_environment(), *_of_daemons()})


def allowed(sessions: Iterable[Session]) -> list[Allowed]:
    """What has to stay open for them."""
    by_port: dict[int, list[str]] = {}
    for one in sessions:
        by_port.setdefault(one.port, []).append(one.peer)
    return [
        Allowed(Opening("tcp", port, "the operator's session"), tuple(sorted(peers)))
        for port, peers in sorted(by_port.items())
    ]


def parse_connection(text: str) -> Session | None:
    """SSH_CONNECTION: the client's address and port, the server's address and port."""
    words = text.split()
    with suppress(ValueError):
        if len(words) == 4:
            return Session(_plain(words[0]), int(words[3]))
    return None


def _of_environment() -> list[Session]:
    """Of the nearest process that has it."""
    pid = os.getpid()
    while pid > 1:
        with suppress(OSError, ValueError):
            environment = (_PROC / str(pid) / "environ").read_bytes().decode(errors="replace").split("\0")
            said = next((one.partition("=")[2] for one in environment if one.startswith("SSH_CONNECTION=")), "")
            if found := parse_connection(said):
                return [found]
        pid = _parent(pid)
    return []


def _parent(pid: int) -> int:
    with suppress(OSError, ValueError):
        return int((_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    return 0


def _of_daemons() -> Iterator[Session]:
    inodes = {inode for pid in _daemons() for inode in _sockets(pid)}
    for name in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (_PROC / "self/net" / name).read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == _ESTABLISHED and words[9] in inodes:
                    yield Session(_address(words[2].partition(":")[0]), int(words[1].partition(":")[2], 16))


def _daemons() -> Iterator[str]:
    for directory in _PROC.iterdir():
        with suppress(OSError):
            if directory.name.isdigit() and (directory / "comm").read_text().strip() in _DAEMONS:
                yield directory.name


def _sockets(pid: str) -> Iterator[str]:
    with suppress(OSError):
        for fd in (_PROC / pid / "fd").iterdir():
            with suppress(OSError):
                if found := _SOCKET.fullmatch(str(fd.readlink())):
                    yield found[1]


def _address(text: str) -> str:
    """As /proc/net/tcp has it: words of four bytes, each in the byte order of this machine (little-endian)."""
    raw = b"".join(bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8))
    return _plain(str(ip_address(raw)))


def _plain(text: str) -> str:
    """IPv4 addresses in IPv6 notation are IPv4 addresses."""
    found = ip_address(text.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return str(mapped or found)
