"""Where names are served, and which. Pure: what cannot work is refused before anything is touched."""

from __future__ import annotations

from collections.abc import Sequence

from ocicat.dns import names
from ocicat.dns.records import Naming
from ocicat.errors import UserError
from ocicat.mesos.masters import Endpoint, parse_endpoint, parse_masters
from ocicat.model.base import Struct
from ocicat.model.net import Addr

DEFAULT_ZONE = "mesos"
DEFAULT_TTL_S = 5
DNS_PORT = 53
REACHABLE, VISIBLE = "reachable", "visible"
_FILE = "file://"
_LONGEST_TTL_S = 7 * 86400
_LONGEST_ZONE = 128


class DnsConfig(Struct, frozen=True, kw_only=True):
    """`listen`: addresses of this host. `master` as for `discovered`. `upstream`: who knows other names; none: they are refused.

    `only`: what askers are told of, REACHABLE (policy lets them reach it) and VISIBLE (its framework means them to see it).
    """

    listen: tuple[Endpoint, ...]
    master: str
    naming: Naming = Naming()
    ttl_s: int = DEFAULT_TTL_S
    upstream: tuple[Endpoint, ...] = ()
    only: frozenset[str] = frozenset()

    @property
    def listed_masters(self) -> tuple[Endpoint, ...]:
        """Those that are named one by one."""
        if self.master.startswith(_FILE):
            return ()
        named = parse_masters(self.master)
        return named if isinstance(named, tuple) else ()

    @property
    def addresses(self) -> tuple[tuple[Addr, int], ...]:
        """Where it listens: address and port."""
        return tuple((Addr.parse(one.host), one.port) for one in self.listen)


def parse(
    listen: Sequence[str],
    master: str,
    *,
    zone: str = DEFAULT_ZONE,
    ttl_s: int = DEFAULT_TTL_S,
    upstream: Sequence[str] = (),
    only: Sequence[str] = (),
    rfc952: bool = False,
) -> DnsConfig | None:
    """None: no names are served. UserError that names the option."""
    if not listen:
        if upstream or only:
            raise UserError("no DNS is served, so nothing can be said about it", hint="--dns ADDRESS[:PORT]")
        return None
    if not master:
        raise UserError("DNS: no Mesos master is named, whose tasks should have names", hint="--mesos-master HOST:PORT")
    config = DnsConfig(
        listen=tuple(map(_listening, listen)),
        master=master,
        naming=naming(zone, rfc952=rfc952),
        ttl_s=ttl_s,
        upstream=tuple(endpoint("--dns-upstream", text) for text in upstream),
        only=frozenset(only),
    )
    _check(config)
    return config


def _check(config: DnsConfig) -> None:
    if not config.master.startswith(_FILE):
        parse_masters(config.master)
    if not 0 <= config.ttl_s <= _LONGEST_TTL_S:
        raise UserError(f"DNS: a time to live of {config.ttl_s} s is not in 0 to {_LONGEST_TTL_S}")
    itself = next((one for one in config.upstream if one in config.listen), None)
    if itself:
        raise UserError(
            f"DNS: --dns-upstream {itself} is this server itself: names would go in circles",
            hint="name another server, or none",
        )


def _listening(text: str) -> Endpoint:
    found = endpoint("--dns", text)
    if Addr.parse(found.host).value == 0:
        raise UserError(
            f"DNS: --dns {text}: answers would come from another address than was asked",
            hint="name this host's addresses one by one: --dns 10.0.0.11 --dns 127.0.0.1",
        )
    return found


def endpoint(option: str, text: str) -> Endpoint:
    """Of a DNS server, by its address. UserError that names the option."""
    plain_v6 = text.count(":") > 1 and "[" not in text
    try:
        found = Endpoint(text, DNS_PORT) if plain_v6 else parse_endpoint(text, DNS_PORT)
        return Endpoint(str(Addr.parse(found.host)), found.port)
    except UserError as error:
        hint = "ADDRESS or ADDRESS:PORT; an IPv6 address with a port stands in brackets"
        raise UserError(f"DNS: {option} {text!r} is no address", hint=hint) from error


def naming(zone: str, *, rfc952: bool = False) -> Naming:
    """UserError for what is no domain."""
    plain = zone.strip(".").lower()
    if not plain or names.labels(plain) != plain:
        raise UserError(f"DNS: zone {zone!r} is no domain", hint="--dns-zone mesos, or cluster.example.com")
    if len(plain) > _LONGEST_ZONE:
        raise UserError(
            f"DNS: zone {zone!r} is longer than {_LONGEST_ZONE} characters: tasks' names must fit before it"
        )
    return Naming(plain, rfc952)
