"""A dataplane that applies batches to dictionaries, and insists on every promise that the sender made in `model.wanted`.

It is stricter than the contract where the sequencer is: no message may be needless, none may come twice in a batch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import singledispatchmethod

from ocicat.model import wanted


@dataclass
class Picture:
    """All that a dataplane was asked for."""

    sets: dict = field(default_factory=dict)
    port_sets: dict = field(default_factory=dict)
    policies: dict = field(default_factory=dict)
    profiles: dict = field(default_factory=dict)
    settings: wanted.HostSettings | None = None
    outgoing: wanted.OutgoingNat = field(default_factory=wanted.OutgoingNat)
    endpoints: dict = field(default_factory=dict)
    host_endpoints: dict = field(default_factory=dict)
    blocks: dict = field(default_factory=dict)


class MockDataplane:
    def __init__(self) -> None:
        self.picture = Picture()
        self.in_sync = False
        self.revision: int | None = None
        self._named: set = set()  # objects of the present batch
        self._missing: set[str] = set()  # profiles that an endpoint of this batch named and that were not there

    def apply(self, batch: wanted.Batch) -> None:
        self._named, self._missing = set(), set()
        for message in batch:
            self._apply(message)
        if batch:
            assert isinstance(batch[-1], wanted.Revision), "a batch ends in its revision"
            assert self.in_sync, "nothing comes before everything has come"
        interfaces = [found.interface for found in self.picture.endpoints.values()]
        assert len(interfaces) == len(set(interfaces)), "two endpoints on one interface"
        floating = [each.outside for found in self.picture.endpoints.values() for each in found.floating]
        assert len(floating) == len(set(floating)), "two endpoints have one floating address"

    @singledispatchmethod
    def _apply(self, message) -> None:
        raise AssertionError(f"unknown message {message}")

    @_apply.register
    def _(self, message: wanted.AddressSet) -> None:
        self._once("set", message.set_id)
        added, removed = message.added | message.nets_added, message.removed | message.nets_removed
        self._change(self.picture.sets, message.set_id, added, removed)
        assert all(net.size > 1 for net in message.nets_added), "a prefix of one address is an address"

    @_apply.register
    def _(self, message: wanted.PortSet) -> None:
        self._once("set", message.set_id)
        self._change(self.picture.port_sets, message.set_id, message.added, message.removed)

    def _change(self, sets, set_id, added, removed) -> None:
        before = sets.get(set_id)
        assert before is None or added or removed, "no needless message"
        before = before or set()
        assert not added & before, "added what was there"
        assert removed <= before, "removed what was not there"
        sets[set_id] = before - removed | added

    @_apply.register
    def _(self, message: wanted.AddressSetGone) -> None:
        self._set_gone(self.picture.sets, message.set_id)

    @_apply.register
    def _(self, message: wanted.PortSetGone) -> None:
        self._set_gone(self.picture.port_sets, message.set_id)

    def _set_gone(self, sets, set_id) -> None:
        self._once("set", set_id)
        owners = {**self.picture.profiles, **self.picture.policies}
        users = [name for name, rules in owners.items() if set_id in {*named_sets(rules), *named_port_sets(rules)}]
        assert not users, f"{set_id} is still named by {users}"
        del sets[set_id]

    @_apply.register
    def _(self, message: wanted.ProfileRules) -> None:
        assert message.name not in self._missing, "an endpoint came before its profile"
        self._rules("profile", self.picture.profiles, message.name, message)

    @_apply.register
    def _(self, message: wanted.PolicyRules) -> None:
        self._rules("policy", self.picture.policies, message.policy_id, message)

    def _rules(self, kind, owners, name, message) -> None:
        self._once(kind, name)
        assert owners.get(name) != message, "no needless message"
        assert named_sets(message) <= self.picture.sets.keys(), "rules name an unknown set"
        assert named_port_sets(message) <= self.picture.port_sets.keys(), "rules name an unknown set of ports"
        owners[name] = message

    @_apply.register
    def _(self, message: wanted.ProfileGone) -> None:
        self._once("profile", message.name)
        del self.picture.profiles[message.name]

    @_apply.register
    def _(self, message: wanted.PolicyGone) -> None:
        self._once("policy", message.policy_id)
        endpoints = (*self.picture.endpoints.values(), *self.picture.host_endpoints.values())
        users = [found.key for found in endpoints if message.policy_id in named_policies(found)]
        assert not users, f"{message.policy_id} is still named by {users}"
        del self.picture.policies[message.policy_id]

    @_apply.register
    def _(self, message: wanted.HostSettings) -> None:
        self._once("settings", None)
        assert self.picture.settings != message, "no needless message"
        self.picture.settings = message

    @_apply.register
    def _(self, message: wanted.OutgoingNat) -> None:
        self._once("outgoing NAT", None)
        assert self.picture.outgoing != message, "no needless message"
        self.picture.outgoing = message

    @_apply.register
    def _(self, message: wanted.Endpoint) -> None:
        self._once("endpoint", message.key)
        self._endpoint(self.picture.endpoints, message.key, message)

    @_apply.register
    def _(self, message: wanted.HostEndpoint) -> None:
        self._once("host endpoint", message.interface)
        self._endpoint(self.picture.host_endpoints, message.interface, message)

    def _endpoint(self, endpoints, name, message) -> None:
        assert endpoints.get(name) != message, "no needless message"
        assert named_policies(message) <= self.picture.policies.keys(), "an endpoint came before its policy"
        self._missing.update(set(message.profiles) - self.picture.profiles.keys())
        endpoints[name] = message

    @_apply.register
    def _(self, message: wanted.EndpointGone) -> None:
        self._once("endpoint", message.key)
        del self.picture.endpoints[message.key]

    @_apply.register
    def _(self, message: wanted.HostEndpointGone) -> None:
        self._once("host endpoint", message.interface)
        del self.picture.host_endpoints[message.interface]

    @_apply.register
    def _(self, message: wanted.RemoteBlock | wanted.LocalBlock) -> None:
        self._once("block", message.cidr)
        assert self.picture.blocks.get(message.cidr) != message, "no needless message"
        self.picture.blocks[message.cidr] = message

    @_apply.register
    def _(self, message: wanted.BlockGone) -> None:
        self._once("block", message.cidr)
        del self.picture.blocks[message.cidr]

    @_apply.register
    def _(self, message: wanted.InSync) -> None:
        assert not self.in_sync, "InSync comes once"
        self.in_sync = True

    @_apply.register
    def _(self, message: wanted.Revision) -> None:
        self._once("revision", None)
        self.revision = message.revision

    def _once(self, kind, name) -> None:
        assert (kind, name) not in self._named, f"two messages about {kind} {name} in one batch"
        self._named.add((kind, name))


def named_sets(rules) -> set[str]:
    return {set_id for side in _sides(rules) for set_id in (*side.sets, *side.not_sets)}


def named_port_sets(rules) -> set[str]:
    return {set_id for side in _sides(rules) for set_id in (*side.named, *side.not_named)}


def _sides(rules):
    return [side for rule in (*rules.ingress, *rules.egress) for side in (rule.source, rule.destination)]


def named_policies(endpoint) -> set[str]:
    lists = [getattr(endpoint, name) for name in LISTS if hasattr(endpoint, name)]
    return {policy for tiers in lists for tier in tiers for policy in tier.policies}


LISTS = (
    "ingress",
    "egress",
    "forward_ingress",
    "forward_egress",
    "untracked_ingress",
    "untracked_egress",
    "pre_dnat",
)
