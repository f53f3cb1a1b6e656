"""Traces of other network systems on this host: interfaces, routes, chains, plugins' files, and what manages the links."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from ocicat.changes.files import Tree
from ocicat.errors import OcicatError
from ocicat.host.facts.processes import Process
from ocicat.host.firewall import ipsets, saved
from ocicat.host.firewall.programs import attempt
from ocicat.model.base import Struct, field
from ocicat.model.codec import decode_json
from ocicat.netlink import link, route
from ocicat.netlink.inet import INET, INET6
from ocicat.netlink.socket import RouteSocket

BIRD, CALICO = 12, 80  # the protocol numbers of their routes
CALICO_LINKS = ("cali", "vxlan.calico", "vxlan-v6.calico", "wireguard.cali", "wg-v6.cali")
CALICO_CHAINS = ("cali-", "felix-")  # Felix since version 2, and before
CALICO_SETS = ("cali4", "cali6", "felix-")
CNI = "/etc/cni/net.d"
_CALICO_PROGRAMS = ("calico-felix", "calico-node", "felix")
_BIRD_PROGRAMS = ("bird", "bird6", "calico-node")
_IPTABLES = ("iptables-legacy-save", "ip6tables-legacy-save")
_RULES = ("/etc/iptables/rules.v4", "/etc/iptables/rules.v6", "/etc/sysconfig/iptables", "/etc/sysconfig/ip6tables")
_ENABLED = "/etc/systemd/system/multi-user.target.wants"
NETWORKMANAGER_MAIN = "/etc/NetworkManager/NetworkManager.conf"
_NETWORKMANAGER_DIRECTORIES = tuple(f"{base}/NetworkManager/conf.d" for base in ("/etc", "/run", "/usr/lib"))
_NETWORK_DIRECTORIES = (
    "/etc/systemd/network",
    "/run/systemd/network",
    "/usr/lib/systemd/network",
    "/lib/systemd/network",
)


class Plugin(Struct, frozen=True):
    """A network of another CNI plugin. `type`: of the first that speaks for it."""

    path: str
    type: str


class Text(Struct, frozen=True):
    """A file that some program reads."""

    path: str
    text: str


class Use(Struct, frozen=True):
    """A set of addresses of Calico's, and what else uses it."""

    by: str
    set: str


class Others(Struct, frozen=True, kw_only=True):
    """`routes`: how many, by protocol number, in the main table. `sets`: of addresses, by name; `foreign_uses`:
    which of them something uses that is not Calico's. `kept_rules`: files that bring
    Calico's chains back at a boot. `networkd`, `networkmanager`: their files, in the order in which
    they are read; None where they neither run nor will after a boot. `links`: of networkd, by precedence."""

    calico_runs: bool = False
    bird_runs: bool = False
    interfaces: tuple[str, ...] = ()
    routes: Mapping[int, int] = {}
    chains: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    foreign_uses: tuple[Use, ...] = ()
    kept_rules: tuple[str, ...] = ()
    plugins: tuple[Plugin, ...] = ()
    networkmanager: tuple[Text, ...] | None = None
    networkd: tuple[Text, ...] | None = None
    links: tuple[Text, ...] = ()


def look(tree: Tree, running: Iterable[Process]) -> Others:
    processes = tuple(running)

    def runs(*names: str) -> bool:
        return any(one.is_called(*names) for one in processes)

    def manages(program: str, unit: str) -> bool:
        return runs(program) or tree.state(f"{_ENABLED}/{unit}.service") is not None

    with RouteSocket() as kernel:
        interfaces = tuple(one.name for one in kernel.dump(link.dump()))
        routes = [each for family in (INET, INET6) for each in kernel.dump(route.dump(family, table=route.MAIN))]
    return Others(
        calico_runs=runs(*_CALICO_PROGRAMS),
        bird_runs=runs(*_BIRD_PROGRAMS),
        interfaces=interfaces,
        routes=Counter(each.protocol for each in routes),
        chains=_chains(),
        sets=(sets := _sets()),
        foreign_uses=tuple(_foreign_uses()) if sets else (),
        kept_rules=tuple(path for path in _RULES if any(f"\n:{one}" in tree.text(path) for one in CALICO_CHAINS)),
        plugins=tuple(_plugins(tree)),
        networkmanager=networkmanager(tree) if manages("NetworkManager", "NetworkManager") else None,
        networkd=_networkd(tree) if manages("systemd-networkd", "systemd-networkd") else None,
        links=_by_name(tree, _NETWORK_DIRECTORIES, ".network"),
    )


