"""What calc asks of the dataplane: the only words the two have in common.

A batch is a tuple of messages in dependency order (sets before the rules that name them, rules before the endpoints that use
them; removals the other way round). Each message says the *whole* state of the object it names, members of address sets excepted,
which come as additions and removals because there may be a hundred thousand. Applying a message twice changes nothing.

Invariants kept by the sender: 1. a rule names only sets that were created before and not yet removed; 2. an endpoint names only
policies and profiles whose rules were sent, unless a profile does not exist: then it is absent here too, and absent means deny;
3. `InSync` comes once, after the first complete state; before it the dataplane must not remove what it did not put there itself.
Pure.
"""

from __future__ import annotations

from typing import Literal

from ocicat.model.base import Struct
from ocicat.model.net import Addr, Cidr

Action = Literal["Allow", "Deny", "Pass", "Log"]
PortRange = tuple[int, int]  # first and last port, both included
HostPort = tuple[Addr, int, int]  # address, protocol number, port


class AddressSet(Struct, frozen=True):
    """Addresses of both families that match one selector; `set_id` is a selector uid (letters, digits, `-`, `_`, after "s:").

    `nets_*`: prefixes shorter than an address, from network sets. A member may lie within another one.
    """

    set_id: str
    added: frozenset[Addr] = frozenset()
    removed: frozenset[Addr] = frozenset()
    nets_added: frozenset[Cidr] = frozenset()
    nets_removed: frozenset[Cidr] = frozenset()


class AddressSetGone(Struct, frozen=True):
    set_id: str


class PortSet(Struct, frozen=True):
    """What the endpoints that match one selector call by one name: an address, a protocol number and a port each."""

    set_id: str
    added: frozenset[HostPort] = frozenset()
    removed: frozenset[HostPort] = frozenset()


class PortSetGone(Struct, frozen=True):
    set_id: str


class Icmp(Struct, frozen=True):
    """A code of None: any."""

    type: int
    code: int | None = None


class Match(Struct, frozen=True):
    """One side of a rule: all conditions that are given must hold.

    The address lies in one of `nets`, in every one of `sets`, in none of `not_nets` and `not_sets`. The port lies in one of
    `ports`, or (address, protocol, port) in one of the port sets `named`: one of all these is enough; and in none of `not_ports`
    and `not_named`.
    """

    nets: tuple[Cidr, ...] = ()
    sets: tuple[str, ...] = ()
    ports: tuple[PortRange, ...] = ()
    not_nets: tuple[Cidr, ...] = ()
    not_sets: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    not_ports: tuple[PortRange, ...] = ()
    not_named: tuple[str, ...] = ()


class WantedRule(Struct, frozen=True):
    """A rule with its selectors resolved to sets. `protocol` is the IP protocol number. `families`: those it can match at all.

    A condition on ICMP, also a negated one, holds for packets of ICMP only (of ICMPv6, in that family), and one on ports for TCP,
    UDP and SCTP only. `problem` says why the rule cannot be enforced as written; such a rule fails closed: what reaches it is
    dropped.
    """

    action: Action
    families: tuple[int, ...] = (4, 6)
    protocol: int | None = None
    source: Match = Match()
    destination: Match = Match()
    problem: str = ""
    not_protocol: int | None = None
    icmp: Icmp | None = None
    not_icmp: Icmp | None = None


class PolicyRules(Struct, frozen=True):
    """`policy_id`: the policy's datastore key. A rule's place in its list is its identity.

    `staged`: it stands in its tiers like any other, and is asked; what it would decide is counted and told, and the packet goes on
    to the next policy.
    """

    policy_id: str
    ingress: tuple[WantedRule, ...]
    egress: tuple[WantedRule, ...]
    staged: bool = False


class PolicyGone(Struct, frozen=True):
    policy_id: str


class ProfileRules(Struct, frozen=True):
    name: str
    ingress: tuple[WantedRule, ...]
    egress: tuple[WantedRule, ...]


class ProfileGone(Struct, frozen=True):
    name: str


class Tier(Struct, frozen=True):
    """One tier as it is for one endpoint, hook and direction: its policies (ids) in order, at least one, and what becomes of a
    packet that none of their rules decides: it is dropped, or passes on to the next tier (so if all of them are staged)."""

    name: str
    ends: Literal["Deny", "Pass"]
    policies: tuple[str, ...]


class FloatingAddress(Struct, frozen=True):
    """An address (`outside`) by which others reach a workload that has another one (`inside`, of the same family)."""

    outside: Addr
    inside: Addr


class PortMapping(Struct, frozen=True):
    """A port of the host that leads to a port of the workload. `host_address`: only where that is the destination; 0.0.0.0 and ::
    stand for all of the host's of their family."""

    protocol: int
    host_port: int
    port: int
    host_address: Addr | None = None

    def excludes(self, other: PortMapping) -> bool:
        """Is there a packet that both would lead away?"""
        if (self.protocol, self.host_port) != (other.protocol, other.host_port):
            return False
        here, there = self.host_address, other.host_address
        if here is None or there is None:
            return True
        return here.family == there.family and (here == there or not here.value or not there.value)


