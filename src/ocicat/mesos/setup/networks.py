"""The network configurations of a Mesos agent, as its isolator network/cni sees them, and what it makes of each.

Source: apache/mesos 1.11.0, src/slave/containerizer/mesos/isolators/network/cni/{cni,spec}.cpp.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from ocicat.changes.files import Tree
from ocicat.errors import UserError
from ocicat.model.base import Struct, field
from ocicat.model.codec import decode_json

READ_VERSIONS = ("0.1.0", "0.2.0")  # of results: those that Mesos finds an address in


class _Document(Struct, frozen=True):
    name: str = ""
    type: str = ""
    version: str = field(default="", name="cniVersion")
    plugins: list[object] | None = None


class Network(Struct, frozen=True):
    """One file. With a `problem` Mesos passes over it."""

    path: str
    name: str = ""
    type: str = ""
    version: str = ""
    problem: str = ""

    @property
    def shows_addresses(self) -> bool:
        return self.version in ("", *READ_VERSIONS)


def network(path: str, text: str) -> Network:
    """What a file says."""
    try:
        found = decode_json(_Document, text, what=path)
    except UserError as error:
        return Network(path, problem=error.message.removeprefix(f"{path}: "))
    if found.plugins is not None:
        return Network(path, found.name, problem="a list of plugins: Mesos reads single configurations only")
    if not (found.name and found.type):
        return Network(path, found.name, found.type, problem="it needs a name and a type")
    return Network(path, found.name, found.type, found.version)


def read(tree: Tree, directory: str) -> list[Network]:
    """Of the configuration directory, in the order of the files' names."""
    paths = [f"{directory}/{name}" for name in tree.names(directory)]
    return [network(path, tree.text(path)) for path in paths if tree.is_file(path)]


def programs(tree: Tree, search_path: str) -> frozenset[str]:
    """The names of what can be executed in directories separated by colons."""
    found = (
        f"{directory}/{name}" for directory in search_path.split(":") if directory for name in tree.names(directory)
    )
    return frozenset(
        path.rpartition("/")[2] for path in found if tree.is_file(path) and os.access(tree.at(path), os.X_OK)
    )


def twice(networks: Iterable[Network]) -> list[Network]:
    """Those whose name an earlier file has: Mesos passes over them."""
    seen: set[str] = set()
    found = []
    for one in networks:
        if one.name in seen and not one.problem:
            found.append(one)
        seen.add(one.name)
    return found
