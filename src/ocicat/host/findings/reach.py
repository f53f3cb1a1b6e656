"""Peers and their ports: what is filtered on the way there, and who does not answer at all. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from ocicat.changes.finding import Finding
from ocicat.host.facts.reach import Tried
from ocicat.host.roles import Asked, Peer

_FILTERED = ("silent", "unreachable")


def findings(asked: Asked, tried: Sequence[Tried], alive: Collection[Peer]) -> Iterator[Finding]:
    """`alive`: the peers that answer an echo."""
    for peer in asked.peers:
        mine = [one for one in tried if one.peer == peer]
        lost = [one for one in mine if one.outcome in _FILTERED]
        if lost and len(lost) == len(mine) and peer not in alive:
            yield _unreachable(peer, lost[0])
        elif lost:
            yield from (_filtered(one) for one in lost)
        if asked.up:
            yield from (_nobody(one) for one in mine if one.outcome == "refused")


def _unreachable(peer: Peer, one: Tried) -> Finding:
    return Finding(
        "peer",
        f"{peer} ({one.address}) is not reached at all: it is down, or there is no way, or a firewall drops everything",
        "this host and that one cannot be of one cluster",
        f"see whether {peer} runs, whether it has {one.address}, and what its firewall says",
    )


def _filtered(one: Tried) -> Finding:
    how = "does not answer" if one.outcome == "silent" else "is said to be unreachable"
    return Finding(
        "port",
        f"{one.opening} of {one.peer} ({one.address}) {how}: a firewall on the way drops it",
        f"this host does not reach {one.opening.service} there",
        f"on {one.peer} run `ocicat host prepare` with this host as --peer, or open {one.opening} for it",
    )


def _nobody(one: Tried) -> Finding:
    return Finding(
        "service",
        f"nobody listens at {one.opening} of {one.peer} ({one.address})",
        f"{one.opening.service} does not run there, and it is meant to",
        f"start it on {one.peer}",
    )


def silent_services(tried: Sequence[Tried]) -> list[str]:
    """Where nobody listens yet, a line for each peer: fit for it, and so not wrong by itself."""
    by_peer: dict[str, list[str]] = {}
    for one in tried:
        if one.outcome == "refused":
            by_peer.setdefault(str(one.peer), []).append(str(one.opening))
    return [f"{', '.join(openings)} of {peer}" for peer, openings in by_peer.items()]
