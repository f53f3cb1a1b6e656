"""One pass: what differs in the ledger, into the kernel, in the one order that is safe at every moment.

    0. bandwidths and guards        before anything can pass (`shapers`, `guards`)
    1. new sets, counters, chains   one nft transaction; nothing leads to them yet
    2. what is in the new sets      by netlink, some sets at a time; and ranges of those that never change
    3. chains that change, and      one nft transaction, with all the elements that change: members, dispatch
       base chains that are new
    4. elements, if no chain does   one netlink transaction
    5. routes                       last in for a new endpoint, so the first packet finds its policy
    6. what nothing uses any more   one nft transaction, only when there is time: nft waits 15 ms for the kernel to forget

What nft cannot turn into the wanted one was left by another version, and stays in force until everything that takes its place is
known. A base chain at another place goes and comes in step 3. A set of another type asks for a new table: the old one goes and the
new one comes, with all that is in it, in one nft transaction. What was counted is taken over, and which flows were ended.

Until the state is complete no chain changes that says anything: in it may be host endpoints' policy and the operator's settings, of
which a dataplane that has just started knows nothing. One that is not there, or empty, is made at once: workloads are closed then.

The kernel is not through with a transaction at once: for up to a millisecond a packet may meet a base chain that goes, while maps
that went with it are empty already; and a set of ranges that came is empty. So new sets are filled before chains look in them, and
a base chain is emptied before its maps go. Only a new table may lose packets that begin a connection: they are sent again.

A step without anything to do costs nothing. An endpoint whose chains are there needs 0, 4 and 5 only, and these start no process.

Invariants: 1. No packet meets a policy that is half changed, unless nft refuses a part of it. 2. A chain that nft refuses becomes a
drop, and only that chain. 3. Without `sweep` nothing is removed but what was asked to go, and no chain that has rules
changes. 4. After an exception the ledger's actual side is not to be trusted.
"""

from __future__ import annotations

from collections.abc import Sequence

from ocicat.dataplane.drivers import counters, elements, guards, links, routes
from ocicat.dataplane.drivers.kernel import Kernel
from ocicat.dataplane.drivers.nft import NftRefused
from ocicat.dataplane.ownership import TABLE
from ocicat.dataplane.reconcile.distrust import INET_TABLE, NETDEV_TABLE, Distrust
from ocicat.dataplane.reconcile.ledger import Ledger
from ocicat.dataplane.reconcile.shapers import Shapers
from ocicat.dataplane.ruleset import nftext
from ocicat.dataplane.ruleset.guards import CLOSED, Guard
from ocicat.dataplane.ruleset.listing import Listing
from ocicat.dataplane.ruleset.objects import Chain, Counter, Rule, SetChange, SetSpec
from ocicat.dataplane.ruleset.skeleton_nat import PORT_MAPS, mapped_udp
from ocicat.errors import Unavailable
from ocicat.model.base import replace
from ocicat.netlink.inet import Prefix
from ocicat.netlink.route import Route

_MOST_AT_ONCE = 20_000  # elements


