"""The nodes by which Mesos masters stand for election in ZooKeeper. PURE.

Source: src/master/detector/zookeeper.cpp and src/zookeeper/group.cpp of Mesos 1.11.0, constants.hpp for the label.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ocicat.errors import UserError
from ocicat.mesos.masters import DEFAULT_PORT, Endpoint, parse_endpoint
from ocicat.model.base import Struct
from ocicat.model.codec import decode_json

_NODE = re.compile(r"json\.info_(\d+)")


class _Address(Struct, frozen=True):
    ip: str = ""
    port: int = DEFAULT_PORT


class _MasterInfo(Struct, frozen=True):
    """`pid` is libprocess's "master@IP:PORT"; masters before 0.25 say nothing else that also IPv6 would fit into."""

    pid: str = ""
    address: _Address = _Address()


def leading(names: Iterable[str]) -> str:
    """The node of the leader among the children of the path: the one that came first. "" when nobody stands."""
    candidates = ((int(found[1]), found[0]) for found in map(_NODE.fullmatch, names) if found)
    return min(candidates, default=(0, ""))[1]


def node_of(data: bytes) -> Endpoint:
    """Where the master of that node listens. UserError for what is no master's."""
    info = decode_json(_MasterInfo, data, what="the node of a master")
    if info.address.ip:
        return Endpoint(info.address.ip, info.address.port)
    _, at, address = info.pid.partition("@")
    if not at:
        raise UserError("the node of a master: neither address nor pid in it")
    return parse_endpoint(address, DEFAULT_PORT)
