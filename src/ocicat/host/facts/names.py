"""How this host and its peers are called: what the resolver says of their names, and back from their addresses.

Promise: looks up all at once, and waits `PATIENCE_S` for the names, and as long for the addresses.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address
from typing import TypeVar

from ocicat.host.roles import Peer
from ocicat.model.base import Struct
from ocicat.netlink import address, inet
from ocicat.netlink.socket import RouteSocket

PATIENCE_S = 15.0

K = TypeVar("K")
V = TypeVar("V")


class Answer(Struct, frozen=True):
    """Of the resolver, about a name, without link-local addresses beside others. No address: it knows none, for this reason."""

    canonical: str = ""
    addresses: tuple[str, ...] = ()
    reason: str = ""


class Lookups(Struct, frozen=True):
    """`backward`: the name of each address that a name led to; "" when it has none."""

    forward: Mapping[str, Answer] = {}
    backward: Mapping[str, str] = {}

    def of(self, name: str) -> Answer:
        return self.forward.get(name, Answer())

    def back(self, text: str) -> str:
        return self.backward.get(text, "")


class Names(Struct, frozen=True, kw_only=True):
    """`host`: what the kernel calls this host. `own`: all addresses of its interfaces."""

    host: str
    own: frozenset[str] = frozenset()
    lookups: Lookups = Lookups()

    def address_of(self, peer: Peer) -> str:
        """Where it is reached: as given, else the first address of its name; "" when that is not known."""
        return peer.address or next(iter(self.lookups.of(peer.name).addresses), "")


def look(peers: Iterable[Peer]) -> Names:
    host = socket.gethostname()
    peers = tuple(peers)
    forward = _all_at_once(_forward, {host, *(peer.name for peer in peers if peer.name)}, Answer(reason="no answer"))
    found = {one for answer in forward.values() for one in answer.addresses} | {
        peer.address for peer in peers if peer.address
    }
    backward = _all_at_once(_backward, {one for one in found if not ip_address(one).is_loopback}, "")
    return Names(host=host, own=own_addresses(), lookups=Lookups(forward, backward))


def without_this_host(peers: Iterable[Peer]) -> tuple[Peer, ...]:
    """One line of --peer options may stand on all hosts: this host's own name at its own address is no peer of it."""
    own = own_addresses()
    return tuple(peer for peer in peers if not _is_this_host(peer, own))


def _is_this_host(peer: Peer, own: frozenset[str]) -> bool:
    if peer.address:
        return peer.address in own and (not peer.name or same(peer.name, socket.gethostname()))
    if not same(peer.name, socket.gethostname()):
        return False
    found = _forward(peer.name).addresses
    return any(text in own or ip_address(text).is_loopback for text in found)


def same(one: str, other: str) -> bool:
    """Two names of one host, either of which may lack the domain."""
    short, long = sorted((one.lower(), other.lower()), key=len)
    return long == short or long.startswith(f"{short}.")


def own_addresses() -> frozenset[str]:
    """Without those of loopback."""
    with RouteSocket() as kernel:
        found = [inet.text(each.address) for each in kernel.dump(address.dump())]
    return frozenset(text for text in found if not ip_address(text).is_loopback)


def _forward(name: str) -> Answer:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=socket.AI_CANONNAME)
    except (OSError, UnicodeError) as error:
        return Answer(reason=str(error.strerror or error) if isinstance(error, OSError) else "not a name")
    addresses = dict.fromkeys(str(one[4][0]).partition("%")[0] for one in found)
    global_ones = tuple(text for text in addresses if not ip_address(text).is_link_local)
    return Answer(found[0][3].rstrip(".").lower(), global_ones or tuple(addresses))


def _backward(text: str) -> str:
    try:
        name, _ = socket.getnameinfo((text, 0), socket.NI_NAMEREQD)
    except OSError:
        return ""
    return name.rstrip(".").lower()


def _all_at_once(ask: Callable[[K], V], keys: Iterable[K], silent: V) -> dict[K, V]:
    """A resolver cannot be told to stop: whoever is late is left behind in a thread that ends with the process."""
    answers: dict[K, V] = {}
    wanted = sorted(keys, key=str)

    def one(key: K) -> None:
        answers[key] = ask(key)

    threads = [threading.Thread(target=one, args=(key,), daemon=True) for key in wanted]
    for thread in threads:
        thread.start()
    end = time.monotonic() + PATIENCE_S
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return {key: answers.get(key, silent) for key in wanted}