class Program:
    """The hands of the dataplane. `refused`: why, by chain; `failed`: why, by destination; `lost`: the addresses (packed) that
    interfaces have lost, `mapped`: the ports of UDP that lead to workloads since, and `guarded`: interfaces that have got a guard,
    or one that lets in further addresses, or no more, until the caller takes them out. `unguarded`: those that went before they had
    theirs. `distrust`: of which chains the caller has heard. `made_anew`: why all of the table had to be, until the caller takes
    it."""

    def __init__(self, ledger: Ledger, kernel: Kernel) -> None:
        self._ledger = ledger
        self._kernel = kernel
        self._refused_chains: dict[str, Chain] = {}
        self._failed_routes: dict[Prefix, Route] = {}
        self.refused: dict[str, str] = {}
        self.failed: dict[Prefix, str] = {}
        self.lost: set[bytes] = set()
        self.mapped: set[int] = set()
        self.guarded: set[str] = set()
        self.unguarded: set[str] = set()
        self.distrust = Distrust(ledger)
        self.made_anew = ""
        self._stuck = False  # what is unused could not be removed by the pass before
        self.shapers = Shapers(ledger, kernel)

    def run(self, *, sweep: bool, tidy: bool) -> None:
        """`sweep`: the complete state is known; `tidy`: unused chains and sets go too. Unavailable."""
        if not sweep and (self._ledger.moved() or self._ledger.incompatible() or self._ledger.lacks_sets()):
            raise Unavailable(
                f"table inet {TABLE} is another version's; it stays in force until the state is complete",
                hint="nothing: it is replaced when the datastore has been read",
            )
        if self._ledger.incompatible():
            self._rebuild()
        self.shapers.settle(sweep=sweep)
        while self.shapers.renewed:
            self._lead_anew(self.shapers.renewed.pop())
        self._ledger.lead_guards()
        self._settle_guards(sweep=sweep)
        self._fill(self._grow())
        self._settle_chains(sweep=sweep)
        self._settle_elements(sweep=sweep)
        self._settle_routes(sweep=sweep)
        if sweep and tidy:
            self._shrink()

    def close_new(self, interface: str) -> None:
        """One that was made just now, before it is set up. Unavailable."""
        guards.close(self._kernel.netfilter, interface)
        self._guarded(interface, CLOSED)
        self.guarded.discard(interface)

    @property
    def untidy(self) -> bool:
        """Are there chains, sets or counters that nothing uses?"""
        kinds = (self._ledger.chains, self._ledger.sets, self._ledger.counters)
        return bool(self._ledger.idle) or any(delta.deletes(sweep=True) for delta in kinds)

    def retry(self) -> None:
        """Whatever was refused or failed is tried again by the next pass, as it was asked for."""
        for name, chain in self._refused_chains.items():
            if self._ledger.chains.wanted(name) == _closed(chain, self.refused[name]).shape:
                self._ledger.want_chain(chain)
        self._failed_routes.clear()
        self.shapers.retry()

    def _due(self) -> list[Chain]:
        return [self._ledger.chain(name) for name in self._ledger.chains.updates()]

    def _due_counters(self) -> list[Counter]:
        return [self._ledger.counter(name) for name in self._ledger.counters.updates()]

    def _rebuild(self) -> None:
        counted = {each.name: each for each in counters.read(self._kernel.netfilter)}
        timed = self._timed()
        self._ledger.found_table(Listing(), {})
        sets = list(self._ledger.sets.updates().values())
        going_on = [counted.get(each.name, each) for each in self._due_counters()]
        changes = [*self._changes(sweep=False), *timed]
        self._load(sets, self._due(), changes, counters=going_on, rebuild=True)

    def _timed(self) -> list[SetChange]:
        """What is in the sets that are not compared, to be put into those that take their place: their time begins anew."""
        there = (self._ledger.sets.there(name) for name in self._ledger.sets.all_wanted())
        specs = [spec for spec in there if spec and spec.timeout_s and self._ledger.sets.settled(spec.name)]
        found = [SetChange(spec, (), elements.read(self._kernel.netfilter, spec)) for spec in specs]
        return [change for change in found if change.add]

    def _grow(self) -> frozenset[str]:
        """The new sets: no packet is looked up in them yet."""
        sets = list(self._ledger.sets.updates().values())
        new = [chain for chain in self._due() if self._ledger.chains.there(chain.name) is None and not chain.hook]
        self._load(sets, new, counters=self._due_counters())
        return frozenset(spec.name for spec in sets)

    def _fill(self, unused: frozenset[str]) -> None:
        """Not as text, which takes nft seconds for 100,000 members; nor all in one transaction, for no hash table grows in one."""
        part: list[SetChange] = []
        for change in self._changes(sweep=False) if unused else ():
            if change.spec.name in unused:
                part.append(change)
            if sum(len(each.add) for each in part) >= _MOST_AT_ONCE:
                self._commit(part)
                part = []
        self._commit(part)

    def _settle_chains(self, *, sweep: bool) -> None:
        """Those that are there and change, and base chains that are new, with the elements that change."""
        due = [chain for chain in self._due() if sweep or not self._ledger.has_rules(chain.name)]
        if due:
            self._commit([change for change in self._changes(sweep=False) if change.spec.interval])
            changes = [_sayable(change) for change in self._changes(sweep=False)]
            self._load((), due, changes, moved=self._ledger.moved())

    def _load(
        self,
        sets: Sequence[SetSpec],
        chains: Sequence[Chain],
        changes: Sequence[SetChange] = (),
        *,
        counters: Sequence[Counter] = (),
        moved: Sequence[str] = (),
        rebuild: bool = False,
    ) -> None:
        if not sets and not chains and not counters:
            return
        try:
            text = nftext.transaction(sets, chains, changes, counters=counters, moved=moved, rebuild=rebuild)
            self._kernel.nft.run(text)
        except NftRefused:
            self._load_apart(sets, chains, changes, counters=counters, moved=moved, rebuild=rebuild)
        else:
            self._took(sets, chains, changes, counters)

    def _load_apart(
        self,
        sets: Sequence[SetSpec],
        chains: Sequence[Chain],
        changes: Sequence[SetChange],
        *,
        counters: Sequence[Counter],
        moved: Sequence[str],
        rebuild: bool,
    ) -> None:
        """Our own words first, with nothing but the names of the chains at fault; then those, by bisection. What is of another
        version is closed meanwhile: at our stages its Allow may be another."""
        sturdy = [chain for chain in chains if not chain.authored]
        authored = [chain for chain in chains if chain.authored]
        shut = [_closed(chain, "not loaded yet") for chain in authored] if self._is_of_another_version() else []
        text = nftext.transaction(
            sets, [*sturdy, *shut], changes, counters=counters, declared=authored, moved=moved, rebuild=rebuild
        )
        try:
            self._kernel.nft.run(text)
        except NftRefused as error:
            raise Unavailable(f"the ruleset cannot be loaded: {error.message}") from error
        self._took(sets, sturdy, changes, counters)
        self._bisect(authored)

    def _is_of_another_version(self) -> bool:
        """Has the table stages that are not ours?"""
        others = map(self._ledger.chains.there, self._ledger.chains.deletes(sweep=True))
        return any(each.hook for each in others if each)

    def _took(
        self,
        sets: Sequence[SetSpec],
        chains: Sequence[Chain],
        changes: Sequence[SetChange],
        counters: Sequence[Counter] = (),
    ) -> None:
        for chain in chains:
            self._loaded(chain)
        for spec in sets:
            self._ledger.sets.now_there(spec.name, spec)
        for counter in counters:
            self._ledger.counters.now_there(counter.name, counter.name)
        for change in changes:
            if change.spec.timeout_s:
                continue  # what is in it is not compared
            self._ledger.changed_elements(change.spec.name, change.delete, change.add)
            if change.spec.name in PORT_MAPS:
                self.mapped |= mapped_udp(change.add)

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
        self.distrust.loaded(INET_TABLE, chain.name)
        self.refused.pop(chain.name, None)
        self._refused_chains.pop(chain.name, None)

    def _settle_guards(self, *, sweep: bool) -> None:
        delta = self._ledger.guards
        changes = [guards.Change(name, delta.there(name), None) for name in delta.deletes(sweep=sweep)]
        changes += [guards.Change(name, delta.there(name), guard) for name, guard in delta.updates().items()]
        if not changes:
            return
        try:
            made = guards.commit(self._kernel.netfilter, changes)
        except Unavailable:
            self._renew_guards(changes)
        else:
            self._guards_made(changes, made)
        if next(delta.all_there(), None) is None:
            guards.clear(self._kernel.netfilter)

    def _renew_guards(self, changes: Sequence[guards.Change]) -> None:
        """All of them. Something of another hand's holds a chain of ours: it goes with the table."""
        delta = self._ledger.guards
        changed = {each.interface: each.wanted for each in changes}
        kept = {name: delta.there(name) for name in delta.all_there() if name not in changed}
        wanted = {name: replace(guard, intact=True) for name, guard in (kept | changed).items() if guard is not None}
        put = guards.renew(self._kernel.netfilter, wanted)
        gone = [name for name in [*kept, *changed] if name not in put and changed.get(name) is None]
        self._guards_made(changes, [guards.Change(name, None, put.get(name)) for name in [*put, *gone]])

    def _guards_made(self, changes: Sequence[guards.Change], made: Sequence[guards.Change]) -> None:
        for change in made:
            self._guarded(change.interface, change.wanted)
        names = {change.interface for change in made}
        for change in changes:
            if change.interface not in names:
                self._ledger.guards.now_gone(change.interface)
                self.unguarded.add(change.interface)

    def _lead_anew(self, index: int) -> None:
        """Its guard leads to an interface that is gone, if anywhere."""
        found = links.find(self._kernel.route, index)
        there = self._ledger.guards.there(found.name) if found else None
        if found and there and there.limited:
            self._ledger.guards.now_there(found.name, replace(there, intact=False))

    def _guarded(self, interface: str, guard: Guard | None) -> None:
        before = self._ledger.guards.there(interface)
        self.lost |= {*(before.own if before else ())} - {*(guard.own if guard else ())}
        if guard is None:
            self._ledger.guards.now_gone(interface)
            return
        self._ledger.guards.now_there(interface, guard)
        self.distrust.loaded(NETDEV_TABLE, interface)
        if before is None or bool(before.more) != bool(guard.more):
            self.guarded.add(interface)

    def _settle_elements(self, *, sweep: bool) -> None:
        self._commit(self._changes(sweep=sweep))
        self._ledger.dirty = {name for name in self._ledger.dirty if self._ledger.elements[name].pending}

    def _changes(self, *, sweep: bool) -> list[SetChange]:
        specs = [spec for name in sorted(self._ledger.dirty) if (spec := self._ledger.sets.wanted(name)) is not None]
        changes = [self._change(spec, sweep=sweep) for spec in specs]
        return [change for change in changes if change.add or change.delete]

    def _change(self, spec: SetSpec, *, sweep: bool) -> SetChange:
        """An element whose data differs goes and comes."""
        delta = self._ledger.elements[spec.name]
        updates = delta.updates()
        out = [there for key in [*updates, *delta.deletes(sweep=sweep)] if (there := delta.there(key)) is not None]
        return SetChange(spec, tuple(out), tuple(updates.values()))

    def _commit(self, changes: Sequence[SetChange]) -> None:
        if changes:
            elements.commit(self._kernel.netfilter, changes)
            self._took((), (), changes)

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
        for name in [*self._ledger.idle]:
            self._ledger.unwant_chain(name)
        chains = self._ledger.chains.deletes(sweep=True)
        specs = [self._ledger.sets.there(name) for name in self._ledger.sets.deletes(sweep=True)]
        sets = [spec for spec in specs if spec is not None]
        idle = self._ledger.counters.deletes(sweep=True)
        if not chains and not sets and not idle:
            self._stuck = False
            return
        try:
            self._remove(chains, sets, idle)
        except NftRefused:
            # A rule leads there: another hand renamed a chain of ours, when we did not listen.
            self._load_all_anew()
            self._remove_at_last(chains, sets, idle)
        self._stuck = False
        for name in chains:
            self._ledger.chains.now_gone(name)
            self.refused.pop(name, None)
            self._refused_chains.pop(name, None)
        for spec in sets:
            self._ledger.set_is_gone(spec.name)
        for name in idle:
            self._ledger.counters.now_gone(name)

    def _remove(self, chains: Sequence[str], sets: Sequence[SetSpec], idle: Sequence[str]) -> None:
        """NftRefused, Unavailable."""
        base = [name for name in chains if (there := self._ledger.chains.there(name)) and there.hook]
        if base:
            self._kernel.nft.run(nftext.emptied(base))
        self._kernel.nft.run(nftext.removal(chains, sets, idle))

    def _load_all_anew(self) -> None:
        """Every chain, in one transaction: rules that led to one that was renamed lead to the one of that name."""
        self.distrust.heard((), [INET_TABLE])
        self.distrust.show_tables()
        self._settle_chains(sweep=True)

    def _remove_at_last(self, chains: Sequence[str], sets: Sequence[SetSpec], idle: Sequence[str]) -> None:
        """The table is made anew only when all is freshly read and loaded: with it goes what flows are known by."""
        try:
            self._remove(chains, sets, idle)
        except NftRefused as error:
            refused = f"what is unused cannot be removed: {error.message}"
            if not self._stuck:
                self._stuck = True
                raise Unavailable(refused) from error
            self.made_anew = refused
            self._rebuild()


def _sayable(change: SetChange) -> SetChange:
    """As much of it as text can say; the rest is left for netlink."""
    keys = {each.key for each in (*change.delete, *change.add) if not nftext.sayable(change.spec, each)}
    delete, add = (tuple(each for each in part if each.key not in keys) for part in (change.delete, change.add))
    return SetChange(change.spec, delete, add)


def _closed(chain: Chain, reason: str) -> Chain:
    return Chain(chain.name, (Rule("drop", f"refused: {reason}"),), comment=chain.comment)