class _NftChain(Struct, frozen=True):
    family: str
    table: str
    name: str


class _NftObject(Struct, frozen=True):
    chain: _NftChain | None = None


class _NftListing(Struct, frozen=True):
    objects: tuple[_NftObject, ...] = field(default=(), name="nftables")


def _chains() -> tuple[str, ...]:
    """Calico's, wherever they are. Legacy tables are asked for only where they are loaded: asking would load them."""
    listing = attempt(["nft", "-j", "list", "chains"])
    objects = decode_json(_NftListing, listing, what="nft").objects if listing else ()
    named = (one.chain for one in objects if one.chain and one.chain.name.startswith(CALICO_CHAINS))
    found = [f"{chain.family} {chain.table} {chain.name}" for chain in named]
    for program in _IPTABLES:
        names = (line[1:].split()[0] for line in attempt([program]).splitlines() if line.startswith(":"))
        found += [f"{program.removesuffix('-save')} {name}" for name in names if name.startswith(CALICO_CHAINS)]
    return tuple(found)


def _sets() -> tuple[str, ...]:
    return tuple(name for name in attempt(["ipset", "-n", "list"]).split() if name.startswith(CALICO_SETS))


def _foreign_uses() -> Iterable[Use]:
    rules = {
        program.removesuffix("-save"): attempt([program])
        for program in (*_IPTABLES, *(one.replace("legacy", "nft") for one in _IPTABLES))
    }
    return foreign_uses(rules, attempt(["ipset", "save"]), attempt(["ipset", "list", "-terse"]))


def foreign_uses(rules: Mapping[str, str], sets: str, listed: str) -> Iterable[Use]:
    """`rules`: of each program, what its `-save` prints; `sets`, `listed`: `ipset save` and `ipset list -terse`. Pure."""
    found = [
        Use(f"{program}: a rule that is not Calico's", name)
        for program, text in rules.items()
        for name in saved.sets(saved.without(text, CALICO_CHAINS))
    ]
    lists = list(ipsets.memberships(sets))
    found += [Use(f"ipset: the list {name}", one) for name, one in lists if _kind(name) != _kind(one)]
    uses = [name for text in rules.values() for name in saved.sets(text).elements()]
    unknown = ipsets.used_by_others(listed, (*uses, *(one for _, one in lists)))
    found += [Use("something that is neither a rule of iptables nor a list of sets", name) for name in unknown]
    return (one for one in found if _kind(one.set))


def _kind(name: str) -> str:
    """Those of one kind go together."""
    return next((prefix for prefix in CALICO_SETS if name.startswith(prefix)), "")


class _CniPlugin(Struct, frozen=True):
    type: str = ""


class _CniFile(Struct, frozen=True):
    type: str = ""
    plugins: tuple[_CniPlugin, ...] = ()


def _plugins(tree: Tree) -> Iterable[Plugin]:
    for name in tree.names(CNI):
        if name.endswith((".conf", ".conflist", ".json")):
            try:
                found = decode_json(_CniFile, tree.text(f"{CNI}/{name}"))
            except OcicatError:
                continue  # `mesos check` tells of files that nobody can read
            kind = found.type or next((one.type for one in found.plugins), "")
            yield Plugin(f"{CNI}/{name}", kind)


def networkmanager(tree: Tree) -> tuple[Text, ...]:
    """As NetworkManager.conf(5) has it: all that is not in /etc before its main file."""
    etc, run, lib = _NETWORKMANAGER_DIRECTORIES
    order = (lib, run, NETWORKMANAGER_MAIN, etc)
    found = _by_name(tree, _NETWORKMANAGER_DIRECTORIES, ".conf")
    every = (Text(NETWORKMANAGER_MAIN, tree.text(NETWORKMANAGER_MAIN)), *found)
    return tuple(file for place in order for file in every if file.path.startswith(place))


def _networkd(tree: Tree) -> tuple[Text, ...]:
    main = "/etc/systemd/networkd.conf"
    directories = [f"{base}/systemd/networkd.conf.d" for base in ("/etc", "/run", "/usr/lib", "/lib")]
    return (Text(main, tree.text(main)), *_by_name(tree, directories, ".conf"))


def _by_name(tree: Tree, directories: Iterable[str], suffix: str) -> tuple[Text, ...]:
    """Sorted by file name; a name in an earlier directory hides it in the later ones."""
    files: dict[str, str] = {}
    for directory in directories:
        for name in tree.names(directory):
            if name.endswith(suffix):
                files.setdefault(name, f"{directory}/{name}")
    return tuple(Text(files[name], tree.text(files[name])) for name in sorted(files))
