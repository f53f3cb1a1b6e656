"""What firewalls of this host keep from its peers, or from its containers. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from ocicat.changes.finding import Finding
from ocicat.host.firewall.blocked import CONTAINERS, Blocked

_PREPARE = "`ocicat host prepare` with the same options lets them through"


def findings(blocked: Sequence[Blocked], unknown: str = "") -> Iterator[Finding]:
    """One for each opening of each firewall, whoever is kept out. `unknown`: why that cannot be told."""
    if unknown:
        yield Finding(
            "firewall-unknown",
            f"what the firewalls of this host drop cannot be told: {unknown}",
            "they may keep its peers out, or its containers, and nobody would know which of them does",
            "mend that, or open the ports by hand and --skip firewall-unknown",
        )
    inward = [one for one in blocked if one.opening]
    for (place, opening), group in groupby(inward, key=lambda one: (str(one.place), str(one.opening))):
        ones = list(group)
        service = ones[0].opening.service if ones[0].opening else ""
        sources = list(dict.fromkeys(one.source for one in ones))
        breaks = (
            "no executor can register: every task fails" if sources == [CONTAINERS] else f"they do not reach {service}"
        )
        problem = f"{place} drops what comes from {', '.join(sources)} to {opening} of this host"
        yield Finding("firewall", problem, breaks, _PREPARE)
    for place in dict.fromkeys(str(one.place) for one in blocked if not one.opening):
        yield Finding(
            "forward",
            f"{place} drops what this host forwards to containers (oci*), or from them",
            "containers of different hosts do not reach each other, whatever policy says; Docker sets that when it starts",
            _PREPARE,
        )
