"""The ways to the peers: by which interface, and how large a packet gets there, and comes back, whole."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from ocicat.errors import OcicatError
from ocicat.host.facts.echo import Echo
from ocicat.host.roles import Peer
from ocicat.model.base import Struct
from ocicat.netlink import inet, link, route
from ocicat.netlink.route import UNICAST
from ocicat.netlink.socket import RouteSocket

ETHERNET_BYTES = 1500
_SMALL_BYTES = 100
_LEAST_BYTES = 576  # that every host must take
_AT_ONCE = 16
_THREADS = 64
GATEWAY = "169.254.1.1"


class Path(Struct, frozen=True, kw_only=True):
    """`interface` "": there is no way. `alive`: it answers echoes; if not, nothing is known of its sizes.

    `mtu_bytes`: the interface's. `fits_bytes`: the largest packet that gets there whole, up to `mtu_bytes`. `takes_bytes`: the
    largest from there that was seen to arrive, of an ordinary Ethernet at most.
    """

    peer: Peer
    address: str
    interface: str = ""
    mtu_bytes: int = 0
    alive: bool = False
    fits_bytes: int = 0
    takes_bytes: int = 0


def look(peers: Iterable[tuple[Peer, str]]) -> tuple[Path, ...]:
    """Of peers and their addresses."""
    with ThreadPoolExecutor(_THREADS) as threads:
        return tuple(threads.map(_path, peers))


def gateway_way() -> str:
    """The interface by which this host would reach the containers' gateway; "" when there is none.

    The kernel answers a container that asks for its gateway only where it has a way to it by another interface.
    """
    return _way(GATEWAY)[0]


def _path(one: tuple[Peer, str]) -> Path:
    peer, address = one
    interface, mtu = _way(address)
    if not interface:
        return Path(peer=peer, address=address)
    with Echo(address) as echo:
        if not echo.answered([_SMALL_BYTES], whole=True):
            return Path(peer=peer, address=address, interface=interface, mtu_bytes=mtu)
        return Path(
            peer=peer,
            address=address,
            interface=interface,
            mtu_bytes=mtu,
            alive=True,
            fits_bytes=_fits(echo, mtu),
            takes_bytes=_takes(echo, mtu),
        )


def _way(address: str) -> tuple[str, int]:
    try:
        with RouteSocket() as kernel:
            found = kernel.get(route.get(inet.packed(address)))
            out = kernel.get(link.get(found.oif))
    except OcicatError:
        return "", 0
    return (out.name, out.mtu) if found.kind == UNICAST else ("", 0)


def _fits(echo: Echo, mtu: int) -> int:
    """Narrowed down from both sides, many sizes at a time."""
    if mtu <= _LEAST_BYTES or echo.answered([mtu], whole=True):
        return mtu
    fits, lost = _SMALL_BYTES, mtu
    while lost - fits > 1:
        step = max(1, (lost - fits) // (_AT_ONCE + 1))
        found = echo.answered(range(fits + step, lost, step), whole=True)
        larger = [size for size in range(fits + step, lost, step) if size not in found]
        fits = max(found, default=fits)
        lost = min((size for size in larger if size > fits), default=lost)
    return fits


def _takes(echo: Echo, mtu: int) -> int:
    """A peer answers in one piece if its own interface lets it, whatever pieces the question came in."""
    if mtu >= ETHERNET_BYTES or echo.answered([ETHERNET_BYTES], whole=False):
        return max(mtu, ETHERNET_BYTES)
    return mtu
