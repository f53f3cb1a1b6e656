"""ZooKeeper by its commands of four letters: what a server says of itself.

Source: ZooKeeper administrator's guide, "The Four Letter Words". A server that is not part of a quorum says so, and no more.
"""

from __future__ import annotations

import re

from ocicat.errors import Unavailable
from ocicat.model.base import Struct
from ocicat.services.network import Access, connect, reason

_ZXID = re.compile(r"^Zxid: 0x([0-9a-f]+)$", re.MULTILINE)
_LONGEST_BYTES = 1 << 20
_NO_QUORUM = "not currently serving requests"


class Status(Struct, frozen=True, kw_only=True):
    """`role`: leader, follower, standalone or observer."""

    version: str
    role: str
    zxid: int
    nodes: int
    size_bytes: int


def ask(host: str, port: int, word: str, way: Access) -> str:
    """The whole answer. Unavailable."""
    connection = connect(host, port, way)
    try:
        with connection, connection.makefile("rb") as reader:
            connection.sendall(word.encode())
            return reader.read(_LONGEST_BYTES).decode(errors="replace")
    except OSError as error:
        raise Unavailable(f"{host}:{port}: {reason(error)}") from error


def status(host: str, port: int, way: Access) -> Status:
    """Unavailable: it does not answer, or serves nobody because there is no quorum."""
    facts, server = ask(host, port, "mntr", way), ask(host, port, "srvr", way)
    for text in (facts, server):
        if _NO_QUORUM in text or not text:  # nothing at all is what it says with TLS
            raise Unavailable(f"{host}:{port}: runs, and is not part of a quorum")
    return parse(facts, server, f"{host}:{port}")


def parse(facts: str, server: str, endpoint: str) -> Status:
    """`facts`: the answer to mntr; `server`: to srvr. Unavailable when they are something else."""
    told = dict(line.split("\t", 1) for line in facts.splitlines() if "\t" in line)
    zxid = _ZXID.search(server)
    try:
        return Status(
            version=told["zk_version"].partition("-")[0],
            role=told["zk_server_state"],
            zxid=int(zxid[1], 16) if zxid else 0,
            nodes=int(told["zk_znode_count"]),
            size_bytes=int(told["zk_approximate_data_size"]),
        )
    except (KeyError, ValueError) as error:
        raise Unavailable(f"{endpoint}: answers, but not as ZooKeeper does") from error
