"""What there will be beside an object when all changes of a call are made: `ocicat.validate.World`. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar, cast

from ocicat.errors import UserError
from ocicat.model import keys
from ocicat.model.net import Cidr
from ocicat.model.v3.addressing import IPPool
from ocicat.model.v3.document import Document
from ocicat.model.v3.kinds import KINDS, Kind
from ocicat.model.v3.metadata import Resource
from ocicat.model.v3.policy import NetworkPolicySpec
from ocicat.resources import stored
from ocicat.resources.view import POLICIES, TIERS, View

R = TypeVar("R", bound=Resource)


@dataclass
class ChangedWorld:
    """`changed`: what becomes of each key that the call touches; None: it is deleted."""

    view: View
    changed: Mapping[str, Document | None]

    def pools(self) -> Collection[IPPool]:
        return self._pools

    def blocks(self) -> Collection[Cidr]:
        return self._blocks

    def has_tier(self, name: str) -> bool:
        key = TIERS + name
        return self.changed[key] is not None if key in self.changed else key in self.view.items

    def policies_in(self, tier: str) -> Collection[str]:
        return [name for name, lies_in in self._policies if lies_in == tier]

    @cached_property
    def _pools(self) -> tuple[IPPool, ...]:
        return tuple(cast("IPPool", pool) for pool in self._resources(KINDS["IPPool"]))

    @cached_property
    def _blocks(self) -> tuple[Cidr, ...]:
        return tuple(cidr for item in self.view.under(keys.BLOCKS) if (cidr := _block(item.key)))

    @cached_property
    def _policies(self) -> tuple[tuple[str, str], ...]:
        """(name, tier) of each."""
        found = (policy for kind in POLICIES for policy in self._resources(kind))
        return tuple((policy.metadata.name, cast("NetworkPolicySpec", policy.spec).tier) for policy in found)

    def _resources(self, kind: Kind) -> Iterator[Resource]:
        """One that cannot be read is passed over: it must not stop the others."""
        prefix = stored.prefix(kind)
        for item in self.view.under(prefix):
            if item.key not in self.changed:
                try:
                    yield stored.read(kind, item).resource
                except UserError:
                    continue
        for key, document in self.changed.items():
            if document is not None and key.startswith(prefix):
                yield document.resource


def _block(key: str) -> Cidr | None:
    try:
        return keys.block_cidr(key)
    except UserError:
        return None
