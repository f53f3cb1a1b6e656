"""Kernel settings: at once, and after each boot. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ocicat.changes.files import Item, State
from ocicat.changes.settings import Wish
from ocicat.host.facts.settings import DIRECTORY, HEAD, OURS, Later
from ocicat.host.prepare import Planned
from ocicat.host.sysctls import Want, accept_ra

SYSCTLS = f"{DIRECTORY}/99-{OURS}"  # after 99-sysctl.conf, by which Debian has /etc/sysctl.conf read at boot
MODULES = "/etc/modules-load.d/ocicat.conf"
_LAST = "/etc/sysctl.conf"  # of `sysctl --system` it is the last
_CONNTRACK = "nf_conntrack"


def plan(
    wants: Iterable[Want],
    before: Mapping[str, str],
    later: Mapping[str, Later],
    *,
    loadable: bool,
    systemd: Mapping[str, Later] = {},
    advertised: Iterable[str] = (),
) -> Planned:
    """`before`: the values without anything of ours; what is not there cannot be set. `later`: what files of others set at boot;
    `systemd`: what those of them do that are read in the order of their names.

    `loadable`: connection tracking is a module, whose settings are there only once it is loaded. `advertised`: interfaces whose
    IPv6 default route is a router's, which the kernel drops on forwarding unless it is told first that it shall not.
    """
    listening = [accept_ra(name) for name in sorted(advertised)]
    settable = [want for want in wants if want.name in before]
    mine = [want for want in settable if not (want.least and _is_enough(want, before, later, systemd))]
    if not mine and not listening:
        return Planned()
    path, after = _place([*listening, *mine], systemd)
    text = f"{HEAD}{after}{_sysctls(mine, listening, before)}"
    items = [Item(path, State("file", text.encode()))]
    if loadable and any(_CONNTRACK in want.name for want in mine):
        items.append(Item(MODULES, State("file", f"{HEAD}{_CONNTRACK}\n".encode())))
    against = [want.name for want in (*listening, *mine) if _is_against(want, later) and later[want.name].path == _LAST]
    off = [Wish(f"line {_LAST} {name}", "") for name in against]
    unmet = [want for want in mine if not want.is_met(before[want.name])]
    first = [Wish(f"sysctl {want.name}", want.value) for want in listening]
    return Planned(tuple(items), (*first, *(Wish(f"sysctl {want.name}", want.value) for want in unmet), *off))


def _is_enough(want: Want, before: Mapping[str, str], *files: Mapping[str, Later]) -> bool:
    """As much as is wanted, or more, now and by whatever reads the files: less would take something away."""
    return want.is_met(before[want.name]) and not any(_is_against(want, later) for later in files)


def _is_against(want: Want, later: Mapping[str, Later]) -> bool:
    return want.name in later and not want.is_met(later[want.name].value)


def _place(mine: Iterable[Want], later: Mapping[str, Later]) -> tuple[str, str]:
    """The file of ours, and why it has that name: the order is that of the names, whatever the directory."""
    contrary = (later[want.name] for want in mine if _is_against(want, later))
    last = max((one.path.rpartition("/")[2] for one in contrary), default="")
    if last < SYSCTLS.rpartition("/")[2]:
        return SYSCTLS, ""
    said = f"# Files are read in the order of their names: this one has to come after {last}, which says otherwise.\n"
    return f"{DIRECTORY}/{last.removesuffix('.conf')}{OURS}", said


def _sysctls(wants: Iterable[Want], listening: Iterable[Want], before: Mapping[str, str]) -> str:
    """Of an interface that is not there yet at a boot, systemd-sysctl is asked again by udev when it comes."""
    first = [f"{want.name} = {want.value}\n" for want in listening]
    return "".join((*first, *(f"{want.name} = {_value(want, before[want.name])}\n" for want in wants)))


def _value(want: Want, before: str) -> str:
    """What is more than enough stays so."""
    return before if want.least and want.is_met(before) else want.value
