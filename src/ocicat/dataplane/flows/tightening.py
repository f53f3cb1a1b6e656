"""Which flows may be forbidden since the last look: noted message by message, so that nobody looks at flows for nothing.

What only allows more is no reason to look: a new member of a set that only Allow rules name, a new Allow rule, a Deny rule less, a
policy or profile that was missing, a new endpoint. So a container that comes is mostly none.

Invariants: 1. Whatever a message forbids that was allowed before is noted; that more is noted costs a look. 2. Until the first
complete state nothing is noted but that; then everything is. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from ocicat.dataplane.ruleset.rules import action, trouble
from ocicat.model.base import Struct
from ocicat.model.net import Addr, Cidr
from ocicat.model.wanted import (
    AddressSet,
    AddressSetGone,
    Endpoint,
    EndpointGone,
    HostEndpoint,
    HostEndpointGone,
    HostPort,
    HostSettings,
    InSync,
    Message,
    PolicyGone,
    PolicyRules,
    PortSet,
    PortSetGone,
    ProfileGone,
    ProfileRules,
    Tier,
    WantedRule,
)

Rules = PolicyRules | ProfileRules
_Owner = tuple[str, str]  # "policy" and its id, or "profile" and its name


class Tightened(Struct, frozen=True):
    """`owners`: policies and profiles whose rules forbid more, in every list that names them. `everything`: all flows."""

    addresses: frozenset[Addr] = frozenset()
    nets: frozenset[Cidr] = frozenset()
    owners: frozenset[_Owner] = frozenset()
    everything: bool = False

    def joined(self, other: Tightened) -> Tightened:
        return Tightened(
            self.addresses | other.addresses,
            self.nets | other.nets,
            self.owners | other.owners,
            self.everything or other.everything,
        )

    def concerns(self, tiers: Iterable[Tier], profiles: Iterable[str]) -> bool:
        """One whose list is made of these."""
        return any(("policy", each) in self.owners for tier in tiers for each in tier.policies) or any(
            ("profile", name) in self.owners for name in profiles
        )


class Polarity(Struct, frozen=True):
    """Of a set, to one who names it: may an address that joins it be forbidden more, one that leaves it?"""

    joining: bool = False
    leaving: bool = False

    def joined(self, other: Polarity) -> Polarity:
        return Polarity(self.joining or other.joining, self.leaving or other.leaving)


class Tightening:
    """Told every message before it is applied."""

    def __init__(self) -> None:
        self._rules: dict[_Owner, Rules] = {}
        self._uses: defaultdict[str, dict[_Owner, Polarity]] = defaultdict(dict)
        self._endpoints: dict[str, Endpoint] = {}
        self._hosts: dict[str, HostEndpoint] = {}
        self._settings = HostSettings()
        self._in_sync = False
        self._found = Tightened()

    def take(self) -> Tightened:
        """All that was noted since the last time."""
        found, self._found = self._found, Tightened()
        return found

    def note_everything(self) -> None:
        self._note(Tightened(everything=True))

    def note(self, message: Message) -> None:
        match message:
            case PolicyRules() | ProfileRules():
                self._rules_said(message)
            case PolicyGone(policy_id=policy_id):
                self._rules_gone(("policy", policy_id))
            case ProfileGone(name=name):
                self._rules_gone(("profile", name))
            case AddressSet() | PortSet():
                self._members(message)
            case AddressSetGone(set_id=set_id) | PortSetGone(set_id=set_id):
                self._uses.pop(set_id, None)
            case Endpoint() | EndpointGone():
                self._endpoint(message)
            case HostSettings() | HostEndpoint() | HostEndpointGone():
                self._host(message)
            case InSync():
                self._in_sync = True
                self.note_everything()

    def _note(self, found: Tightened) -> None:
        if self._in_sync:
            self._found = self._found.joined(found)

    def _rules_said(self, message: Rules) -> None:
        owner = _owner(message)
        before = self._rules.get(owner)
        self._rules[owner] = message
        self._forget_uses(owner, before)
        for set_id, polarity in _uses(message):
            self._uses[set_id][owner] = polarity.joined(self._uses[set_id].get(owner, Polarity()))
        if before is not None and tightens(before, message):
            self._note(Tightened(owners=frozenset([owner])))

    def _rules_gone(self, owner: _Owner) -> None:
        """Whoever names it still is denied."""
        before = self._rules.pop(owner, None)
        self._forget_uses(owner, before)
        if before is not None:
            self._note(Tightened(owners=frozenset([owner])))

    def _forget_uses(self, owner: _Owner, rules: Rules | None) -> None:
        for set_id, _ in _uses(rules) if rules else ():
            self._uses.get(set_id, {}).pop(owner, None)

    def _members(self, message: AddressSet | PortSet) -> None:
        uses = self._uses.get(message.set_id, {}).values()
        if any(each.joining for each in uses):
            self._note(_of(message.added, message.nets_added if isinstance(message, AddressSet) else ()))
        if any(each.leaving for each in uses):
            self._note(_of(message.removed, message.nets_removed if isinstance(message, AddressSet) else ()))

    def _endpoint(self, message: Endpoint | EndpointGone) -> None:
        """A new one has no flows, nor has an address that changes hands: they are cut before it does."""
        before = self._endpoints.pop(message.key, None)
        if isinstance(message, EndpointGone):
            return
        self._endpoints[message.key] = message
        if before is not None and _lists(before) != _lists(message):
            self._note(_of(message.addresses))

    def _host(self, message: HostSettings | HostEndpoint | HostEndpointGone) -> None:
        same = False
        match message:
            case HostSettings():
                same = _deciding(self._settings) == _deciding(message)
                self._settings = message
            case HostEndpoint():
                same = self._hosts.get(message.interface) == message
                self._hosts[message.interface] = message
            case HostEndpointGone():
                same = self._hosts.pop(message.interface, None) is None
        if not same:
            self.note_everything()


def _owner(rules: Rules) -> _Owner:
    return ("policy", rules.policy_id) if isinstance(rules, PolicyRules) else ("profile", rules.name)


def _of(members: Iterable[Addr | HostPort], nets: Iterable[Cidr] = ()) -> Tightened:
    addresses = (each if isinstance(each, Addr) else each[0] for each in members)
    return Tightened(frozenset(addresses), frozenset(nets))


def _lists(endpoint: Endpoint) -> tuple[object, ...]:
    return endpoint.ingress, endpoint.egress, endpoint.profiles


def _deciding(settings: HostSettings) -> tuple[object, ...]:
    return (
        settings.failsafe_inbound,
        settings.failsafe_outbound,
        settings.endpoint_to_host,
        settings.vxlan_port,
        settings.vxlan_from_workloads,
        settings.ipip_from_workloads,
    )


def _uses(rules: Rules) -> Iterator[tuple[str, Polarity]]:
    """The sets that it names, perhaps several times, and what their members mean to it."""
    if isinstance(rules, PolicyRules) and rules.staged:
        return
    for rule in (*rules.ingress, *rules.egress):
        inside = _INSIDE.get("Log" if trouble(rule) else rule.action, Polarity())
        for side in (rule.source, rule.destination):
            yield from ((each, inside) for each in (*side.sets, *side.named))
            yield from ((each, Polarity(inside.leaving, inside.joining)) for each in (*side.not_sets, *side.not_named))


_INSIDE = {
    "Allow": Polarity(leaving=True),
    "Deny": Polarity(joining=True),
    "Pass": Polarity(joining=True, leaving=True),
}


def tightens(before: Rules, now: Rules) -> bool:
    """May `now` forbid what `before` allowed? Of rules that stay as they are, and in order, it is known."""
    staged = [isinstance(each, PolicyRules) and each.staged for each in (before, now)]
    if any(staged):
        return not all(staged)
    return _tightens(before.ingress, now.ingress) or _tightens(before.egress, now.egress)


def _tightens(before: tuple[WantedRule, ...], now: tuple[WantedRule, ...]) -> bool:
    """No, if `now` is `before` with some Allow rules more and some Deny rules less."""
    left = [rule for rule in before if action(rule) != "Log"]
    for rule in now:
        place = left.index(rule) if rule in left else None
        if place is not None and _all_deny(left[:place]):
            del left[: place + 1]
        elif action(rule) not in ("Allow", "Log"):
            return True
    return not _all_deny(left)


def _all_deny(rules: Iterable[WantedRule]) -> bool:
    return all(action(rule) == "Deny" for rule in rules)
