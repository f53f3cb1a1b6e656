"""The limits of this host's workloads: the stages that they need, and the token buckets on their interfaces.

The chains of one endpoint are made like those of its policy (`managers.policy`); the elements that lead to them come and go with
its others (`managers.endpoints`).

Invariants: 1. A stage is there as long as an endpoint needs it. 2. Of two endpoints on one interface the bucket of
the first by key holds. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from ocicat.dataplane.reconcile.ledger import Claims, Ledger
from ocicat.dataplane.ruleset.limits import STAGES
from ocicat.dataplane.ruleset.shaping import Shaper, bucket, shapers_on
from ocicat.model.wanted import Endpoint
from ocicat.netlink.qdisc import Bucket


class LimitManager:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._users: Counter[str] = Counter()
        self._claims: Claims[Shaper, Bucket] = Claims()
        self._placed: dict[str, dict[Shaper, Bucket]] = {}

    def acquire(self, maps: Collection[str]) -> None:
        """One more endpoint is in these verdict maps, as far as they are ours."""
        for name in filter(maps.__contains__, STAGES):
            self._users[name] += 1
            for chain in STAGES[name] if self._users[name] == 1 else ():
                self._ledger.want_chain(chain)

    def release(self, maps: Collection[str]) -> None:
        """It is in them no more."""
        for name in filter(maps.__contains__, STAGES):
            self._users[name] -= 1
            for chain in STAGES[name] if not self._users[name] else ():
                self._ledger.unwant_chain(chain.name)

    def place(self, endpoint: Endpoint, index: int, mtu: int) -> None:
        """On an interface of that ifindex."""
        placed = self._placed[endpoint.key] = _buckets(endpoint, index, mtu)
        for shaper, wanted in placed.items():
            self._ledger.shapers.want(shaper, self._claims.claim(endpoint.key, shaper, wanted))

    def displace(self, key: str) -> None:
        for shaper in self._placed.pop(key, {}):
            held = self._claims.release(key, shaper)
            if held is None:
                self._ledger.shapers.unwant(shaper)
            else:
                self._ledger.shapers.want(shaper, held)

    def holder(self, shaper: Shaper) -> str:
        """The endpoint whose bucket it is; "" is nobody."""
        return self._claims.holder(shaper)


def _buckets(endpoint: Endpoint, index: int, mtu: int) -> dict[Shaper, Bucket]:
    limits = (endpoint.ingress_limits, endpoint.egress_limits)
    found = ((shaper, bucket(each, mtu)) for shaper, each in zip(shapers_on(index), limits, strict=True))
    return {shaper: wanted for shaper, wanted in found if wanted is not None}
