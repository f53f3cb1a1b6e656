"""Endpoints as elements, guards and routes: the dispatch to their chains, the sources they may use, the way to them.

Invariants: 1. An endpoint whose interface is not there has its chains and nothing else: it is ready, and closed. So is one whose
interface was made for another endpoint, and one with an address that is `held`. The guard of an interface that no endpoint has is
closed; but before the state is complete (`complete`), one that was there before us is left as it is.
2. The state depends on the endpoints, interfaces and held addresses there are, not on the order in which they came. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from ocicat.dataplane.managers import nat
from ocicat.dataplane.managers.limits import LimitManager
from ocicat.dataplane.managers.policy import PolicyManager
from ocicat.dataplane.ownership import ROUTE_PROTOCOL
from ocicat.dataplane.reconcile.ledger import Claims, Ledger, element_key
from ocicat.dataplane.ruleset import limits
from ocicat.dataplane.ruleset.guards import CLOSED, Guard, guard_of
from ocicat.dataplane.ruleset.lists import EGRESS, INGRESS, ListChain, Recipe
from ocicat.dataplane.ruleset.skeleton import FROM_WORKLOAD, TO_WORKLOAD
from ocicat.model.base import Struct
from ocicat.model.net import Addr
from ocicat.model.wanted import Endpoint
from ocicat.netlink import inet
from ocicat.netlink.inet import Prefix
from ocicat.netlink.nftset import Element, goto, key_ifname
from ocicat.netlink.route import IPV6_PRIORITY, SCOPE_GLOBAL, SCOPE_LINK, Route

_FLOATING = "floating "  # an owner of routes that is greater than any key: a workload's own address goes before


class Placed(Struct, frozen=True):
    """What one endpoint puts into the kernel: the guard of its interface, elements with the name of their set, and routes to its
    addresses. `floating`: to its floating ones; by these the host's own packets find a way before they are translated."""

    interface: str
    guard: Guard
    elements: tuple[tuple[str, Element], ...] = ()
    routes: tuple[Route, ...] = ()
    floating: tuple[Route, ...] = ()


def placed(endpoint: Endpoint, index: int) -> Placed:
    """For an endpoint whose interface has that ifindex."""
    interface = key_ifname(endpoint.interface)
    dispatch = tuple((name, Element(interface, goto(recipe.name))) for name, recipe in recipes(endpoint).items())
    return Placed(
        endpoint.interface,
        guard_of(endpoint),
        dispatch + nat.elements(endpoint),
        tuple(host_route(address, index) for address in endpoint.addresses),
        tuple(host_route(each.outside, index) for each in endpoint.floating),
    )


def recipes(endpoint: Endpoint) -> dict[str, Recipe]:
    """By verdict map, what it must lead to."""
    found: dict[str, Recipe] = {
        FROM_WORKLOAD: ListChain(EGRESS, endpoint.egress, endpoint.profiles),
        TO_WORKLOAD: ListChain(INGRESS, endpoint.ingress, endpoint.profiles),
    }
    return found | limits.chains(endpoint)


def host_route(address: Addr, index: int) -> Route:
    """The route to a workload's address. IPv6 routes have no scope, and always a metric."""
    four = address.family == 4
    return Route(
        inet.host(address.pack()),
        oif=index,
        scope=SCOPE_LINK if four else SCOPE_GLOBAL,
        protocol=ROUTE_PROTOCOL,
        priority=0 if four else IPV6_PRIORITY,
    )


class Bearer(Struct, frozen=True):
    """An interface that is there: its ifindex, the endpoint it was made for ("": nobody says), and its MTU."""

    index: int
    key: str = ""
    mtu: int = 1500


