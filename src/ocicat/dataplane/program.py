"""One pass: what differs in the ledger, into the kernel, in the one order that is safe at every moment.

    1. new sets and new chains      one nft transaction; nothing leads to them yet
    2. additions to sets            only if chains that carry traffic are about to look in them
    3. chains that change           one nft transaction; each changes as a whole
    4. all other elements           one netlink transaction: the dispatch, the sources, members that go
    5. routes                       last in for a new endpoint, so the first packet finds its policy
    6. what nothing uses any more   one nft transaction, only when there is time: nft waits 15 ms for the kernel to forget

A step without anything to do costs nothing. An endpoint whose chains are there needs 4 and 5 only, and these start no process.

Invariants: 1. No packet meets a policy that is half changed. 2. A chain that nft refuses becomes a drop, and only that chain.
3. Without `sweep` nothing is removed but what was asked to go. 4. After an exception the ledger's actual side is not to be trusted.
"""

from __future__ import annotations

from collections.abc import Sequence

from ocicat.dataplane import nftext
from ocicat.dataplane.drivers import elements, routes
from ocicat.dataplane.drivers.kernel import Kernel
from ocicat.dataplane.drivers.nft import NftRefused
from ocicat.dataplane.ledger import Ledger
from ocicat.dataplane.listing import Listing
from ocicat.dataplane.objects import Chain, Rule, SetSpec
from ocicat.dataplane.skeleton import SETS, SOURCES
from ocicat.errors import Unavailable
from ocicat.netlink.inet import Prefix
from ocicat.netlink.nftset import Element, key_ifname
from ocicat.netlink.route import Route

_SKELETON_SETS = frozenset(spec.name for spec in SETS)
_SOURCE_SETS = frozenset(SOURCES.values())
_IFNAME_BYTES = len(key_ifname("x"))


