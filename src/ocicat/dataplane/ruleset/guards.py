"""What may come in by a workload's interface: a chain on the interface itself, which is asked before anything else of the kernel.

    ip saddr 10.65.0.1 accept        from an address of its own, or one that it is allowed to send from
    ip6 saddr fd00::1 accept
    arp saddr ip 10.65.0.1 accept    and by ARP under such an address only: the kernel keeps a neighbour for whoever asks
    drop                             anything else, whatever it is

Where a bandwidth limits what the workload sends, `fwd to "bwociN"` takes the place of an accept: by way of that interface (an ifb)
the packet comes in again, past the guard. A filter of `tc` would see packets before the guard does, and bring them past it.

These chains are in a table of their own, `netdev ocicat`, each under its interface's name. Two comparisons are less work than
looking up interface and source in a set, and the kernel's own checks of sources are mostly needless beside them (`drivers.sysctl`).

Invariants: 1. A chain of ours ends with a drop; one without sources is closed. 2. Rules are known by their comments, each of which
begins with a digest of the rule: what another hand has changed is not `intact`. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from ocicat.dataplane.ruleset.objects import Rule
from ocicat.errors import UserError
from ocicat.model.base import Struct, replace
from ocicat.model.wanted import Endpoint
from ocicat.netlink import inet, nftchain
from ocicat.netlink.inet import Prefix
from ocicat.netlink.nftchain import Statement


class Guard(Struct, frozen=True):
    """Of one interface. `own`: the workload's addresses (packed); `more`: what it may send from beside them. `limited`: what comes
    in of IP goes through the interface's ifb. `intact`: there is nothing else in its chain, nor is that anywhere else."""

    own: tuple[bytes, ...] = ()
    more: tuple[Prefix, ...] = ()
    limited: bool = False
    intact: bool = True


CLOSED = Guard()


def guard_of(endpoint: Endpoint) -> Guard:
    more = (Prefix(each.address.pack(), each.length) for each in endpoint.sources)
    own = dict.fromkeys(each.pack() for each in endpoint.addresses)
    return Guard(tuple(own), tuple(dict.fromkeys(more)), bool(endpoint.egress_limits.bandwidth_bit_s))


def statements(guard: Guard, through: int = 0) -> list[Statement]:
    """IP first: ARP is rare. `through`: the ifindex of the ifb for one that is limited; without it there is no limit."""
    sources = [(inet.host(each), inet.text(each)) for each in guard.own]
    sources += [(each, str(each)) for each in guard.more]
    ifb = through if guard.limited else 0
    end = f"{_THROUGH}{ifb}" if ifb else ""
    found = [_statement(_SOURCE[each.family], name + end, nftchain.from_source(each, ifb)) for each, name in sources]
    four = [(each, name) for each, name in sources if each.family == inet.INET]
    found += [_statement("arp saddr ip", name, nftchain.asks_by_arp(each)) for each, name in four]
    return [*found, _CLOSING]


def is_limited(comments: Sequence[str]) -> bool:
    """Does a rule with one of these comments lead through an ifb?"""
    return any(_THROUGH in comment for comment in comments)


def seen(comments: Sequence[str], *, proper: bool, through: int = 0) -> Guard:
    """The guard whose rules have these comments. `proper`: is their chain where it belongs? `through`: its interface's ifb."""
    names = dict.fromkeys(comment.partition(" ")[2].partition(_THROUGH)[0] for comment in comments)
    own = tuple(each.address for name in names if "/" not in name for each in _source(name))
    more = tuple(each for name in names if "/" in name for each in _source(name))
    guard = Guard(own, more, is_limited(comments))
    wanted = [each.comment for each in statements(guard, through)]
    return guard if proper and wanted == [*comments] else replace(guard, intact=False)


def _source(name: str) -> Iterator[Prefix]:
    with suppress(UserError):
        yield inet.prefix(name)


def _statement(field: str, source: str, expressions: bytes) -> Statement:
    return _commented(Rule(f"{field} {source} accept", source), expressions)


def _commented(rule: Rule, expressions: bytes) -> Statement:
    return Statement(expressions, f"{rule.mark} {rule.note}")


_THROUGH = " through "
_SOURCE = {inet.INET: "ip saddr", inet.INET6: "ip6 saddr"}
_CLOSING = _commented(Rule("drop", "not the workload's own"), nftchain.drop())