class EndpointManager:
    """`links`: the interfaces that are there, by name. `held`: addresses (packed) that lately were another endpoint's, whose
    flows are not cut yet; no endpoint gets them until `release`."""

    def __init__(self, ledger: Ledger, policy: PolicyManager, limits: LimitManager) -> None:
        self._ledger = ledger
        self._policy = policy
        self._limits = limits
        self._claims: dict[str, Claims[bytes, Element]] = {}
        self._guards: Claims[str, Guard] = Claims()
        self._complete = False
        self._placed: dict[str, Placed] = {}
        self._on_interface: dict[str, set[str]] = {}
        self.endpoints: dict[str, Endpoint] = {}
        self.links: dict[str, Bearer] = {}
        self.held: set[bytes] = set()

    def endpoint(self, endpoint: Endpoint) -> None:
        # The new lists are taken before the old ones are let go: if they are the same they never go away.
        wanted = recipes(endpoint)
        for recipe in wanted.values():
            self._policy.acquire(recipe)
        self._limits.acquire(wanted)
        before = self._remove(endpoint.key)
        self.endpoints[endpoint.key] = endpoint
        self._on_interface.setdefault(endpoint.interface, set()).add(endpoint.key)
        self._place(endpoint.key)
        self.hold(before)

    def gone(self, key: str) -> None:
        """Also the flows of an interface that went while nobody looked are to end."""
        endpoint = self.endpoints.get(key)
        self._remove(key)
        self.hold(address.pack() for address in (endpoint.addresses if endpoint else ()))

    def complete(self) -> None:
        """All endpoints are known: what nobody has is closed."""
        self._complete = True
        for name in self.links:
            self._close_unclaimed(name)

    def hold(self, addresses: Iterable[bytes]) -> None:
        """Keep these from whoever may get them next; not those that an endpoint has."""
        self.held |= {each for each in addresses if self._ledger.route_holder(inet.host(each)) not in self._placed}

    def release(self, address: bytes) -> None:
        """Its last owner's flows are cut."""
        self.held.discard(address)
        for key in self.endpoints.keys() - self._placed.keys():
            self._place(key)

    def fault(self, key: str) -> str:
        """Which other endpoint has what this one needs; "" is none."""
        endpoint = self.endpoints[key]
        bearer = self.links.get(endpoint.interface)
        if bearer and bearer.key not in ("", key):
            return f"interface {endpoint.interface} was made for {bearer.key}"
        holders = {dst: self._ledger.route_holder(dst) for dst in self.destinations(key)}
        return "; ".join(f"{dst} is the address of {holder}" for dst, holder in holders.items() if holder != key)

    def _remove(self, key: str) -> list[bytes]:
        """The addresses (packed) it had in the kernel."""
        endpoint = self.endpoints.pop(key, None)
        if endpoint is None:
            return []
        freed = self._displace(key)
        wanted = recipes(endpoint)
        for recipe in wanted.values():
            self._policy.release(recipe)
        self._limits.release(wanted)
        keys = self._on_interface[endpoint.interface]
        keys.discard(key)
        if not keys:
            del self._on_interface[endpoint.interface]
        return freed

    def link_there(self, name: str, index: int, key: str = "", mtu: int = 1500) -> None:
        """`key`: the endpoint that it was made for."""
        bearer = Bearer(index, key, mtu)
        if self.links.get(name) != bearer:
            self.links[name] = bearer
            self._relink(name)
            self._close_unclaimed(name)

    def link_gone(self, name: str) -> None:
        if self.links.pop(name, None) is not None:
            self._relink(name)
        self._ledger.unwant_guard(name)

    def link_dying(self, name: str) -> None:
        """It is there, and nobody's for good; until `link_gone`."""
        self.link_gone(name)
        self._ledger.want_guard(name, CLOSED)

    def _close_unclaimed(self, name: str) -> None:
        if self._complete and not self._guards.holder(name):
            self._ledger.want_guard(name, CLOSED)

    def on_interface(self, name: str) -> frozenset[str]:
        """Keys of the endpoints that name this interface."""
        return frozenset(self._on_interface.get(name, ()))

    def find(self, name: str) -> Endpoint | None:
        """By key, or by interface."""
        keys = self.on_interface(name)
        bearer = self.links.get(name)
        if bearer and bearer.key in keys:
            return self.endpoints[bearer.key]
        return self.endpoints.get(min(keys) if keys else name)

    def settled(self, key: str) -> bool:
        """Is everything that this endpoint needs in the kernel? Routes apart: they can fail for each destination."""
        wanted = self._placed.get(key)
        late = self._ledger.chains.updates().keys()  # mostly none: then nobody need look at all the chains of the lists
        return (
            wanted is not None
            and self._ledger.guards.settled(wanted.interface)
            and (not late or late.isdisjoint(self.chains(key)))
            and all(self._ledger.elements[name].settled(element_key(element)) for name, element in wanted.elements)
        )

    def chains(self, key: str) -> set[str]:
        """The names of all chains that decide for this endpoint."""
        return {name for recipe in recipes(self.endpoints[key]).values() for name in self._policy.chains(recipe)}

    def destinations(self, key: str) -> list[Prefix]:
        wanted = self._placed.get(key)
        return [route.dst for route in wanted.routes] if wanted else []

    def unsettled(self) -> list[str]:
        """Keys of the endpoints that are placed, and not wholly in the kernel."""
        routes = self._ledger.routes
        return [
            key
            for key in self._placed
            if not (self.settled(key) and all(routes.settled(dst) for dst in self.destinations(key)))
        ]

    def _relink(self, name: str) -> None:
        for key in self.on_interface(name):
            freed = self._displace(key)
            self._place(key)
            self.hold(freed)

    def _place(self, key: str) -> None:
        endpoint = self.endpoints[key]
        bearer = self.links.get(endpoint.interface)
        if (
            bearer is None
            or bearer.key not in ("", key)
            or any(each.pack() in self.held for each in endpoint.addresses)
        ):
            return
        wanted = self._placed[key] = placed(endpoint, bearer.index)
        guard = self._guards.claim(key, endpoint.interface, wanted.guard)
        self._ledger.want_guard(endpoint.interface, guard, bearer.index)
        for name, element in wanted.elements:
            held = self._claims.setdefault(name, Claims()).claim(key, element.key, element)
            self._ledger.want_element(name, held)
        for route in wanted.routes:
            self._ledger.claim_route(key, route)
        for route in wanted.floating:
            self._ledger.claim_route(_FLOATING + key, route)
        self._limits.place(endpoint, bearer.index, bearer.mtu)

    def _displace(self, key: str) -> list[bytes]:
        """The addresses (packed) that it had."""
        old = self._placed.pop(key, None)
        if old is None:
            return []
        bearer = self.links.get(old.interface)
        guard = self._guards.release(key, old.interface) or CLOSED
        self._ledger.want_guard(old.interface, guard, bearer.index if bearer else 0)
        for name, element in old.elements:
            held = self._claims[name].release(key, element.key)
            if held is None:
                self._ledger.unwant_element(name, element.key)
            else:
                self._ledger.want_element(name, held)
        for route in old.routes:
            self._ledger.release_route(key, route.dst)
        for route in old.floating:
            self._ledger.release_route(_FLOATING + key, route.dst)
        self._limits.displace(key)
        return [route.dst.address for route in old.routes]
