"""A setting by the name that the record and the diff have for it."""

from __future__ import annotations

from ocicat.changes.files import Tree
from ocicat.changes.settings import Find, Setting
from ocicat.errors import Bug
from ocicat.host.changing.chains import Chains
from ocicat.host.changing.kernel import HostName, Interface, Mtu, Sysctl
from ocicat.host.changing.routes import Routes
from ocicat.host.changing.texts import RuleLines, Switched
from ocicat.host.changing.units import Unit
from ocicat.host.firewall import live


def finder(tree: Tree) -> Find:
    """Files are those of the tree; all else is of the calling process's namespaces."""

    def find(name: str) -> Setting:
        kind, *words = name.split(" ")
        match kind, words:
            case "sysctl", [setting]:
                return Sysctl(setting)
            case "mtu", [interface]:
                return Mtu(interface)
            case "interface", [interface]:
                return Interface(interface)
            case "hostname", []:
                return HostName()
            case "chains", [program, prefix]:
                return Chains(program, prefix)
            case "routes", [family, protocol]:
                return Routes(family, protocol)
            case "unit", [unit]:
                return Unit(unit)
            case "rules", [_, _, *_]:
                return live.by_name(words)
            case "lines", [path]:
                return RuleLines(tree, path, before_commit=not path.endswith("nftables.conf"))
            case "line", [path, word]:
                return Switched(tree, path, word)
        raise Bug(f"no setting is called {name!r}")

    return find
