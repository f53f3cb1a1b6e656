"""Who has to read its files again after they have changed. Only those that run are told."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ocicat.errors import Refused
from ocicat.host.firewall import places
from ocicat.host.firewall.programs import attempt, output


class _Reload(NamedTuple):
    below: tuple[str, ...]
    argv: tuple[str, ...]
    running: str  # a path that is there while it runs; "" for firewalld: its rules are in force


_RELOADS = (
    _Reload(("/etc/firewalld/",), ("firewall-cmd", "--reload"), ""),
    _Reload(("/etc/systemd/system/",), ("systemctl", "daemon-reload"), "/run/systemd/system"),
    _Reload(
        ("/etc/systemd/network/", "/etc/systemd/networkd.conf.d/"),
        ("systemctl", "try-restart", "systemd-networkd"),
        "/run/systemd/netif",
    ),
    _Reload(("/etc/NetworkManager/",), ("nmcli", "general", "reload"), "/run/NetworkManager"),
)
_ASKED = (
    ("--list-all-zones",),
    ("--list-all-policies",),
    ("--get-ipsets",),
    ("--direct", "--get-all-chains"),
    ("--direct", "--get-all-rules"),
    ("--direct", "--get-all-passthroughs"),
)


def run(paths: Iterable[str]) -> None:
    """Refused when one fails."""
    changed = list(paths)
    for one in _RELOADS:
        if any(path.startswith(one.below) for path in changed) and _runs(one):
            output(one.argv)


def check(paths: Iterable[str]) -> None:
    """Refused when reading its files again would make firewalld forget what somebody has told it until then only."""
    if not any(path.startswith("/etc/firewalld/") for path in paths) or not _firewalld_rules():
        return
    check_runs()
    for what in _ASKED:
        if _lasting(output(["firewall-cmd", *what])) != _lasting(output(["firewall-cmd", "--permanent", *what])):
            raise Refused(
                "firewalld has rules that are not in its files, and would forget them",
                hint="firewall-cmd --runtime-to-permanent to keep them, or firewall-cmd --reload to drop them",
            )


def check_runs() -> None:
    """Refused where firewalld, whose rules are in force, does not run. Its program fails then."""
    if attempt(["firewall-cmd", "--state"]).strip() != "running":
        raise Refused("firewalld has rules in force and does not run", hint="systemctl restart firewalld, and again")


def _lasting(listing: str) -> list[str]:
    """Without what there is at run time only: which are active, and the interfaces that NetworkManager has put in."""
    lines = [line.replace(" (active)", "").rstrip() for line in listing.splitlines()]
    return [line for line in lines if not line.strip().startswith("interfaces:")]


def _firewalld_rules() -> bool:
    """In force: whether it runs or not."""
    return any(one.kind == "firewalld" for one in places.active())


def _runs(one: _Reload) -> bool:
    return Path(one.running).exists() if one.running else _firewalld_rules()
