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
    profiles: dict = field(default_factory=dict)
    endpoints: dict = field(default_factory=dict)
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

    @singledispatchmethod
    def _apply(self, message) -> None:
        raise AssertionError(f"unknown message {message}")

    @_apply.register
    def _(self, message: wanted.AddressSet) -> None:
        self._once("set", message.set_id)
        before = self.picture.sets.get(message.set_id)
        assert before is None or message.added or message.removed, "no needless message"
        before = before or set()
        assert not message.added & before, "added what was there"
        assert message.removed <= before, "removed what was not there"
        self.picture.sets[message.set_id] = before - message.removed | message.added

    @_apply.register
    def _(self, message: wanted.AddressSetGone) -> None:
        self._once("set", message.set_id)
        users = [name for name, rules in self.picture.profiles.items() if message.set_id in named_sets(rules)]
        assert not users, f"{message.set_id} is still named by {users}"
        del self.picture.sets[message.set_id]

    @_apply.register
    def _(self, message: wanted.ProfileRules) -> None:
        self._once("profile", message.name)
        assert self.picture.profiles.get(message.name) != message, "no needless message"
        assert named_sets(message) <= self.picture.sets.keys(), "rules name an unknown set"
        assert message.name not in self._missing, "an endpoint came before its profile"
        self.picture.profiles[message.name] = message

    @_apply.register
    def _(self, message: wanted.ProfileGone) -> None:
        self._once("profile", message.name)
        del self.picture.profiles[message.name]

    @_apply.register
    def _(self, message: wanted.Endpoint) -> None:
        self._once("endpoint", message.key)
        assert self.picture.endpoints.get(message.key) != message, "no needless message"
        self._missing.update(set(message.profiles) - self.picture.profiles.keys())
        self.picture.endpoints[message.key] = message

    @_apply.register
    def _(self, message: wanted.EndpointGone) -> None:
        self._once("endpoint", message.key)
        del self.picture.endpoints[message.key]

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


def named_sets(rules: wanted.ProfileRules) -> set[str]:
    sides = [side for rule in (*rules.ingress, *rules.egress) for side in (rule.source, rule.destination)]
    return {set_id for side in sides for set_id in side.sets}
