"""What goes into the dataplane and what comes out of it, besides `model.wanted`: configuration, requests, reports.

Invariants: 1. records only, no behaviour. 2. A report speaks of what the kernel has taken, never of what was merely asked. Pure.
"""

from __future__ import annotations

from ocicat.model.base import Struct
from ocicat.model.net import Addr


class DataplaneConfig(Struct, frozen=True):
    """`host_addresses`: this host's own, on which its workloads may reach the Mesos agent; none given means any of the host's.

    `agent_ports`: TCP ports of that agent. `name_servers`: where this host serves names, by UDP and TCP; its workloads may ask.
    `mtu` in bytes, for an Attach that gives none.
    `interface_prefix`: every interface whose name starts so is ours. `mark`: the bit of the packet mark that is ours: new packets
    that egress policy is asked about lose it, and all packets on a host with untracked or pre-DNAT policy. `flat_from`: so many
    rules of one tier are looked up where that is worth it (`lists.is_worth_it`), fewer are asked one after the other.
    """

    host_addresses: tuple[Addr, ...] = ()
    agent_ports: tuple[int, ...] = (5051,)
    mtu: int = 1500
    interface_prefix: str = "oci"
    nft: str = "/usr/sbin/nft"
    mark: int = 0x1000_0000
    flat_from: int = 16
    name_servers: tuple[tuple[Addr, int], ...] = ()


class Attach(Struct, frozen=True):
    """Make a container's interface. `key`: its endpoint's, in the datastore. `mac`: 6 bytes. `mtu`: bytes (0: as configured).

    Without a `netns_path` the container's side stays in the host, for whoever asked to move it (`drivers.lent`).
    """

    key: str
    interface: str
    netns_path: str
    container_interface: str
    addresses: tuple[Addr, ...]
    mac: bytes | None = None
    mtu: int = 0


class Attached(Struct, frozen=True):
    """`index` is the host side's, `mac` (6 bytes) the container side's."""

    index: int
    mac: bytes


class Detach(Struct, frozen=True):
    """Close a container's interface at once and remove it in the background."""

    key: str
    interface: str


class EndpointsInForce(Struct, frozen=True):
    """Chains, dispatch, source addresses, interface and routes of these endpoints are in the kernel."""

    keys: tuple[str, ...]
    revision: int


class EndpointFailed(Struct, frozen=True):
    """The kernel or another endpoint has what this one needs. It is told in force when it gets it: routes are tried again when the
    endpoint changes and on a resync."""

    key: str
    text: str


class Applied(Struct, frozen=True):
    """Everything up to this revision is in the kernel, or was reported as a Problem or EndpointFailed."""

    revision: int


class Problem(Struct, frozen=True):
    """`object` is "policy KEY", "profile NAME", "tier NAME", "host endpoint KEY", "block CIDR", "interface NAME", "flows",
    "endpoint KEY" (it lacks a limit that was asked for) or "dataplane"; an empty text says that it is solved."""

    object: str
    text: str


class Drift(Struct, frozen=True):
    """Another hand changed what is ours, and it is as it should be again. `by`: what it did and who it was, where the kernel tells;
    `what`: the objects that differed."""

    by: tuple[str, ...]
    what: tuple[str, ...]


class FlowsCut(Struct, frozen=True):
    """Established flows that policy forbids since it was tightened, and that were therefore ended. `by`: who forbids them, and how
    many each."""

    count: int
    by: tuple[tuple[str, int], ...]


Report = EndpointsInForce | EndpointFailed | Applied | Problem | Drift | FlowsCut