class Program:
    """The hands of the dataplane. `refused`: why, by chain; `failed`: why, by destination."""

    def __init__(self, ledger: Ledger, kernel: Kernel) -> None:
        self._ledger = ledger
        self._kernel = kernel
        self._refused_chains: dict[str, Chain] = {}
        self._failed_routes: dict[Prefix, Route] = {}
        self.refused: dict[str, str] = {}
        self.failed: dict[Prefix, str] = {}

    def run(self, *, sweep: bool, tidy: bool) -> list[bytes]:
        """The addresses (packed) that an interface lost in this pass. `tidy`: sweep unused chains and sets too. Unavailable."""
        self._grow()
        if self._ledger.chains.updates():
            self._add_members()
            self._load((), self._due())
        lost = self._settle_elements(sweep=sweep)
        self._settle_routes(sweep=sweep)
        if sweep and tidy:
            self._shrink()
        return lost

    @property
    def untidy(self) -> bool:
        """Are there chains or sets that nothing uses?"""
        return bool(self._ledger.chains.deletes(sweep=True) or self._ledger.sets.deletes(sweep=True))

    def retry(self) -> None:
        """Whatever was refused or failed is tried again by the next pass, as it was asked for."""
        for name, chain in self._refused_chains.items():
            if self._ledger.chains.wanted(name) == _closed(chain, self.refused[name]).shape:
                self._ledger.want_chain(chain)
        self._failed_routes.clear()

    def _due(self) -> list[Chain]:
        return [self._ledger.chain(name) for name in self._ledger.chains.updates()]

    def _grow(self) -> None:
        rebuild = self._ledger.incompatible()
        if rebuild:
            self._ledger.found_table(Listing(), {})
        sets = list(self._ledger.sets.updates().values())
        new = [chain for chain in self._due() if self._ledger.chains.there(chain.name) is None]
        self._load(sets, new, rebuild=rebuild)

    def _load(self, sets: Sequence[SetSpec], chains: Sequence[Chain], *, rebuild: bool = False) -> None:
        if not sets and not chains:
            return
        try:
            self._kernel.nft.run(nftext.transaction(sets, chains, rebuild=rebuild))
            for chain in chains:
                self._loaded(chain)
        except NftRefused:
            self._load_apart(sets, chains, rebuild=rebuild)
        for spec in sets:
            self._ledger.sets.now_there(spec.name, spec)

    def _load_apart(self, sets: Sequence[SetSpec], chains: Sequence[Chain], *, rebuild: bool) -> None:
        """Our own words first, with nothing but the names of the chains at fault; then those, by bisection."""
        sturdy = [chain for chain in chains if not chain.authored]
        authored = [chain for chain in chains if chain.authored]
        try:
            self._kernel.nft.run(nftext.transaction(sets, sturdy, declared=authored, rebuild=rebuild))
        except NftRefused as error:
            raise Unavailable(f"the ruleset cannot be loaded: {error.message}") from error
        for chain in sturdy:
            self._loaded(chain)
        self._bisect(authored)

    def _bisect(self, chains: Sequence[Chain]) -> None:
        if not chains:
            return
        try:
            self._kernel.nft.run(nftext.transaction((), chains))
        except NftRefused as error:
            if len(chains) == 1:
                self._close(chains[0], error.message)
                return
            middle = len(chains) // 2
            self._bisect(chains[:middle])
            self._bisect(chains[middle:])
        else:
            for chain in chains:
                self._loaded(chain)

    def _close(self, chain: Chain, reason: str) -> None:
        """The chain is wanted closed from now on, until it is asked for anew."""
        closed = _closed(chain, reason)
        self._kernel.nft.run(nftext.transaction((), [closed]))
        self._ledger.want_chain(closed)
        self._loaded(closed)
        self._refused_chains[chain.name] = chain
        self.refused[chain.name] = reason

    def _loaded(self, chain: Chain) -> None:
        self._ledger.chains.now_there(chain.name, chain.shape)
        self.refused.pop(chain.name, None)
        self._refused_chains.pop(chain.name, None)

    def _add_members(self) -> None:
        names = self._ledger.dirty - _SKELETON_SETS
        changes = [elements.Change(name, (), self._additions(name)) for name in sorted(names)]
        self._commit([change for change in changes if change.add])

    def _additions(self, name: str) -> tuple[Element, ...]:
        """Ranges in order: the kernel takes the end of one before its beginning for an overlap."""
        spec = self._ledger.sets.wanted(name)
        if spec is None:
            return ()
        new = self._ledger.elements[name].updates().values()
        return tuple(sorted(new, key=lambda element: element.key) if spec.interval else new)

    def _settle_elements(self, *, sweep: bool) -> list[bytes]:
        changes = [self._change(name, sweep=sweep) for name in sorted(self._ledger.dirty)]
        self._commit([change for change in changes if change.add or change.delete])
        self._ledger.dirty = {name for name in self._ledger.dirty if self._ledger.elements[name].pending}
        return [
            element.key[_IFNAME_BYTES:]
            for change in changes
            if change.name in _SOURCE_SETS
            for element in change.delete
        ]

    def _change(self, name: str, *, sweep: bool) -> elements.Change:
        """An element whose data differ goes and comes in the same transaction."""
        if self._ledger.sets.wanted(name) is None:
            return elements.Change(name, (), ())
        delta = self._ledger.elements[name]
        updates = delta.updates()
        out = [there for key in [*updates, *delta.deletes(sweep=sweep)] if (there := delta.there(key)) is not None]
        return elements.Change(name, tuple(out), self._additions(name))

    def _commit(self, changes: Sequence[elements.Change]) -> None:
        if not changes:
            return
        elements.commit(self._kernel.netfilter, changes)
        for change in changes:
            self._ledger.changed_elements(change.name, change.delete, change.add)

    def _settle_routes(self, *, sweep: bool) -> None:
        delta = self._ledger.routes
        updates = {dst: route for dst, route in delta.updates().items() if self._failed_routes.get(dst) != route}
        gone = [there for dst in delta.deletes(sweep=sweep) if (there := delta.there(dst)) is not None]
        if updates or gone:
            new = [route for dst, route in updates.items() if delta.there(dst) is None]
            changed = [route for dst, route in updates.items() if delta.there(dst) is not None]
            self._routed(routes.change(self._kernel.route, routes.Change(new, changed, gone)))
        for dst in [dst for dst in self.failed if delta.settled(dst)]:
            self._failed_routes.pop(dst, None)
            del self.failed[dst]

    def _routed(self, outcome: routes.Outcome) -> None:
        for route in outcome.gone:
            self._ledger.routes.now_gone(route.dst)
        for route in outcome.made:
            self._ledger.routes.now_there(route.dst, route)
        for route, reason in outcome.refused:
            self._failed_routes[route.dst] = route
            self.failed[route.dst] = reason

    def _shrink(self) -> None:
        chains = self._ledger.chains.deletes(sweep=True)
        specs = [self._ledger.sets.there(name) for name in self._ledger.sets.deletes(sweep=True)]
        sets = [spec for spec in specs if spec is not None]
        if not chains and not sets:
            return
        try:
            self._kernel.nft.run(nftext.removal(chains, sets))
        except NftRefused as error:
            raise Unavailable(f"unused chains and sets cannot be removed: {error.message}") from error
        for name in chains:
            self._ledger.chains.now_gone(name)
            self.refused.pop(name, None)
            self._refused_chains.pop(name, None)
        for spec in sets:
            self._ledger.set_is_gone(spec.name)


def _closed(chain: Chain, reason: str) -> Chain:
    return Chain(chain.name, (Rule("drop", f"refused: {reason}"),), comment=chain.comment)
