"""All that makes this host fit for what was asked: looked up, put together, and nothing changed."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence

from ocicat.changes import settings
from ocicat.changes.files import Tree
from ocicat.changes.finding import Finding
from ocicat.errors import UserError
from ocicat.host import ports, sessions, sysctls
from ocicat.host.changing.routes import Routes
from ocicat.host.changing.units import Unit
from ocicat.host.facts.names import Names
from ocicat.host.facts.others import BIRD, CALICO, CALICO_CHAINS
from ocicat.host.facts.settings import Later
from ocicat.host.findings import every
from ocicat.host.findings import names as naming
from ocicat.host.firewall import places, rehearsal
from ocicat.host.firewall.letting import Allowed, Letting
from ocicat.host.firewall.programs import present
from ocicat.host.look import Facts, look
from ocicat.host.prepare import Planned
from ocicat.host.preparing import asking, boot, clock, firewalls, kernel, links, managers, names
from ocicat.host.preparing.links import Link
from ocicat.host.preparing.names import Host
from ocicat.host.roles import Asked
from ocicat.model.base import Struct, replace

_OWN_NAME = frozenset({"name", "name-loopback", "fqdn", "name-elsewhere", "name-back"})
_MENDED = frozenset({"firewall", "forward", "sysctl", "sysctl-file", "networkmanager", "networkd", "networkd-links",
    "mtu-interface", "time-daemon", "calico-links", "calico-chains", "leftover-routes",
})  # fmt: skip
_NAMES = _OWN_NAME | {"host-name", "peer-name", "peer-name-back"}
_ETHERNET_BYTES = 1500
_RISKY = (
    "rules ", "lines ", "mtu ", "chains ", "sets ", "routes ", "interface ", "sysctl net.ipv6.conf.",
    "/etc/firewalld/", "/etc/systemd/network/", "/etc/NetworkManager/",
)  # fmt: skip


class Options(Struct, frozen=True):
    """`host_name` "": it keeps its own."""

    host_name: str = ""
    remove_leftovers: bool = False


class Plan(Struct, frozen=True):
    """`step_s`: by how much the clock is to be put forward; 0: it is near enough, or nobody told.

    `left`: what is wrong, and is not for a program to mend.
    """

    planned: Planned
    sessions: tuple[sessions.Session, ...] = ()
    step_s: float = 0.0
    left: tuple[Finding, ...] = ()


def plan(tree: Tree, asked: Asked, options: Options) -> Plan:
    """Refused: it cannot be looked up, or rules of ours would not be enough. UserError: a name that is none."""
    facts = look(tree, asked, firewalls=False)
    done = settings.load(tree)
    known = {entry.name: entry for entry in done.entries}
    on_host = sessions.look()
    remove = options.remove_leftovers or _removed(known)
    left = _leftovers(asked, facts, known)
    going = CALICO_CHAINS if remove and left else ()
    rules, at_boot = _firewalls(tree, asked, facts.names, on_host, going)
    mtu, at_boot_mtu = _links(tree, asked, facts, known)
    commands = (*at_boot, *at_boot_mtu)
    systemd = tree.is_directory("/etc/systemd/system")
    called = options.host_name or _after(known, "hostname")
    wanted = _hosts(asked, facts.names, called, names.names_in(_block(tree)))
    parts = [
        rules,
        _kernel(tree, asked, facts, known),
        _names(tree, called, wanted),
        mtu,
        managers.plan(facts.others, left, remove=remove),
        _clock(facts, known),
        Planned(
            boot.items(commands, systemd=systemd),
            remarks=boot.remarks(commands, systemd=systemd),
            forgotten=_taken_over(asked, facts, known),
        ),
    ]
    return Plan(
        _joined(parts), tuple(on_host), clock.behind_s(facts.clock.skews), tuple(_left(asked, facts, called, wanted))
    )


def _joined(parts: Sequence[Planned]) -> Planned:
    return Planned(
        tuple(item for part in parts for item in part.items),
        tuple(wish for part in parts for wish in part.wishes),
        tuple(remark for part in parts for remark in part.remarks),
        tuple(name for part in parts for name in part.forgotten),
    )


def _firewalls(
    tree: Tree, asked: Asked, called: Names, on_host: Sequence[sessions.Session], going: Sequence[str]
) -> tuple[Planned, tuple[boot.Command, ...]]:
    peers = [
        Allowed(one.opening, tuple(address for peer in one.peers if (address := called.address_of(peer))))
        for one in ports.wanted(asked)
    ]
    allowed = tuple(one for one in peers if one.sources)
    wanted = Letting(allowed, asked.runs_containers, ports.contained(asked), asked.ipv6)
    if not places.active():
        return Planned(remarks=("no firewall is active on this host: nothing is opened",)), ()
    guarded = replace(wanted, allowed=(*sessions.allowed(on_host), *wanted.allowed))
    needs = asking.needs(tree, guarded, going)
    asking.check(needs, guarded, going)
    return firewalls.plan(needs)


def _kernel(tree: Tree, asked: Asked, facts: Facts, known: dict[str, settings.Entry]) -> Planned:
    """Before anything of ours: as recorded, where we have changed it."""
    was = {
        name: _before(known, f"sysctl {name}", now).partition(" with ")[0] for name, now in facts.settings.now.items()
    }
    later = dict(facts.settings.theirs)
    for entry in known.values():
        kind, _, rest = entry.name.partition(" ")
        path, _, name = rest.partition(" ")
        if kind == "line" and path == "/etc/sysctl.conf":
            later[name] = Later((entry.before or "").partition("=")[2].strip(), path)
    listening = {*facts.advertised, *(sysctls.listening(known) if asked.ipv6 else ())} if asked.runs_containers else ()
    return kernel.plan(
        sysctls.wants(asked),
        was,
        later,
        systemd=facts.settings.theirs_systemd,
        loadable=tree.at("/sys/module/nf_conntrack/initstate").exists(),
        advertised=listening,
    )


def _before(known: dict[str, settings.Entry], name: str, now: str) -> str:
    entry = known.get(name)
    return entry.before if entry and entry.before is not None else now


def _names(tree: Tree, called: str, wanted: Sequence[Host]) -> Planned:
    if called and not names.is_name(called):
        raise UserError(
            f"--hostname {called!r} is no name of a host", hint="lower-case letters, digits, - and dots: h1.example.com"
        )
    hosts = names.hosts(wanted, names.without_ours(tree.text(names.HOSTS), _block(tree)))
    return _joined([hosts, names.called(called)] if called else [hosts])


def _block(tree: Tree) -> str:
    """Of ours, in the file of names."""
    found = tree.state(names.HOSTS, block=True)
    return found.content.decode(errors="replace") if found else ""


def _hosts(asked: Asked, found: Names, called: str, ours: frozenset[str]) -> list[Host]:
    """Those that nothing but the file of ours names rightly. Not one that has no name of its own."""
    wrong = {one.about for one in naming.findings(Asked(roles=asked.roles), found)}
    own = Host(called or names.announced(found), _own_address(asked, found))
    is_one = bool(own.address and own.name not in names.NOBODY and (called or "host-name" not in wrong))
    wanted = [own] if is_one and (wrong & _OWN_NAME or called or own.name in ours) else []
    for peer in asked.peers:
        bad = any(
            True
            for _ in naming.findings(Asked(roles=asked.roles, peers=(peer,)), found)
            if _.about.startswith("peer-name")
        )
        if peer.name and peer.name not in names.NOBODY and peer.address and (bad or peer.name in ours):
            wanted.append(Host(peer.name, peer.address))
    return wanted


def _own_address(asked: Asked, found: Names) -> str:
    """By which the peers know it; without peers, by which it would go out."""
    ways = rehearsal.ways(address for peer in asked.peers if (address := found.address_of(peer)))
    way = ways[0] if ways else rehearsal.anywhere()
    return way.host if way else ""


def _after(known: dict[str, settings.Entry], name: str) -> str:
    entry = known.get(name)
    return (entry.after if entry else "") or ""


def _links(
    tree: Tree, asked: Asked, facts: Facts, known: dict[str, settings.Entry]
) -> tuple[Planned, tuple[boot.Command, ...]]:
    """To what was asked for, or had been; to what the peers send."""
    found = {path.interface: path for path in facts.paths if path.interface}
    small = any(path.alive and path.takes_bytes < _ETHERNET_BYTES for path in found.values())
    earlier = max((int(_after(known, f"mtu {name}") or 0) for name in found), default=0)
    wanted = asked.mtu or earlier or (_ETHERNET_BYTES if small else 0)
    all_of_them = [
        Link(
            name,
            int(_before(known, f"mtu {name}", str(path.mtu_bytes))),
            _network_file(tree, name),
            facts.others.networkmanager is not None,
        )
        for name, path in sorted(found.items())
    ]
    return links.plan(all_of_them, wanted)


def _network_file(tree: Tree, name: str) -> str:
    """By which networkd configures it: as it says itself."""
    try:
        index = socket.if_nametoindex(name)
    except OSError:
        return ""
    lines = tree.text(f"/run/systemd/netif/links/{index}").splitlines()
    return next((line.partition("=")[2] for line in lines if line.startswith("NETWORK_FILE=")), "")


def _leftovers(asked: Asked, facts: Facts, known: dict[str, settings.Entry]) -> managers.Leftovers:
    theirs = [CALICO] if _bird_is_used(asked, facts) or facts.others.calico_runs else [CALICO, BIRD]
    there = [str(one) for one in theirs if facts.others.routes.get(one)]
    routes = [f"routes {family} {one}" for one in there for family in "46" if Routes(family, one).read()]
    taken = _taken_over(asked, facts, known)
    return managers.leftovers(facts.others, [name for name in known if name not in taken], routes)


def _bird_is_used(asked: Asked, facts: Facts) -> bool:
    return facts.others.bird_runs or "bgp" in asked.routings


def _taken_over(asked: Asked, facts: Facts, known: Iterable[str]) -> tuple[str, ...]:
    """Leftovers that an earlier run has removed, and whose like is in use by now: to remove those that are there would cut off."""
    if not _bird_is_used(asked, facts):
        return ()
    return tuple(name for name in known if name.startswith("routes ") and name.endswith(f" {BIRD}"))


def _removed(known: dict[str, settings.Entry]) -> bool:
    """An earlier run was told to: that is kept until `undo`."""
    return any(name.startswith(("chains ", "sets ", "routes ", "interface ")) for name in known)


def _clock(facts: Facts, known: dict[str, settings.Entry]) -> Planned:
    """One that an earlier run has started and that does not run cannot run here: most time daemons do not in a container."""
    found = {unit: Unit(unit).read() for unit in clock.DAEMONS} if present("systemctl") else {}
    active = [unit for unit, state in found.items() if state and state.endswith(", active")]
    ours = [name.partition(" ")[2] for name in known if name.startswith("unit ")]
    kept = [unit for unit in ours if unit in active]
    installed = kept or [unit for unit, state in found.items() if state and unit not in ours]
    running = [unit for unit in active if unit not in ours]
    return clock.plan(installed, running, disciplined=facts.clock.disciplined and not kept)


def _left(asked: Asked, facts: Facts, called: str, wanted: Iterable[Host]) -> Iterable[Finding]:
    """What is found, and not about to be mended."""
    unnamed = set(_unnamed(asked, facts.names, called, {one.name for one in wanted}))
    mended = {*_MENDED, *(("duplicate-name",) if called else ()), *(("accept-ra",) if asked.runs_containers else ())}
    for one in every.findings(asked, facts):
        if one.about not in mended and (one.about not in _NAMES or one in unnamed):
            yield one


def _unnamed(asked: Asked, found: Names, called: str, wanted: set[str]) -> Iterable[Finding]:
    """About names that nothing here mends: those that nobody has given, or whose address nobody has."""
    if not called:
        yield from (one for one in naming.findings(asked, found) if one.about == "host-name")
    if (called or names.announced(found)) not in wanted:
        yield from (one for one in naming.findings(asked, found) if one.about in _OWN_NAME)
    rest = tuple(peer for peer in asked.peers if peer.name not in wanted)
    others = naming.findings(Asked(roles=asked.roles, peers=rest), found)
    yield from (one for one in others if one.about.startswith("peer-name"))


def may_cut_off(changed: Iterable[str]) -> bool:
    """Names of settings and paths: whether some are about firewalls, routes and links."""
    return any(one.startswith(_RISKY) for one in changed)
