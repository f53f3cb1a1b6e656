"""The MTU of the interfaces that lead to the peers: at once, and after each boot, by whom the link is configured. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ocicat.changes.files import Item, State
from ocicat.changes.settings import Wish
from ocicat.host.facts.settings import HEAD
from ocicat.host.prepare import Planned
from ocicat.host.preparing.boot import Command
from ocicat.model.base import Struct


class Link(Struct, frozen=True):
    """`mtu`: in bytes, without anything of ours. `network_file`: of networkd, that configures it; "" when it does not."""

    name: str
    mtu: int
    network_file: str = ""
    networkmanager: bool = False


def plan(links: Sequence[Link], mtu: int) -> tuple[Planned, tuple[Command, ...]]:
    """And what has to be done at each boot, where nobody configures the link whose files are known here. 0: as it is."""
    small = [link for link in links if mtu and link.mtu < mtu]
    items = [item for link in small if (item := _item(link, mtu))]
    commands = [_command(link, mtu) for link in small if not _item(link, mtu)]
    return Planned(tuple(items), tuple(Wish(f"mtu {link.name}", str(mtu)) for link in small)), tuple(commands)


def _item(link: Link, mtu: int) -> Item | None:
    if link.network_file:
        file = link.network_file.rpartition("/")[2]
        path = f"/etc/systemd/network/{file}.d/90-ocicat-mtu.conf"
        return Item(path, State("file", f"{HEAD}[Link]\nMTUBytes={mtu}\n".encode()))
    if link.networkmanager:
        path = f"/etc/NetworkManager/conf.d/91-ocicat-mtu-{link.name}.conf"
        text = f"[connection-ocicat-{link.name}]\nmatch-device=interface-name:{link.name}\nethernet.mtu={mtu}\n"
        return Item(path, State("file", (HEAD + text).encode()))
    return None


def _command(link: Link, mtu: int) -> Command:
    return Command(f"ip link set dev {link.name} mtu {mtu}")
