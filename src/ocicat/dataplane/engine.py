"""The dataplane's state and what can be done with it, for the one thread that owns it (`apply`).

It joins the pure half (managers, ledger) to the kernel half (program, drivers, reaper), and speaks of the result in reports.

Invariants: 1. Every method runs on one thread, in one network namespace. 2. After any exception from `run_pass` the kernel is
read back before the next pass. 3. A live interface is only ever deleted by `detach`. Whatever else of ours has no place is
swept, but a container that lost its interface cannot get it back; one that is merely unrouted and closed can.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping

from ocicat.dataplane.api import (
    Applied,
    Attach,
    Attached,
    DataplaneConfig,
    Detach,
    Drift,
    EndpointFailed,
    EndpointsInForce,
    Problem,
    Report,
)
from ocicat.dataplane.check import Checker
from ocicat.dataplane.drift.doubts import Judge
from ocicat.dataplane.drift.interfaces import Interfaces
from ocicat.dataplane.drift.watchman import Hints
from ocicat.dataplane.drivers import container, elements, lent, links, sysctl
from ocicat.dataplane.drivers.kernel import Kernel
from ocicat.dataplane.drivers.ports import Ports
from ocicat.dataplane.flows import leftovers
from ocicat.dataplane.flows.cuts import Cut, Cuts, Places, Search, guards
from ocicat.dataplane.flows.surroundings import Surroundings
from ocicat.dataplane.managers.router import Managers
from ocicat.dataplane.ownership import check_interface, detached_addresses, is_detached
from ocicat.dataplane.reaper import Done, Freed, Grave, Left, Mapped, Reaper
from ocicat.dataplane.reconcile import readback
from ocicat.dataplane.reconcile.distrust import INET_TABLE
from ocicat.dataplane.reconcile.ledger import Ledger
from ocicat.dataplane.reconcile.program import Program
from ocicat.dataplane.ruleset.identity import Decider
from ocicat.dataplane.ruleset.skeleton import DISPATCH
from ocicat.errors import Conflict, Unavailable, UserError
from ocicat.model.wanted import Batch
from ocicat.netlink.link import Link
from ocicat.netlink.nftset import key_ifname

_JUDGING_S = 0.005  # at a time: an ADD should not wait longer


class Engine:
    """Nothing is opened or read before `read_back`, which is also how to start."""

    def __init__(self, config: DataplaneConfig, reaper: Reaper) -> None:
        self._config = config
        self._reaper = reaper
        self._kernel = Kernel(config.nft)
        self._ledger = Ledger()
        self._managers = Managers(config, self._ledger)
        self._program = Program(self._ledger, self._kernel)
        self._interfaces = Interfaces(self._kernel, self._managers, self._ledger)
        self._cuts = Cuts(config, self._managers)
        self._places: Places | None = None  # as long as they can be trusted
        self._ready = False
        self._looked = False  # for addresses that were left before our start
        self._tidy_next = False
        self._waiting: set[str] = set()  # endpoints that were not told to be in force since they last changed
        self._failed: dict[str, str] = {}  # those of them that were told to have failed, and why
        self._unclaimed: set[str] = set()  # interfaces from before our start, that nobody has attached since
        self._graves: list[Grave] = []
        self._dying: defaultdict[str, set[int]] = defaultdict(set)  # ifindexes of those that are not gone yet, by name
        self._flushing: set[bytes] = set()  # held addresses that the reaper knows of
        self._unreaped: dict[Grave | Freed | Left | Mapped, str] = {}  # what the reaper could not do, and why
        self._told: dict[str, str] = {}
        self._applied = 0
        self._doubts: list[str] = []  # signs of another hand, since the kernel was last read back
        self._mended: list[str] = []  # what reading back has set right itself
        self._drift: list[Drift] = []  # found, and not told yet

    @property
    def ports(self) -> Ports:
        """Those that our own transactions come from."""
        return self._kernel.ports

    @property
    def deciders(self) -> Mapping[str, Decider]:
        """Whose the prefixes of flow logs are."""
        return self._managers.policy.deciders

    @property
    def in_doubt(self) -> bool:
        """Is there a sign that what is ours was changed by another hand?"""
        return bool(self._doubts)

    def close(self) -> None:
        self._kernel.close()

    def read_back(self) -> None:
        """Start anew from what the kernel has. The next pass is a thorough one. Unavailable, Refused."""
        self._tidy_next = True
        self._kernel.reopen()
        self._mended = [setting for family in self._managers.families() for setting in sysctl.forward(family)]
        before = self._ledger.differences(sweep=self._managers.in_sync)
        self._ledger.found(readback.read(self._kernel))
        self._program.distrust.show_chains()
        self._managers.nat.keep()
        self._find_links()
        self._note_drift(before)
        self._program.distrust.show_tables()
        self._program.retry()
        self._expect([*self._failed, *self._managers.endpoints.unsettled()])
        for item in self._unreaped:
            self._reaper.put(item)

    def suspect(self, hints: Hints) -> None:
        """The watchman heard something: read back soon if it may be about ours. Unavailable."""
        self._program.distrust.heard(hints.chains, hints.tables)
        if self._ready:
            prefix = self._config.interface_prefix
            judge = Judge(self._kernel, self._managers, self._ledger, self._interfaces, prefix)
            self._doubts += judge.doubts(hints)
        else:
            self._doubts += hints.by

    def look(self) -> None:
        """Now and then, at what other hands change in silence. Unavailable, Refused."""
        if self._ready:
            self._doubts += self._interfaces.look()

    def doubt(self, why: str) -> None:
        """The kernel is to be read back soon."""
        self._doubts.append(why)

    @property
    def look_wait_s(self) -> float | None:
        """How long until `look` has something to do; None: it has nothing."""
        return self._interfaces.look_wait_s if self._ready else None

    def _note_drift(self, before: Mapping[str, int]) -> None:
        after = self._ledger.differences(sweep=self._managers.in_sync)
        what = [f"{count} {name}" if count > 1 else name for name, count in after.items() if before.get(name) != count]
        if what and self._ready and self._managers.in_sync:
            self._cuts.note_everything()
        if self._doubts and (what or self._mended):
            self._drift.append(Drift(tuple(dict.fromkeys(self._doubts)), (*what, *self._mended)))
        self._doubts.clear()
        self._mended.clear()

    def batch(self, batch: Batch) -> None:
        for message in batch:
            self._cuts.note(message)
            self._managers.apply(message)
        self._managers.settle()
        self._places = None
        self._expect(self._managers.changed)
        self._managers.changed.clear()

    def attach(self, request: Attach) -> Attached:
        """The interface is there when this returns, closed. Errors as `container.plug` has them, and UserError."""
        request = self._checked(request)
        plug = container.plug if request.netns_path else lent.plug
        if any(address.family == 6 for address in request.addresses):
            sysctl.forward(6)
        try:
            made = plug(self._kernel.route, request, self._guard)
        except Conflict:
            self._remove_past(request.interface)
            made = plug(self._kernel.route, request, self._guard)
        self._interfaces.trust_guard(request.interface)
        self._unclaimed.discard(request.interface)
        found = links.find(self._kernel.route, made.index)  # one that was there already may have another MTU
        mtu = found.mtu if found else request.mtu
        self._managers.endpoints.link_there(request.interface, made.index, request.key, mtu)
        self._interfaces.homes.made(made.index, request.addresses, made.mac)
        self._expect(self._managers.endpoints.on_interface(request.interface))
        return made

    def _guard(self, interface: str, *, new: bool) -> None:
        """Before it is set up. What there is of a guard on one that is not new says what may come in already."""
        if new or self._ledger.guards.there(interface) is None:
            self._program.close_new(interface)

    def complete(self, request: Attach) -> None:
        """Of an interface that was lent, and taken: as `lent.complete` has it."""
        lent.complete(self._kernel.route, self._checked(request))

    def detach(self, request: Detach) -> None:
        """After the next pass it is closed and without a route, and its name is free."""
        check_interface(request.interface, self._config.interface_prefix)
        found = links.find(self._kernel.route, request.interface)
        if found is not None and found.alias not in ("", request.key):
            return  # another endpoint's, or detached already
        self._unclaimed.discard(request.interface)
        addresses = self._own(request.interface)
        self._interfaces.gone(request.interface)
        self._managers.endpoints.link_dying(request.interface)
        if not self._managers.in_sync:
            self._release_found(request.interface, found)
        if found is not None and links.mark_detached(self._kernel.route, found.index, addresses):
            self._bury(found)
        else:
            self._managers.endpoints.link_gone(request.interface)

    def reaped(self, done: Done) -> None:
        """The reaper is done with it, or could not do it."""
        match done.item:
            case Grave() | Freed() | Left() | Mapped() as item if done.text:
                self._unreaped[item] = done.text
            case Grave() as item:
                self._unreaped.pop(item, None)
                self._buried(item)
            case Mapped() as item:
                self._unreaped.pop(item, None)
            case Left() as item:
                self._unreaped.pop(item, None)
                self._found_left(done)
            case Freed(address) as item:
                self._unreaped.pop(item, None)
                self._flushing.discard(address)
                self._managers.endpoints.release(address)
            case Search() | Cut() as item if done.text:
                self._cuts.failed(item, done.text, time.monotonic())
            case Search():
                self._cuts.found(done.flows, time.monotonic())
            case Cut() as item:
                self._cuts.ended(item, done.flows)

    def _look_for_left(self) -> None:
        """Once, when all is known."""
        if self._managers.in_sync and not self._looked:
            self._looked = True
            if nets := leftovers.nets(self._managers.blocks):
                self._reaper.put(Left(nets))

    def _found_left(self, done: Done) -> None:
        """What a workload has that is nobody's endpoint is not free."""
        taken = {each for name in self._managers.endpoints.links for each in self._own(name)}
        local = Surroundings(self._kernel.route)
        left = leftovers.addresses(done.flows, self._managers.blocks, local.is_local)
        self._managers.endpoints.hold(left - taken)

    def _bury(self, link: Link) -> None:
        self._graves.append(Grave(link.index, link.name))
        self._dying[link.name].add(link.index)

    def _buried(self, grave: Grave) -> None:
        """Another of that name may be there still: its guard is the name's."""
        self._dying[grave.interface].discard(grave.index)
        if not self._dying[grave.interface]:
            del self._dying[grave.interface]
            if grave.interface not in self._managers.endpoints.links:
                self._managers.endpoints.link_gone(grave.interface)

    def cut(self) -> list[Report]:
        """After a pass: what it has forbidden is looked for, and what was found is judged, some of it at a time. Unavailable."""
        now = time.monotonic()
        if search := self._cuts.search(now):
            self._places = None
            self._reaper.put(search)
        self._cuts.judge(self._place, lambda: time.monotonic() < now + _JUDGING_S)
        if self._cuts.forbidden:
            elements.commit(self._kernel.netfilter, guards(self._cuts.forbidden))
            self._reaper.put(self._cuts.handed_over())
        reports, self._cuts.reports = self._cuts.reports, []
        return [*reports]

    def cut_wait_s(self) -> float | None:
        """How long until `cut` has something to do; None: it has nothing."""
        return self._cuts.wait_s(time.monotonic())

    def _place(self, address: bytes) -> str | None:
        if self._places is None:
            found = Surroundings(self._kernel.route)
            self._places = Places(self._managers, self._ledger, found.is_local, found.way_to)
        return self._places(address)

    def verify(self, name: str, request: Attach | None) -> list[str]:
        """What is wrong with the endpoint of that key or interface, as the kernel has it now."""
        return Checker(self._kernel, self._managers, self._ledger, self._interfaces.homes).faults(name, request)

    @property
    def untidy(self) -> bool:
        """Would a pass with `tidy` have something to remove?"""
        return self._managers.in_sync and self._program.untidy

    def run_pass(self, *, tidy: bool = False) -> list[Report]:
        """The kernel as it is wanted; what there is to say about it. `tidy`: unused chains and sets go too. Unavailable."""
        self._interfaces.trust_less()
        self._program.run(sweep=self._managers.in_sync, tidy=tidy or self._tidy_next)
        self._interfaces.homes.tell(self._waiting)
        self._ready = True
        self._tidy_next = False
        if self._program.made_anew:
            self._drift.append(Drift((self._program.made_anew,), (f"table {INET_TABLE}",)))
            self._program.made_anew = ""
        for name in [*self._program.guarded]:
            self._interfaces.trust_guard(name)
            self._program.guarded.discard(name)
        while self._program.unguarded:
            self._doubts.append(f"interface {self._program.unguarded.pop()} went")
        self._managers.endpoints.hold(self._program.lost)
        for address in (self._program.lost | self._managers.endpoints.held) - self._flushing:
            self._flushing.add(address)
            self._reaper.put(Freed(address))
        self._program.lost.clear()
        if self._program.mapped:
            self._reaper.put(Mapped(frozenset(self._program.mapped)))
            self._program.mapped.clear()
        while self._program.shapers.idle:
            self._bury(self._program.shapers.idle.pop())
        # Only now: while the reaper deletes an interface, the kernel lets nobody else change one, nor a route.
        while self._graves:
            self._reaper.put(self._graves.pop())
        self._look_for_left()
        drift, self._drift = self._drift, []
        return [*drift, *self._problem_reports(), *self._endpoint_reports(), *self._applied_report()]

    def _expect(self, keys: Iterable[str]) -> None:
        """Of these endpoints there will be something to say again."""
        for key in [*keys]:
            self._waiting.add(key)
            self._failed.pop(key, None)

    def _checked(self, request: Attach) -> Attach:
        if not self._ready:
            raise Unavailable("the ruleset is not in place yet", hint="see the problem reported for the dataplane")
        check_interface(request.interface, self._config.interface_prefix)
        if not request.addresses:
            raise UserError(f"endpoint {request.key} has no address")
        return Attach(
            request.key,
            request.interface,
            request.netns_path,
            request.container_interface,
            request.addresses,
            request.mac,
            request.mtu or self._config.mtu,
        )

    def _find_links(self) -> None:
        live: dict[str, Link] = {}
        for link in links.ours(self._kernel.route, self._config.interface_prefix):
            if is_detached(link.alias):
                self._find_dying(link)
            else:
                live[link.name] = link
        for name in self._managers.endpoints.links.keys() - live.keys():
            self._managers.endpoints.link_gone(name)
        for name, link in live.items():
            made = self._interfaces.bearer(link)
            self._managers.endpoints.link_there(name, made.index, made.key, made.mtu)
            if not link.up:
                self._guard(name, new=False)
            self._mended += self._interfaces.mend(link)
        self._mended += self._interfaces.homes.mend()
        self._interfaces.there(live.values())
        if not self._ready:
            self._unclaimed = set(live)

    def _find_dying(self, link: Link) -> None:
        """One that another life of ours left also has flows to be cut, unless its address has a new owner since."""
        if not self._ready:
            taken = {each for name in self._ledger.guards.all_there() if name != link.name for each in self._own(name)}
            self._managers.endpoints.hold(each for each in detached_addresses(link.alias) if each not in taken)
        self._managers.endpoints.link_dying(link.name)
        self._bury(link)

    def _own(self, interface: str) -> tuple[bytes, ...]:
        """The addresses (packed) that this interface may use in the kernel."""
        guard = self._ledger.guards.there(interface)
        return guard.own if guard else ()

    def _release_found(self, interface: str, link: Link | None) -> None:
        """Before the first complete state what another life of ours left for this interface is in nobody's plan, but must go."""
        key = key_ifname(interface)
        for name in DISPATCH:
            self._ledger.unwant_element(name, key)
        if link is not None:
            self._ledger.release_routes_on(link.index)
            self._ledger.release_shapers_on(link.index)

    def _remove_past(self, interface: str) -> None:
        """An interface of the same name that is on its way out. This waits for the kernel; it is rare."""
        self._managers.endpoints.link_gone(interface)
        links.remove(self._kernel.route, interface)

    def _endpoint_reports(self) -> list[Report]:
        in_force: list[str] = []
        failed: list[Report] = []
        for key in sorted(self._waiting):
            if key not in self._managers.endpoints.endpoints:
                self._expect_no_more(key)
                continue
            reason = self._managers.endpoints.fault(key) or self._route_faults(key)
            if reason and self._failed.get(key) != reason:
                self._failed[key] = reason
                failed.append(EndpointFailed(key, reason))
            if not reason and self._managers.endpoints.settled(key):
                self._expect_no_more(key)
                in_force.append(key)
        return [*failed, *([EndpointsInForce(tuple(in_force), self._managers.revision)] if in_force else [])]

    def _expect_no_more(self, key: str) -> None:
        self._waiting.discard(key)
        self._failed.pop(key, None)

    def _route_faults(self, key: str) -> str:
        destinations = self._managers.endpoints.destinations(key)
        return "; ".join(f"{dst}: {self._program.failed[dst]}" for dst in destinations if dst in self._program.failed)

    def _applied_report(self) -> list[Report]:
        if self._managers.revision == self._applied:
            return []
        self._applied = self._managers.revision
        return [Applied(self._applied)]

    def _problem_reports(self) -> list[Report]:
        """What is new or different, and what is solved (an empty text)."""
        now = self._problems()
        told, self._told = self._told, now
        changed = [Problem(name, text) for name, text in sorted(now.items()) if told.get(name) != text]
        return [*changed, *(Problem(name, "") for name in sorted(told.keys() - now.keys()))]

    def _problems(self) -> dict[str, str]:
        found = {**self._managers.policy.problems, **self._managers.hosts.problems}
        found |= {str(item): text for item, text in self._unreaped.items()}
        if self._cuts.trouble:
            found["flows"] = self._cuts.trouble
        for chain, text in self._program.refused.items():
            if owner := self._managers.policy.owner(chain):
                found[owner] = text
        for dst, block in self._managers.blocks.items() if self._program.failed else ():
            if dst in self._program.failed:
                found[f"block {block.cidr}"] = self._program.failed[dst]
        for shaper, text in self._program.shapers.failed.items():
            found[f"endpoint {self._managers.limits.holder(shaper)}"] = text
        if self._managers.in_sync:
            for name in self._unclaimed:
                if not self._managers.endpoints.on_interface(name):
                    found[f"interface {name}"] = "no endpoint has it; it is closed, and stays until it is detached"
        return found
