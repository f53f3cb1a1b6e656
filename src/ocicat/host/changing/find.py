"""A setting by the name that the record and the diff have for it."""

from __future__ import annotations

from collections.abc import Callable

from ocicat.changes.files import Tree
from ocicat.changes.settings import Find, Setting
from ocicat.errors import Bug
from ocicat.host.changing.chains import Chains
from ocicat.host.changing.kernel import Forwarding, HostName, Interface, Mtu, Sysctl
from ocicat.host.changing.routes import Routes
from ocicat.host.changing.sets import Sets
from ocicat.host.changing.texts import RuleLines, Switched
from ocicat.host.changing.units import Unit
from ocicat.host.firewall import live

_OF_ONE: dict[str, Callable[[str], Setting]] = {
    "sysctl": Sysctl,
    "mtu": Mtu,
    "interface": Interface,
    "unit": Unit,
    "sets": Sets,
}


def finder(tree: Tree) -> Find:
    """Files are those of the tree; all else is of the calling process's namespaces."""

    def find(name: str) -> Setting:
        kind, *words = name.split(" ")
        found = _in_files(tree, kind, words) or _in_force(kind, words)
        if found is None:
            raise Bug(f"no setting is called {name!r}")
        return found

    return find


def _in_files(tree: Tree, kind: str, words: list[str]) -> Setting | None:
    match kind, words:
        case "lines", [path]:
            return RuleLines(tree, path, before_commit=not path.endswith("nftables.conf"))
        case "line", [path, word]:
            return Switched(tree, path, word)
    return None


def _in_force(kind: str, words: list[str]) -> Setting | None:
    match kind, words:
        case "rules", [_, _, *_]:
            return live.by_name(words)
        case "sysctl", ["net.ipv4.ip_forward"]:
            return Forwarding()
        case "chains", [program, prefixes]:
            return Chains(program, prefixes.split(","))
        case "routes", [family, protocol]:
            return Routes(family, protocol)
        case _, [one] if kind in _OF_ONE:
            return _OF_ONE[kind](one)
        case "hostname", []:
            return HostName()
    return None
