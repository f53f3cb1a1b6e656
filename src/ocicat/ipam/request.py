"""What is asked of the allocator, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ocicat.model.base import Struct
from ocicat.model.net import Addr
from ocicat.store.base import Compare, Put

Writes = Callable[[tuple[Addr, ...]], Sequence[tuple[Compare | None, Put]]]


def no_writes(addresses: tuple[Addr, ...]) -> Sequence[tuple[Compare | None, Put]]:
    """Nothing but the addresses themselves."""
    del addresses
    return ()


class Request(Struct, frozen=True, kw_only=True):
    """Addresses for one owner. All of them, or an error and none."""

    handle: str  # who owns the addresses, and the word by which they are released
    attributes: dict[str, str] = {}  # about the owner, written into the block beside the handle
    families: tuple[int, ...] = (4,)  # one automatic address per entry
    addresses: tuple[Addr, ...] = ()  # explicit ones, besides those
    pools: tuple[str, ...] = ()  # names or CIDRs; none: every pool that serves this host by itself
    family_pools: dict[int, tuple[str, ...]] = {}  # instead of those, for addresses of these families
    takes_over: tuple[str, ...] = ()  # owners who give up all they have in the same commit, for `addresses` to be had
    writes: Writes = no_writes  # further objects for the same transaction; pure, called once per attempt

    def pools_of(self, family: int) -> tuple[str, ...]:
        return self.family_pools.get(family, self.pools)


class Held(Struct, frozen=True):
    """An address in use in one of this host's blocks, its owner, and what was said about him."""

    address: Addr
    handle: str
    attributes: dict[str, str]


class Assignment(Struct, frozen=True):
    """`addresses`: the explicit ones as they were given, then one per entry of `families`."""

    addresses: tuple[Addr, ...]
    revision: int  # of the commit that assigned them
