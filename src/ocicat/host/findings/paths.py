"""Sizes of packets: where a large one is lost on the way to a peer, or on the way back. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ocicat.changes.finding import Finding
from ocicat.host.facts.paths import ETHERNET_BYTES, GATEWAY, Path
from ocicat.host.roles import Asked, overhead_bytes

_IPV6_LEAST = 1280
_HANGS = "connections hang as soon as they carry more than a few bytes"


def findings(asked: Asked, paths: Sequence[Path], agent_mtu: int | None, gateway: str) -> Iterator[Finding]:
    """`agent_mtu`: what the ocicat agent of this host was told; 0: nothing; None: none runs here. `gateway`: by which interface
    this host would reach that of the containers."""
    if asked.runs_containers and not gateway:
        yield Finding(
            "gateway-route",
            f"this host has no route by which it would reach {GATEWAY}, and so no default route",
            "the kernel does not answer a container that asks for its gateway: containers reach nobody",
            f"ip route add {GATEWAY}/32 dev lo, or give this host a default route; and the same where it is configured",
        )
    known = [path for path in paths if path.interface]
    for path in known:
        yield from _path(asked, path)
    yield from _uneven(known)
    if asked.runs_containers:
        yield from _containers(asked, known, agent_mtu)


def container_mtu(asked: Asked, paths: Sequence[Path]) -> int:
    """The largest that gets to every peer by every routing asked for, in bytes; 0: not known."""
    fitting = [path.fits_bytes if path.alive else path.mtu_bytes for path in paths if path.interface]
    most = max(
        (overhead_bytes(routing, ipv6=any(":" in p.address for p in paths)) for routing in asked.routings), default=0
    )
    return min(fitting) - most if fitting else 0


def _path(asked: Asked, path: Path) -> Iterator[Finding]:
    if path.mtu_bytes < asked.mtu:
        yield _small(path, f"the network between the hosts has {asked.mtu}", asked.mtu)
    elif path.takes_bytes < ETHERNET_BYTES and path.alive:
        yield _small(
            path, f"{path.peer} sends packets of up to {ETHERNET_BYTES} bytes, and they do not arrive", ETHERNET_BYTES
        )
    if path.alive and path.fits_bytes < path.mtu_bytes:
        yield Finding(
            "mtu",
            f"{path.interface} sends packets of up to {path.mtu_bytes} bytes, of which {path.fits_bytes} get to {path.peer}",
            f"between containers of this host and of {path.peer} {_HANGS}",
            f"set the MTU of {path.interface} to {path.fits_bytes}, or find what on the way has the smaller one",
        )


def _small(path: Path, reason: str, wanted: int) -> Finding:
    return Finding(
        "mtu-interface",
        f"the MTU of {path.interface}, which leads to {path.peer}, is {path.mtu_bytes}: {reason}",
        f"large packets from {path.peer} are lost: {_HANGS}",
        f"ip link set {path.interface} mtu {wanted}, and the same where this host configures it",
    )


def _uneven(paths: Sequence[Path]) -> Iterator[Finding]:
    found = {path.interface: path.mtu_bytes for path in paths}
    if len(set(found.values())) > 1:
        said = ", ".join(f"{name} {mtu}" for name, mtu in sorted(found.items()))
        yield Finding(
            "mtu-uneven",
            f"the interfaces that lead to the peers have different MTUs: {said}",
            f"containers get that of one of them; to the peers behind the smaller one {_HANGS}",
            f"start the ocicat agent with --mtu {min(found.values())}",
        )


def _containers(asked: Asked, paths: Sequence[Path], agent_mtu: int | None) -> Iterator[Finding]:
    fits = container_mtu(asked, paths)
    given = agent_mtu or min((path.mtu_bytes for path in paths), default=0)
    if not fits:
        return
    if agent_mtu is not None and given > fits:
        carried = " and ".join(asked.routings)
        yield Finding(
            "mtu-containers",
            f"containers get an MTU of {given}, and {fits} get to all peers with routing {carried}",
            f"between containers of different hosts {_HANGS}",
            f"start the ocicat agent with --mtu {fits}",
        )
    if asked.ipv6 and fits < _IPV6_LEAST:
        yield Finding(
            "mtu-ipv6",
            f"packets of {fits} bytes get from container to container",
            f"IPv6 needs {_IPV6_LEAST}: containers have none",
            "use a routing that adds less to a packet, or a network with a larger MTU",
        )