class Limits(Struct, frozen=True):
    """What a workload may receive, or send: 0 is no limit. Bursts are what may pass at once, at the peak's rate."""

    bandwidth_bit_s: int = 0
    burst_bits: int = 0
    peak_bit_s: int = 0
    min_burst_bytes: int = 0
    packets_s: int = 0
    burst_packets: int = 0
    connections: int = 0


class Endpoint(Struct, frozen=True):
    """A workload's interface on *this* host. `key` is its datastore key; `profiles` in the order in which they decide, after tiers.

    `sources`: what it may send from, beside its addresses and what every workload may for its neighbour discovery (fe80::/64, ::).
    `dscp`: the mark for what it sends to elsewhere than workloads (None: as sent). `mac`: the workload's side's, 6 bytes (empty:
    nobody says).
    """

    key: str
    interface: str
    addresses: tuple[Addr, ...]
    profiles: tuple[str, ...]
    ingress: tuple[Tier, ...] = ()
    egress: tuple[Tier, ...] = ()
    sources: tuple[Cidr, ...] = ()
    floating: tuple[FloatingAddress, ...] = ()
    port_mappings: tuple[PortMapping, ...] = ()
    ingress_limits: Limits = Limits()
    egress_limits: Limits = Limits()
    dscp: int | None = None
    mac: bytes = b""


class EndpointGone(Struct, frozen=True):
    key: str


class HostEndpoint(Struct, frozen=True):
    """What governs one of this host's own interfaces, or all that have no host endpoint of their own (`interface` is "*").

    The interface is its identity: one host endpoint (`key`) may govern several. `forward_*`: for what the host forwards.
    `untracked_*`: before connection tracking, never for "*". `pre_dnat`: before translation, incoming only. Profiles are asked
    after `ingress` and `egress` only.
    """

    key: str
    interface: str
    profiles: tuple[str, ...] = ()
    ingress: tuple[Tier, ...] = ()
    egress: tuple[Tier, ...] = ()
    forward_ingress: tuple[Tier, ...] = ()
    forward_egress: tuple[Tier, ...] = ()
    untracked_ingress: tuple[Tier, ...] = ()
    untracked_egress: tuple[Tier, ...] = ()
    pre_dnat: tuple[Tier, ...] = ()


class HostEndpointGone(Struct, frozen=True):
    interface: str


class OpenPort(Struct, frozen=True):
    """A port that no host endpoint's policy may close. `net`: only for remote addresses in it; None: for all."""

    protocol: int
    port: int
    net: Cidr | None = None


class LogLimit(Struct, frozen=True):
    """How many packets each Log rule writes of: `rate` in that time, and `burst` at once (None: as the kernel thinks best)."""

    rate: int
    per: Literal["second", "minute", "hour", "day"]
    burst: int | None = None


class HostSettings(Struct, frozen=True):
    """What the operator set for this host. `endpoint_to_host`: what becomes of a packet from a workload to its host that the
    workload's policy allows ("Return": the host endpoint's policy is asked). `log_prefix`: before what a Log rule writes.
    `flow_logs`: every decision about a new flow is told through NFLOG. `mark`: see `dataplane.api`; None: as configured there."""

    failsafe_inbound: tuple[OpenPort, ...] = ()
    failsafe_outbound: tuple[OpenPort, ...] = ()
    endpoint_to_host: Literal["Drop", "Accept", "Return"] = "Drop"
    vxlan_port: int = 4789
    vxlan_from_workloads: bool = False
    ipip_from_workloads: bool = False
    log_prefix: str = "calico-packet"
    log_limit: LogLimit | None = None
    flow_logs: bool = False
    mark: int | None = None


class OutgoingNat(Struct, frozen=True):
    """Packets from `sources` to elsewhere than `inside` leave with an address of the host (`addresses`, one of each family;
    without: that of the interface they leave by), and TCP and UDP from one of `ports` if given. `interface`: only where they leave
    by it; one that ends in "*" stands for all names that begin so. The whole of it: the last message counts."""

    sources: tuple[Cidr, ...] = ()
    inside: tuple[Cidr, ...] = ()
    ports: PortRange | None = None
    addresses: tuple[Addr, ...] = ()
    interface: str = ""


class RemoteBlock(Struct, frozen=True):
    """Addresses that live on another host, reached through that host's own address on our subnet."""

    cidr: Cidr
    gateway: Addr


class LocalBlock(Struct, frozen=True):
    """Addresses of our own block: those no workload holds must go nowhere (a blackhole), not back to the default route."""

    cidr: Cidr


class BlockGone(Struct, frozen=True):
    cidr: Cidr


class InSync(Struct, frozen=True):
    """Everything the datastore held at the start has been sent."""


class Revision(Struct, frozen=True):
    """The batch up to here is the state of the datastore at this revision."""

    revision: int


Message = (
    AddressSet
    | AddressSetGone
    | PortSet
    | PortSetGone
    | PolicyRules
    | PolicyGone
    | ProfileRules
    | ProfileGone
    | HostSettings
    | Endpoint
    | EndpointGone
    | HostEndpoint
    | HostEndpointGone
    | OutgoingNat
    | RemoteBlock
    | LocalBlock
    | BlockGone
    | InSync
    | Revision
)
Batch = tuple[Message, ...]
