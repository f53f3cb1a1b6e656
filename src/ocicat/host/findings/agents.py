"""One name for one host: as the kernel, Mesos and ocicat call it, and as the masters know others. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ocicat.changes.finding import Finding
from ocicat.host.facts.agents import Agents, Known
from ocicat.host.facts.names import Names

_FIX = "give both the same name: --hostname of the Mesos agent, name in the section [host] of /etc/ocicat/ocicat.toml"


def findings(agents: Agents, names: Names, stored: Sequence[Known] = ()) -> Iterator[Finding]:
    """`stored`: the hosts that the datastore knows."""
    own = agents.own.name if agents.own else ""
    host = {names.host, names.lookups.of(names.host).canonical} - {""}
    if agents.mesos and own and agents.mesos.lower() != own.lower():
        yield Finding(
            "names-differ",
            f"Mesos calls this host {agents.mesos}, ocicat calls it {own}",
            "what Mesos runs here cannot be matched with its addresses and policies",
            _FIX,
        )
    elif other := next((name for name in (agents.mesos, own) if name and name.lower() not in host), ""):
        who = "Mesos" if other == agents.mesos else "ocicat"
        yield Finding(
            "names-differ",
            f"{who} calls this host {other}, and `hostname` says {names.host}",
            "whoever looks for this host by the one name does not find what goes by the other",
            f"hostnamectl set-hostname {other}, or {_FIX}",
        )
    mine = host | {name for name in (agents.mesos, own) if name}
    for one in (*(agents.known or ()), *stored):
        if one.hostname.lower() in mine and one.addresses and not names.own.intersection(one.addresses):
            yield Finding(
                "duplicate-name",
                f"{one.by} knows a host {one.hostname} at {', '.join(one.addresses)}, which is not this one",
                "the agents of both write the same keys, and take each other's addresses for orphans",
                "give one of the two another name: hostnamectl set-hostname NAME",
            )
