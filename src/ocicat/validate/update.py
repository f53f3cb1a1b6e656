"""Transitions that are forbidden although both states are right. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ocicat.model.v3.addressing import IPPool
from ocicat.model.v3.defaults import with_defaults
from ocicat.model.v3.metadata import Resource
from ocicat.validate.problem import Problem, problem


def comparable(resource: Resource) -> Resource:
    """With what it means where it says nothing, as far as immutable fields go: to write a default out is no change."""
    return with_defaults(resource) if isinstance(resource, IPPool) else resource


def forbidden(old: Resource, new: Resource) -> Iterator[Problem]:
    if isinstance(old, IPPool) and isinstance(new, IPPool):
        yield from _pool_use(old, new)


def _pool_use(old: IPPool, new: IPPool) -> Iterator[Problem]:
    if "LoadBalancer" in old.spec.allowed_uses and "LoadBalancer" not in new.spec.allowed_uses:
        yield problem(
            "spec.allowedUses", new.spec.allowed_uses, "a LoadBalancer pool remains one: make a new pool instead"
        )
