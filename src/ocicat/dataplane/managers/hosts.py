"""Host endpoints and the host's settings: the stages of the skeleton that they govern, and the dispatch to their lists.

Invariants: 1. A host endpoint is known by its interface. It has a list on every way, also where no policy of its applies: what it
governs never comes to the host endpoint for all interfaces. 2. An interface need not be there: names lead to chains. Pure.
"""

from __future__ import annotations

from ocicat.dataplane.api import DataplaneConfig
from ocicat.dataplane.managers.policy import PolicyManager
from ocicat.dataplane.reconcile.ledger import Ledger
from ocicat.dataplane.ruleset import skeleton
from ocicat.dataplane.ruleset.lists import ListChain, Way
from ocicat.dataplane.ruleset.skeleton import HOST_MAPS, Hosts
from ocicat.model.wanted import HostEndpoint, HostSettings, Tier
from ocicat.netlink.nftset import IFNAME_BYTES, Element, goto, key_ifname

EVERY = "*"


class HostManager:
    """`endpoints`: by interface. `current`: the settings. `problems`: by object, what cannot be done."""

    def __init__(self, config: DataplaneConfig, ledger: Ledger, policy: PolicyManager) -> None:
        self._config = config
        self._ledger = ledger
        self._policy = policy
        self.current = HostSettings()
        self.endpoints: dict[str, HostEndpoint] = {}
        self.problems: dict[str, str] = {}
        policy.logging(self.current)
        self._want_skeleton()

    def settings(self, message: HostSettings) -> None:
        self.current = message
        self._policy.logging(message)
        self._policy.mark(skeleton.mark(self._config, message))
        self._want_skeleton()

    def endpoint(self, message: HostEndpoint) -> None:
        before = self.endpoints.get(message.interface)
        if message == before:
            return
        if len(message.interface.encode()) not in range(1, IFNAME_BYTES):
            self.problems[f"host endpoint {message.key}"] = f"{message.interface!r} is not the name of an interface"
            return
        for recipe in lists(message).values():
            self._policy.acquire(recipe)
        self.endpoints[message.interface] = message
        if message.interface != EVERY:
            for way, recipe in lists(message).items():
                self._ledger.want_element(HOST_MAPS[way], Element(key_ifname(message.interface), goto(recipe.name)))
        if before:
            self._release(before)
        self._want_skeleton()

    def gone(self, interface: str) -> None:
        before = self.endpoints.pop(interface, None)
        if before is None:
            return
        if interface != EVERY:
            for name in HOST_MAPS.values():
                self._ledger.unwant_element(name, key_ifname(interface))
        self._release(before)
        self._want_skeleton()

    def _release(self, endpoint: HostEndpoint) -> None:
        for recipe in lists(endpoint).values():
            self._policy.release(recipe)

    def _want_skeleton(self) -> None:
        for chain in skeleton.chains(self._config, self.current, self._hosts()):
            self._ledger.want_chain(chain)

    def _hosts(self) -> Hosts:
        endpoints = self.endpoints.values()
        every = self.endpoints.get(EVERY)
        return Hosts(
            governed=bool(endpoints),
            untracked=any(each.untracked_ingress or each.untracked_egress for each in endpoints),
            pre_dnat=any(each.pre_dnat for each in endpoints),
            every={way: recipe.name for way, recipe in lists(every).items() if way.hook != "untracked"}
            if every
            else {},
        )


def lists(endpoint: HostEndpoint) -> dict[Way, ListChain]:
    """What decides for it on each way."""
    tiers: dict[Way, tuple[Tier, ...]] = {
        Way("ingress"): endpoint.ingress,
        Way("egress"): endpoint.egress,
        Way("ingress", "forward"): endpoint.forward_ingress,
        Way("egress", "forward"): endpoint.forward_egress,
        Way("ingress", "untracked"): endpoint.untracked_ingress,
        Way("egress", "untracked"): endpoint.untracked_egress,
        Way("ingress", "pre-dnat"): endpoint.pre_dnat,
    }
    return {
        way: ListChain(way, found, endpoint.profiles if way.hook == "normal" else ()) for way, found in tiers.items()
    }
