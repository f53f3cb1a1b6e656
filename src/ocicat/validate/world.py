"""Rules between an object and the others that the datastore holds. Pure: who calls gathers what they ask for.

They are checked in the same transaction that writes, or they mean nothing: compare the revisions of what was read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Protocol

from ocicat.model.net import Cidr
from ocicat.model.v3.addressing import IPPool
from ocicat.model.v3.defaults import DEFAULT_ALLOW_PROFILE, FIXED_TIERS
from ocicat.model.v3.metadata import Resource
from ocicat.model.v3.policy import GlobalNetworkPolicy, NetworkPolicy, Profile, Tier
from ocicat.model.v3.staged import StagedGlobalNetworkPolicy, StagedNetworkPolicy
from ocicat.validate.forms import network
from ocicat.validate.problem import Problem, problem


class World(Protocol):
    """What else there is."""

    def pools(self) -> Collection[IPPool]: ...
    def blocks(self) -> Collection[Cidr]:
        """The prefixes of all address blocks."""

    def has_tier(self, name: str) -> bool: ...
    def policies_in(self, tier: str) -> Collection[str]:
        """The names of the policies, staged ones included, that a tier holds."""


def conflicts(resource: Resource, world: World, *, creates: bool) -> tuple[Problem, ...]:
    """Why the others do not let this object be written. `creates`: it is new."""
    match resource:
        case IPPool():
            # Its prefix never changes: one that overlaps already can still be disabled.
            return (*_overlaps(resource, world), *_other_blocks(resource, world)) if creates else ()
        case NetworkPolicy() | GlobalNetworkPolicy() | StagedNetworkPolicy() | StagedGlobalNetworkPolicy():
            return tuple(_tier_missing(resource.spec.tier, world))
        case Profile():
            return tuple(_generated(resource))
        case _:
            return ()


def reasons_to_keep(resource: Resource, world: World) -> tuple[Problem, ...]:
    """Why an object cannot be deleted."""
    match resource:
        case Tier():
            return tuple(_tier_in_use(resource, world))
        case Profile():
            return tuple(_generated(resource))
        case _:
            return ()


def _overlaps(pool: IPPool, world: World) -> Iterator[Problem]:
    cidr = network(pool.spec.cidr)
    for other in world.pools():
        theirs = network(other.spec.cidr)
        if cidr and theirs and other.metadata.name != pool.metadata.name and cidr.overlaps(theirs):
            yield problem("spec.cidr", pool.spec.cidr, f"overlaps with the pool {other.metadata.name} ({theirs})")


def _other_blocks(pool: IPPool, world: World) -> Iterator[Problem]:
    cidr = network(pool.spec.cidr)
    for block in world.blocks():
        if cidr and cidr.overlaps(block) and block.length != pool.spec.effective_block_size:
            rule = f"there is the block {block} already: release it, or set blockSize {block.length}"
            yield problem("spec.blockSize", pool.spec.effective_block_size, rule)
            return


def _tier_missing(tier: str, world: World) -> Iterator[Problem]:
    if tier not in FIXED_TIERS and not world.has_tier(tier):
        yield problem("spec.tier", tier, "there is no such tier: create it first")


def _tier_in_use(tier: Tier, world: World) -> Iterator[Problem]:
    name = tier.metadata.name
    if name in FIXED_TIERS:
        yield problem("metadata.name", name, "this tier always exists and cannot be deleted")
    held = sorted(world.policies_in(name))
    if held:
        shown = ", ".join(held[:3]) + (" ..." if len(held) > 3 else "")
        yield problem(
            "metadata.name", name, f"the tier holds {len(held)} policies ({shown}): delete or move them first"
        )


def _generated(profile: Profile) -> Iterator[Problem]:
    if profile.metadata.name == DEFAULT_ALLOW_PROFILE:
        yield problem(
            "metadata.name", DEFAULT_ALLOW_PROFILE, "this profile always exists and cannot be changed or deleted"
        )
