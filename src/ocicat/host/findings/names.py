"""Names: of this host and of its peers, forward and backward, and the same for everybody. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address

from ocicat.changes.finding import Finding
from ocicat.host.facts.names import Answer, Names
from ocicat.host.facts.names import same as same
from ocicat.host.roles import Asked, Peer

_PLAIN = re.compile(r"[a-z0-9]([a-z0-9.\-]*[a-z0-9])?")
_NOBODY = frozenset({"localhost", "localhost.localdomain", "(none)"})
_DEBIAN = "127.0.1.1"
_HOSTS = "/etc/hosts"


def findings(asked: Asked, names: Names) -> Iterator[Finding]:
    yield from _host_name(names)
    if not any(
        _is_namesake(names, peer) for peer in asked.peers
    ):  # or its name leads to that peer, which is told below
        yield from _own(names)
    for peer in asked.peers:
        yield from _peer(names, peer)


def _host_name(names: Names) -> Iterator[Finding]:
    if names.host in _NOBODY or not _PLAIN.fullmatch(names.host) or len(names.host) > 253:
        problem = f"this host is called {names.host!r}"
        breaks = "the agents of Mesos and of ocicat cannot be told from others, or do not start"
        yield Finding("host-name", problem, breaks, "give it a DNS name in lower case: hostnamectl set-hostname NAME")


def _own(names: Names) -> Iterator[Finding]:
    """The first thing that is wrong: the rest follows from it."""
    found = names.lookups.of(names.host)
    mend = f"write a line with this host's address and {names.host} into {_HOSTS}, or into DNS"
    loopback = _loopback(found)
    elsewhere = [text for text in found.addresses if text not in names.own]
    if not found.addresses:
        problem = f"the name {names.host} does not resolve: {found.reason}"
        yield Finding("name", problem, "the Mesos agent and master do not start, and no peer finds this host", mend)
    elif loopback:
        after = f": Debian's installer writes that line into {_HOSTS}" if loopback == _DEBIAN else ""
        problem = f"the name {names.host} resolves to {loopback}{after}"
        breaks = "Mesos announces itself at an address at which only this host reaches it"
        yield Finding("name-loopback", problem, breaks, f"replace {loopback} in {_HOSTS} by this host's own address")
    elif not same(names.host, found.canonical):
        problem = f"`hostname -f` says {found.canonical}, and this host is called {names.host}"
        breaks = "Mesos announces the one name and ocicat the other: endpoints are not found by their host"
        yield Finding(
            "fqdn", problem, breaks, f"put {names.host} first, or with its domain, in its line of {_HOSTS}, or in DNS"
        )
    elif elsewhere:
        problem = f"the name {names.host} resolves to {elsewhere[0]}, which is not an address of this host"
        yield Finding("name-elsewhere", problem, "another host is asked in place of this one", mend)
    else:
        yield from _own_back(names, found)


def _own_back(names: Names, found: Answer) -> Iterator[Finding]:
    for text in found.addresses:
        back = names.lookups.back(text)
        if not back or not same(back, found.canonical):
            said = f"is called {back}" if back else "has no name"
            problem = f"{names.host} resolves to {text}, which {said}"
            breaks = "a Mesos agent without --hostname takes the name of its address: it is not this host's, or it does not start"
            yield Finding(
                "name-back",
                problem,
                breaks,
                f"let {text} lead back to {found.canonical}: in {_HOSTS}, or a PTR record in DNS",
            )


def _peer(names: Names, peer: Peer) -> Iterator[Finding]:
    if not peer.name:
        yield from _nameless(names, peer)
        return
    found = names.lookups.of(peer.name)
    twin = _twin(names, peer, found)
    if twin:
        breaks = "what is meant for the one host comes to the other, and the agents of both write the same keys"
        yield Finding("duplicate-name", twin, breaks, "give one of the two another name: hostnamectl set-hostname NAME")
        return
    problem = _peer_problem(peer, found)
    mend = f"write a line with the address of {peer.name} into {_HOSTS}, or into DNS"
    if problem:
        yield Finding(
            "peer-name", problem, f"{peer.name} is not reached by its name, by which Mesos announces it", mend
        )
        return
    for text in (peer.address,) if peer.address else found.addresses:
        back = names.lookups.back(text)
        if not back or not same(back, found.canonical):
            said = f"is called {back}" if back else "has no name"
            yield Finding(
                "peer-name-back",
                f"{peer.name} resolves to {text}, which {said}",
                "Mesos and its log name that host otherwise than its operator does, or not at all",
                f"let {text} lead back to {found.canonical}: in {_HOSTS}, or a PTR record in DNS",
            )


def _nameless(names: Names, peer: Peer) -> Iterator[Finding]:
    """Only its address is known."""
    if same(back := names.lookups.back(peer.address) or "?", names.host):
        problem = f"the peer {peer.address} is called {back}, as this host is"
        breaks = "one of the two is taken for the other: the agents of both write the same keys"
        yield Finding(
            "duplicate-name", problem, breaks, "give one of the two another name, or the address another name in DNS"
        )


def _twin(names: Names, peer: Peer, found: Answer) -> str:
    if _is_namesake(names, peer):
        return f"the peer {peer.name} has the name of this host"
    shared = next((text for text in (peer.address, *found.addresses) if text and text in names.own), "")
    return f"the peer {peer.name} has {shared}, an address of this host" if shared else ""


def _is_namesake(names: Names, peer: Peer) -> bool:
    return bool(peer.name) and same(peer.name, names.host)


def _peer_problem(peer: Peer, found: Answer) -> str:
    loopback = _loopback(found)
    if not found.addresses:
        return f"the name {peer.name} does not resolve: {found.reason}"
    if loopback:
        return f"the name {peer.name} resolves to {loopback}"
    if peer.address and peer.address not in found.addresses:
        return f"the name {peer.name} resolves to {found.addresses[0]}, and not to {peer.address}"
    return ""


def _loopback(found: Answer) -> str:
    return next((text for text in found.addresses if ip_address(text).is_loopback), "")
