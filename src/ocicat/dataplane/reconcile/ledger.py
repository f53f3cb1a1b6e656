"""Everything of ours in the kernel: as wanted, as it is, and the difference, for each kind of object.

Managers write the wanted side, the programmer (`program`) and the readback the other.

Invariants: 1. Elements belong to a set that is wanted; when a set goes, its elements are forgotten with it.
2. `dirty` names every set whose elements may differ (and perhaps some whose do not), so that a pass does not visit thousands.
`idle` names the base chains that have lost their rules, and go when there is time.
3. An object wanted by two owners is there once, in the version of the first owner by name, and goes with the last. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Generic

from ocicat.dataplane.reconcile.delta import Delta, K, V
from ocicat.dataplane.ruleset.guards import Guard
from ocicat.dataplane.ruleset.listing import Listing
from ocicat.dataplane.ruleset.objects import Chain, Counter, SetSpec, Shape
from ocicat.dataplane.ruleset.shaping import Shaper, shapers_on
from ocicat.model.base import Struct, replace
from ocicat.netlink.inet import Prefix
from ocicat.netlink.nftset import Element
from ocicat.netlink.qdisc import Bucket
from ocicat.netlink.route import Route


class Actual(Struct, frozen=True):
    """What reading the kernel found. Elements by the name of their set; routes of our protocol only; guards by interface."""

    listing: Listing
    elements: Mapping[str, tuple[Element, ...]]
    routes: tuple[Route, ...]
    shapers: Mapping[Shaper, Bucket] = {}
    guards: Mapping[str, Guard] = {}


class Claims(Generic[K, V]):
    """Several owners may want the same key for a moment (an address that moves between endpoints); one of them wins."""

    __slots__ = ("_claims", "_want")

    def __init__(self) -> None:
        self._claims: defaultdict[K, dict[str, V]] = defaultdict(dict)

    def claim(self, owner: str, key: K, value: V) -> V:
        """The value that holds now."""
        self._claims[key][owner] = value
        return self._winner(self._claims[key])

    def release(self, owner: str, key: K) -> V | None:
        """The value that holds now; None when nobody wants the key any more."""
        owners = self._claims[key]
        owners.pop(owner, None)
        if owners:
            return self._winner(owners)
        del self._claims[key]
        return None

    def holder(self, key: K) -> str:
        """The owner whose value holds; "" if nobody wants the key."""
        return min(self._claims.get(key, ()), default="")

    @staticmethod
    def _winner(owners: dict[str, V]) -> V:
        return owners[min(owners)]


class Ledger:
    """The deltas of all kinds. Keys: names, element keys (see `element_key`), destinations.

    Of counters only the names are compared: what they have counted is theirs, and what they are is in the name.
    """

    __slots__ = (
        "_chains",
        "_counters",
        "_limited",
        "_route_claims",
        "chains",
        "counters",
        "dirty",
        "elements",
        "guards",
        "idle",
        "routes",
        "sets",
        "shapers",
    )

    def __init__(self) -> None:
        self.chains: Delta[str, Shape] = Delta()
        self.sets: Delta[str, SetSpec] = Delta()
        self.counters: Delta[str, str] = Delta()
        self.elements: defaultdict[str, Delta[bytes, Element]] = defaultdict(Delta)
        self.routes: Delta[Prefix, Route] = Delta()
        self.shapers: Delta[Shaper, Bucket] = Delta()
        self.guards: Delta[str, Guard] = Delta()
        self.dirty: set[str] = set()
        self.idle: set[str] = set()
        self._chains: dict[str, Chain] = {}
        self._counters: dict[str, Counter] = {}
        self._route_claims: Claims[Prefix, Route] = Claims()
        self._limited: dict[str, tuple[Guard, int]] = {}  # guards as they were asked for, and ifindexes, by interface

    def want_chain(self, chain: Chain) -> None:
        """One that is idle is not made; if it is there, it is emptied first."""
        if chain.is_idle and self.chains.there(chain.name) is None:
            self.unwant_chain(chain.name)
            return
        self._chains[chain.name] = chain
        self.chains.want(chain.name, chain.shape)
        (self.idle.add if chain.is_idle else self.idle.discard)(chain.name)

    def unwant_chain(self, name: str) -> None:
        self._chains.pop(name, None)
        self.chains.unwant(name)
        self.idle.discard(name)

    def chain(self, name: str) -> Chain:
        """With its text; only for a chain that is wanted."""
        return self._chains[name]

    def want_counter(self, counter: Counter) -> None:
        self._counters[counter.name] = counter
        self.counters.want(counter.name, counter.name)

    def unwant_counter(self, name: str) -> None:
        self._counters.pop(name, None)
        self.counters.unwant(name)

    def counter(self, name: str) -> Counter:
        """With its comment; only for a counter that is wanted."""
        return self._counters[name]

    def want_set(self, spec: SetSpec, elements: Iterable[Element] = ()) -> None:
        if self.sets.wanted(spec.name) is None:
            self._forget_members(spec.name)
        self.sets.want(spec.name, spec)
        for element in elements:
            self.want_element(spec.name, element)

    def unwant_set(self, name: str) -> None:
        """The elements stay as they are until the set itself goes: rules may still look in it."""
        self.sets.unwant(name)
        self.dirty.discard(name)

    def _forget_members(self, name: str) -> None:
        """A set that comes back before the kernel's was removed starts empty, like any other."""
        for key in list(self.elements[name].all_wanted()):
            self.unwant_element(name, key)
        self.dirty.add(name)  # also for those that nobody wanted any more when it went

    def want_element(self, name: str, element: Element) -> None:
        self.elements[name].want(element_key(element), element)
        self.dirty.add(name)

    def unwant_element(self, name: str, key: bytes) -> None:
        self.elements[name].unwant(key)
        self.dirty.add(name)

    def claim_route(self, owner: str, route: Route) -> None:
        self.routes.want(route.dst, self._route_claims.claim(owner, route.dst, route))

    def release_route(self, owner: str, dst: Prefix) -> None:
        held = self._route_claims.release(owner, dst)
        if held is None:
            self.routes.unwant(dst)
        else:
            self.routes.want(dst, held)

    def route_holder(self, dst: Prefix) -> str:
        """The owner whose route to `dst` is wanted; "" is nobody."""
        return self._route_claims.holder(dst)

    def want_guard(self, interface: str, guard: Guard, index: int = 0) -> None:
        """`index`: the interface's, if its guard is to be limited. It is as long as there is a bucket for it."""
        if guard.limited:
            self._limited[interface] = guard, index
        else:
            self._limited.pop(interface, None)
        self.guards.want(interface, self.possible(guard, index))

    def unwant_guard(self, interface: str) -> None:
        self._limited.pop(interface, None)
        self.guards.unwant(interface)

    def lead_guards(self) -> None:
        """By way of the buckets that are there now."""
        for interface, (guard, index) in self._limited.items():
            self.guards.want(interface, self.possible(guard, index))

    def possible(self, guard: Guard, index: int) -> Guard:
        """That, or the same without a limit: for an interface of that ifindex."""
        bucket = self.shapers.there(Shaper(index, "egress")) if guard.limited else None
        return replace(guard, limited=bucket is not None and bucket.rate > 0)  # 0: unsound, as reading back has it

    def release_routes_on(self, index: int) -> None:
        """Those found on that interface, that nobody wants."""
        for dst in [dst for dst in self.routes.all_there() if self._is_unwanted_on(dst, index)]:
            self.routes.unwant(dst)

    def _is_unwanted_on(self, dst: Prefix, index: int) -> bool:
        there = self.routes.there(dst)
        return there is not None and there.oif == index and self.routes.wanted(dst) is None

    def release_shapers_on(self, index: int) -> None:
        """Those found on that interface, that nobody wants."""
        for shaper in shapers_on(index):
            if self.shapers.wanted(shaper) is None:
                self.shapers.unwant(shaper)

    def set_is_gone(self, name: str) -> None:
        self.sets.now_gone(name)
        self.elements.pop(name, None)
        self.dirty.discard(name)

    def found(self, actual: Actual) -> None:
        """The actual side, all of it, freshly read."""
        self.found_table(actual.listing, actual.elements)
        self.routes.found({route.dst: route for route in actual.routes})
        self.shapers.found(actual.shapers)
        self.guards.found(actual.guards)

    def found_table(self, listing: Listing, elements: Mapping[str, tuple[Element, ...]]) -> None:
        self.chains.found(listing.chains)
        self.sets.found(listing.sets)
        self.counters.found({name: name for name in listing.counters})
        for name in [*self.elements, *elements]:
            self.elements[name].found({element_key(element): element for element in elements.get(name, ())})
        self.dirty = set(self.elements)

    def differences(self, *, sweep: bool) -> dict[str, int]:
        """What is not as wanted: by name, and how many elements or 1. `sweep`: also what nobody asked for."""
        kinds = (("chain", self.chains), ("set", self.sets), ("counter", self.counters))
        found = {
            f"{kind} {name}": 1 for kind, delta in kinds for name in (*delta.updates(), *delta.deletes(sweep=sweep))
        }
        for name, elements in self.elements.items():
            if count := len(elements.updates()) + len(elements.deletes(sweep=sweep)):
                found[f"elements of {name}"] = count
        named = (("route", self.routes), ("guard of", self.guards), ("", self.shapers))
        return found | {
            f"{kind} {key}".lstrip(): 1
            for kind, delta in named
            for key in (*delta.updates(), *delta.deletes(sweep=sweep))
        }

    def changed_elements(self, name: str, deleted: Iterable[Element], added: Iterable[Element]) -> None:
        """What a transaction did to the kernel's set."""
        delta = self.elements[name]
        for element in deleted:
            delta.now_gone(element_key(element))
        for element in added:
            delta.now_there(element_key(element), element)

    def lacks_sets(self) -> bool:
        """Are there chains that are to look in sets that are not there? These can be filled when everything is known."""
        missing = any(self.sets.there(name) is None for name in self.sets.updates())
        return missing and any(self.chains.there(name) for name in self.chains.updates())

    def has_rules(self, name: str) -> bool:
        """Is there a chain of that name that says anything?"""
        return bool(self._there(name).marks)

    def moved(self) -> list[str]:
        """Base chains that are wanted at another place, or not as base chains."""
        updates = self.chains.updates().items()
        return [name for name, shape in updates if _place(self._there(name)) not in ("", _place(shape))]

    def incompatible(self) -> bool:
        """Is there a set, or a chain that is to be a base chain, that nft cannot turn into the wanted one?"""
        return any(self.sets.there(name) for name in self.sets.updates()) or any(
            self.chains.there(name) and shape.hook and not self._there(name).hook
            for name, shape in self.chains.updates().items()
        )

    def _there(self, name: str) -> Shape:
        return self.chains.there(name) or Shape("", ())


def _place(shape: Shape) -> str:
    """Hook and priority, which nobody can change."""
    return shape.hook.rpartition(" ")[0]


def element_key(element: Element) -> bytes:
    """What is unique in a set: in an interval set one range may end at the key where the next begins."""
    return element.key + b"\1" if element.interval_end else element.key
