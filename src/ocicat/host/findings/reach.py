"""Peers and their ports: what is filtered on the way there, and who does not answer at all. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from ocicat.changes.finding import Finding
from ocicat.host.facts.reach import Tried
from ocicat.host.roles import Asked, Peer

_FILTERED = {
    "silent": "does not answer: a firewall on the way drops it",
    "unreachable": "is said to be unreachable: a firewall on the way drops it",
    "rejected": "is refused by a firewall: it answers that the port is unreachable",
}


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
    return Finding(
        "port",
        f"{one.opening} of {one.peer} ({one.address}) {_FILTERED[one.outcome]}",
        f"this host does not reach {one.opening.service} there",
        f"on {one.peer} run `ocicat host prepare` with this host as --peer, or open {one.opening} for it",
    )


def _nobody(one: Tried) -> Finding:
    return Finding(
        "service",
        f"nobody listens at {one.opening} of {one.peer} ({one.address})",
        f"{one.opening.service} does not run there, and it is meant to; or a firewall answers with a reset",
        f"start it on {one.peer}; if it runs there, see what its firewall rejects",
    )


def silent_services(tried: Sequence[Tried]) -> list[str]:
    """Where nobody listens yet, as far as can be told; a line for each peer. That is not wrong by itself."""
    by_peer: dict[str, list[str]] = {}
    for one in tried:
        if one.outcome == "refused":
            by_peer.setdefault(str(one.peer), []).append(str(one.opening))
    return [f"{', '.join(openings)} of {peer}" for peer, openings in by_peer.items()]
