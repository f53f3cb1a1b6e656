"""What must be done anew at each boot, for which no file of others is there: a script, and a unit that runs it. Pure.

The script needs no ocicat, may be run at any time, and does nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ocicat.changes.files import Item, State
from ocicat.host.firewall.letting import MARK
from ocicat.host.firewall.places import Place
from ocicat.model.base import Struct

SCRIPT = "/etc/ocicat/host-boot"
UNIT = "/etc/systemd/system/ocicat-host.service"
_WANTED = "/etc/systemd/system/multi-user.target.wants/ocicat-host.service"

_UNIT = f"""[Unit]
Description=ocicat: this host's rules and links, as ocicat host prepare has set them
Documentation=file:{SCRIPT}
After=network.target nftables.service netfilter-persistent.service iptables.service ip6tables.service ufw.service docker.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={SCRIPT}

[Install]
WantedBy=multi-user.target
"""
_HEAD = """#!/bin/sh
# Written by `ocicat host prepare`, taken back by `ocicat host undo`. It may be run at any time: what is there already stays.
failed=0
"""
_TAIL = "exit $failed\n"


class Command(Struct, frozen=True):
    """Of the shell. `unless`: it is needed only where that one fails."""

    text: str
    unless: str = ""


def items(commands: Sequence[Command], *, systemd: bool) -> tuple[Item, ...]:
    """None where there is nothing to do."""
    if not commands:
        return ()
    script = Item(SCRIPT, State("file", _script(commands).encode(), 0o755))
    if not systemd:
        return (script,)
    return (script, Item(UNIT, State("file", _UNIT.encode())), Item(_WANTED, State("link", UNIT.encode())))


def remarks(commands: Sequence[Command], *, systemd: bool) -> tuple[str, ...]:
    if not commands or systemd:
        return ()
    return (f"there is no systemd on this host: let what starts it run {SCRIPT}, after its firewall",)


def chain_commands(place: Place, chain: str, rules: Sequence[str]) -> Iterable[Command]:
    if not place.program:
        where = f"{place.family} {place.table} {chain}"
        inserted = "\n".join(f"insert rule {where} {rule}" for rule in reversed(rules))
        yield Command(f"nft -f - <<'END'\n{inserted}\nEND", unless=f"nft list chain {where} | grep -q {MARK}")
        return
    program = f"{place.program} -w"
    if chain.startswith("DOCKER"):
        yield Command(f"{program} -N {chain}", unless=f"{program} -L {chain} -n >/dev/null 2>&1")
    for rule in reversed(rules):
        yield Command(f"{program} -I {chain} {rule}", unless=f"{program} -C {chain} {rule} 2>/dev/null")


def _script(commands: Sequence[Command]) -> str:
    return _HEAD + "".join(map(_lines, commands)) + _TAIL


def _lines(command: Command) -> str:
    if not command.unless:
        return f"{command.text} || failed=1\n"
    first, newline, rest = command.text.partition("\n")
    return f"{command.unless} || {first} || failed=1{newline}{rest}\n"
