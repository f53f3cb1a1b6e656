"""Which block a host should try next. Pure.

1. The walk visits every block of the pool exactly once, and computes each as it goes: a /8 or a /48 costs no more than a /24. But
   nobody should walk a /48 to its end: see `edges`.
2. Where it starts and how it strides depend on the host's name and the pool only: hosts start apart, so that a thousand of them
   starting at once seldom want the same block, and one host finds its own way again after a restart.

The hash is FNV-1a, 32 bits (Fowler, Noll, Vo). An odd stride over a power of two visits all (a linear congruential walk).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ocicat.model.net import Addr, Cidr

_OFFSET_BASIS = 0x811C9DC5
_PRIME = 0x01000193


def fnv1a(text: str) -> int:
    """The 32-bit FNV-1a hash of the text's UTF-8 bytes."""
    value = _OFFSET_BASIS
    for byte in text.encode():
        value = (value ^ byte) * _PRIME & 0xFFFFFFFF
    return value


def walk(pool: Cidr, length: int, host: str) -> Iterator[Cidr]:
    """Every block of `length` bits in `pool`, once, in the host's own order. `length` must not be shorter than the pool's."""
    count = 1 << (length - pool.length)
    size = pool.size // count
    place = fnv1a(host) % count
    stride = fnv1a(f"{host}/{pool}") | 1
    for _ in range(count):
        yield Cidr(pool.family, pool.network + place * size, length)
        place = (place + stride) % count


def edges(pool: Cidr, length: int, occupied: Iterable[Cidr]) -> Iterator[Cidr]:
    """Blocks of `length` bits in `pool` of which one is free, if any is: the first, and those behind what is occupied.

    For pools that are too large to walk to the end. The lowest free block follows one that something touches, or is the first.
    """
    yield Cidr(pool.family, pool.network, length)
    size = pool.size >> (length - pool.length)
    for cidr in occupied:
        last = Addr(pool.family, cidr.network + cidr.size - 1)
        behind = Addr(pool.family, Cidr.of(last, length).network + size)
        if behind in pool:
            yield Cidr.of(behind, length)
