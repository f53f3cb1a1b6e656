"""Which address pools serve a request. Pure.

1. Without a wish: every pool that is enabled, assigns automatically, is meant for workloads, and selects the host.
2. With a wish (names or CIDRs): exactly those, in that order; nodeSelector and assignment mode are then no hindrance, but a
   pool that is disabled or not meant for workloads still refuses.
3. When nothing serves, the error says which of the reasons it is and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ocicat.errors import Refused, UserError
from ocicat.model.base import Struct
from ocicat.model.net import WIDTH, Addr, Cidr
from ocicat.model.resources import IPPool
from ocicat.model.v3.addressing import BLOCK_SIZES
from ocicat.selector import Selector, parse

_WORKLOAD = "Workload"
_ADD_POOL = "add a pool: `ocicat pool add NAME CIDR`"


class Pool(Struct, frozen=True):
    """An IPPool, read once: what allocation needs of it."""

    name: str
    cidr: Cidr
    block_length: int  # prefix length of its blocks
    disabled: bool
    automatic: bool
    for_workloads: bool
    selector: Selector
    revision: int  # at which the pool was last modified

    def __str__(self) -> str:
        return f"{self.name} ({self.cidr})"


def read(resource: IPPool, revision: int) -> Pool:
    """UserError when its CIDR, block size or selector makes no sense."""
    spec = resource.spec
    cidr = Cidr.parse(spec.cidr)
    length = spec.effective_block_size
    if not cidr.length <= length <= WIDTH[cidr.family]:
        raise UserError(f"pool {resource.metadata.name}: {cidr} has no block of size /{length}")
    if length < BLOCK_SIZES[cidr.family].start:
        raise UserError(
            f"pool {resource.metadata.name}: a block of size /{length} is too big",
            hint=f"blockSize is /{BLOCK_SIZES[cidr.family].start} to /{WIDTH[cidr.family]}",
        )
    return Pool(
        name=resource.metadata.name,
        cidr=cidr,
        block_length=length,
        disabled=spec.disabled,
        automatic=spec.assignment_mode == "Automatic",
        for_workloads=_WORKLOAD in spec.allowed_uses,
        selector=parse(spec.node_selector),
        revision=revision,
    )


def select(
    pools: Sequence[Pool], family: int, wanted: Sequence[str], host: str, labels: Mapping[str, str]
) -> tuple[Pool, ...]:
    """The pools of that family that serve the request, best first; at least one. `labels` are the host's.

    UserError: a wanted pool does not exist, or none of them is of this family. Refused: none may be used.
    """
    return _wanted(pools, family, wanted) if wanted else _automatic(pools, family, host, labels)


def _wanted(pools: Sequence[Pool], family: int, wanted: Sequence[str]) -> tuple[Pool, ...]:
    found = [_named(pools, text) for text in wanted]
    of_family = tuple(pool for pool in found if pool.cidr.family == family)
    if not of_family:
        raise UserError(
            f"none of the pools {', '.join(wanted)} is of IPv{family}", hint=f"name an IPv{family} pool as well"
        )
    for pool in of_family:
        refuse_unusable(pool)
    return of_family


def _named(pools: Sequence[Pool], text: str) -> Pool:
    for pool in pools:
        if text in (pool.name, str(pool.cidr)):
            return pool
    existing = ", ".join(str(pool) for pool in pools)
    raise UserError(f"there is no pool {text!r}", hint=f"there are: {existing}" if existing else _ADD_POOL)


def refuse_unusable(pool: Pool) -> None:
    """Refused when the pool gives no address to any workload, whoever asks."""
    if pool.disabled:
        raise Refused(f"pool {pool} is disabled", hint="enable it, or name another pool")
    if not pool.for_workloads:
        raise Refused(f"pool {pool} is not for workloads", hint="add Workload to its allowedUses, or name another pool")


def _automatic(pools: Sequence[Pool], family: int, host: str, labels: Mapping[str, str]) -> tuple[Pool, ...]:
    of_family = [pool for pool in pools if pool.cidr.family == family]
    enabled = [pool for pool in of_family if not pool.disabled]
    offered = [pool for pool in enabled if pool.automatic and pool.for_workloads]
    serving = tuple(pool for pool in offered if pool.selector.matches(labels))
    if serving:
        return serving
    if not of_family:
        raise Refused(f"there is no IPv{family} pool", hint=_ADD_POOL)
    if not enabled:
        raise Refused(f"every IPv{family} pool is disabled: {_list(of_family)}", hint=f"enable one, or {_ADD_POOL}")
    if not offered:
        raise Refused(
            f"no IPv{family} pool assigns to workloads by itself: {_list(enabled)}", hint="name the pool you want"
        )
    raise Refused(
        f"no IPv{family} pool selects host {host}: {_list(offered)}",
        hint="look at nodeSelector of the pools and at the labels of the node",
    )


def holding(pools: Sequence[Pool], address: Addr, wanted: Sequence[str]) -> Pool:
    """The pool in which a given address lies; with a wish, one of the wanted. UserError: a wanted pool does not exist."""
    for pool in [_named(pools, text) for text in wanted] or pools:
        if address in pool.cidr:
            refuse_unusable(pool)
            return pool
    among = f" of {', '.join(wanted)}" if wanted else ""
    raise Refused(
        f"{address} lies in no pool{among}", hint="choose an address from a pool: " + (_list(pools) or _ADD_POOL)
    )


def _list(pools: Sequence[Pool]) -> str:
    return ", ".join(str(pool) for pool in pools)
