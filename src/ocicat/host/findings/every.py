"""All that is wrong with a host, the gravest first; and what could not be looked at. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import chain

from ocicat.changes.finding import Finding
from ocicat.host import ports, sysctls
from ocicat.host.facts.agents import Known
from ocicat.host.findings import (
    agents,
    clock,
    connections,
    firewall,
    kernel,
    names,
    others,
    paths,
    places,
    reach,
    settings,
)
from ocicat.host.look import Facts
from ocicat.host.roles import Asked

WORDS = (
    "host-name",
    "name",
    "name-loopback",
    "fqdn",
    "name-elsewhere",
    "name-back",
    "peer-name",
    "peer-name-back",
    "duplicate-name",
    "names-differ",
    "peer",
    "port",
    "service",
    "firewall",
    "forward",
    "firewall-unknown",
    "nft",
    "kernel",
    "sysctl",
    "sysctl-file",
    "ipv6",
    "accept-ra",
    "mtu",
    "mtu-interface",
    "mtu-uneven",
    "mtu-containers",
    "mtu-ipv6",
    "gateway-route",
    "clock",
    "time-daemon",
    "connections",
    "cgroups",
    "mount-namespace",
    "directory",
    "room",
    "calico",
    "calico-links",
    "calico-chains",
    "leftover-routes",
    "cni-config",
    "networkmanager",
    "networkd",
    "networkd-links",
)
"""What a finding is about, as scripts know it."""


def findings(asked: Asked, facts: Facts, skipped: Collection[str] = (), stored: Sequence[Known] = ()) -> list[Finding]:
    """Without those about a word that is `skipped`. `stored`: the hosts that the datastore knows, if it was asked."""
    alive = {path.peer for path in facts.paths if path.alive}
    own = facts.agents.own
    mtu = own.mtu if own and (own.mtu or not own.unread) else None
    found = chain(
        names.findings(asked, facts.names),
        agents.findings(facts.agents, facts.names, stored),
        reach.findings(asked, facts.tried, alive),
        firewall.findings(facts.blocked, facts.firewall_unknown),
        kernel.findings(facts.kernel) if facts.kernel else (),
        settings.findings(sysctls.wants(asked), facts.settings),
        settings.advertised(facts.advertised),
        connections.findings(facts.connections) if asked.runs_containers else (),
        paths.findings(asked, facts.paths, mtu, facts.gateway),
        clock.findings(facts.clock),
        places.findings(asked, facts.places, facts.agents.isolation),
        others.findings(asked, facts.others),
    )
    return [one for one in found if one.about not in skipped]


def unchecked(asked: Asked, facts: Facts, stored: Sequence[Known] | None = None) -> Iterator[str]:
    """What is not known, and why; one line each. `stored` None: the datastore did not tell."""
    if not asked.peers:
        yield "no --peer is given: names, ports, MTU and clocks of other hosts are not compared"
    unknown = [str(peer) for peer in asked.peers if not facts.names.address_of(peer)]
    if unknown:
        yield f"not asked, as their addresses are not known: {', '.join(unknown)}"
    if nameless := [str(peer) for peer in asked.peers if not peer.name]:
        yield f"given without a name, so that names were not compared: {', '.join(nameless)}"
    if deaf := [str(path.peer) for path in facts.paths if path.interface and not path.alive]:
        yield f"no answer to an echo, so that the MTU on the way is not known: {', '.join(deaf)}"
    timed = {one.of for one in facts.clock.skews}
    if untimed := [str(peer) for peer in asked.peers if str(peer) not in timed]:
        yield f"nothing there tells the time yet (Mesos and etcd do): {', '.join(untimed)}"
    if asked.peers and facts.agents.known is None:
        yield "no Mesos master told which agents it knows: names of hosts that are not given as --peer are not compared"
    if stored is None:
        yield "no datastore was asked (--store): names of hosts that it knows are not compared"
    if facts.agents.own and facts.agents.own.unread:
        yield f"what the ocicat agent of this host was told is not known whole: {facts.agents.own.unread}"
    if facts.selinux_enforces:
        yield "SELinux is enforcing, under which ocicat was not tried: `ausearch -m avc -ts recent` tells what it denies"
    yield from _unanswered(asked, facts)


def _unanswered(asked: Asked, facts: Facts) -> Iterator[str]:
    silent = dict.fromkeys(
        str(one) for peer in asked.peers for one in ports.called(asked, peer) if one.protocol != "tcp"
    )
    if silent:
        yield f"cannot be tried from here, as nothing there would answer: {', '.join(silent)}"
    if not asked.up:
        said = "refused: nobody listens there yet, or a firewall answers with a reset"
        yield from (f"{said}: {line}" for line in reach.silent_services(facts.tried))
