"""Policy as it is enforced: policies, rules, endpoints and sets with everything worked out that does not depend on a packet. Pure.

The evaluation, the calculation graph and the ruleset all stand on these records, so that all three read the same rules.

Invariants:
1. `ResolvedRule.families` are those that the rule can match at all; it may be empty.
2. A `Side` with a positive selector has no negative one: that is part of the positive, as Felix combines them (rule_scanner.go),
   which matters where several endpoints share an address.
3. A rule with a `problem` has action Deny and no condition: what cannot be enforced as written fails closed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from ocicat.model.base import Struct
from ocicat.model.net import Addr, Cidr
from ocicat.model.v3.policy import Action
from ocicat.selector import Selector

Direction = Literal["Ingress", "Egress"]
Hook = Literal["normal", "forward", "untracked", "pre-dnat"]
"""Which of an endpoint's lists of policies is asked; workload endpoints have the normal one only."""

PortRange = tuple[int, int]  # first and last, both included

IPIP, TCP, UDP, SCTP = 4, 6, 17, 132
"""IP protocol numbers."""


class Problem(Struct, frozen=True, order=True):
    """What is not enforced as it is written: the object, and why and what happens instead."""

    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.text}"


class Ports(Struct, frozen=True):
    """Ports by number, and by the name that the endpoint at that side gives them; one of either is enough."""

    ranges: tuple[PortRange, ...] = ()
    names: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.ranges or self.names)


class Icmp(Struct, frozen=True):
    """A code of None: any."""

    type: int
    code: int | None = None


class Side(Struct, frozen=True, kw_only=True):
    """The conditions on one end of a flow; all that are given must hold. `selector` None: any address, known or not."""

    nets: tuple[Cidr, ...] = ()
    not_nets: tuple[Cidr, ...] = ()
    selector: Selector | None = None
    not_selector: Selector | None = None
    ports: Ports = Ports()
    not_ports: Ports = Ports()


class ResolvedRule(Struct, frozen=True, kw_only=True):
    """`named_protocol`: of the ports that the sides name."""

    action: Action
    families: tuple[int, ...] = (4, 6)
    protocol: int | None = None
    not_protocol: int | None = None
    icmp: Icmp | None = None
    not_icmp: Icmp | None = None
    source: Side = Side()
    destination: Side = Side()
    problem: str = ""

    @property
    def named_protocol(self) -> int:
        """TCP where the rule says nothing else, as in Felix."""
        return self.protocol if self.protocol in (UDP, SCTP) else TCP


Rules = tuple[ResolvedRule, ...]


class RuleId(Struct, frozen=True):
    """One rule of a policy, or of a profile (then `tier` is empty); `index` counts from 0."""

    kind: str
    namespace: str
    name: str
    tier: str
    direction: Direction
    index: int

    @property
    def owner(self) -> str:
        return object_name(self.kind, self.namespace, self.name)

    def __str__(self) -> str:
        within = f" in tier {self.tier}" if self.tier else ""
        return f"{self.owner}{within}, {self.direction.lower()} rule {self.index}"


class ResolvedPolicy(Struct, frozen=True, kw_only=True):
    """Rules of None: the policy does not apply in that direction. `hook` is never "forward": see `on_forward`."""

    kind: str
    namespace: str = ""
    name: str
    tier: str
    order: float
    selector: Selector
    ingress: Rules | None
    egress: Rules | None
    hook: Hook = "normal"
    on_forward: bool = False

    @property
    def staged(self) -> bool:
        """It is not in force yet."""
        return self.kind.startswith("Staged")

    @property
    def position(self) -> tuple[float, str]:
        """Where it stands in its tier: by order, then by this text, as Felix breaks ties."""
        return self.order, f"{self.name}/{self.namespace}/{self.kind}"

    def rules(self, direction: Direction) -> Rules | None:
        return self.ingress if direction == "Ingress" else self.egress

    def at(self, hook: Hook) -> bool:
        """Is it one of an endpoint's policies at that hook?"""
        return (self.hook == "normal" and self.on_forward) if hook == "forward" else self.hook == hook

    def rule_id(self, direction: Direction, index: int) -> RuleId:
        return RuleId(self.kind, self.namespace, self.name, self.tier, direction, index)


class ResolvedTier(Struct, frozen=True):
    """`exists` False: policies name it, and there is no such object."""

    name: str
    order: float
    default_action: Literal["Deny", "Pass"]
    exists: bool = True

    @property
    def position(self) -> tuple[bool, float, str]:
        """Where it stands among the tiers: those that do not exist come last."""
        return not self.exists, self.order, self.name


class ResolvedProfile(Struct, frozen=True):
    name: str
    ingress: Rules
    egress: Rules

    def rules(self, direction: Direction) -> Rules:
        return self.ingress if direction == "Ingress" else self.egress

    def rule_id(self, direction: Direction, index: int) -> RuleId:
        return RuleId("Profile", "", self.name, "", direction, index)


class NamedPort(Struct, frozen=True):
    name: str
    protocol: int
    port: int


class Peer(Struct, frozen=True):
    """What rules can know of an address: an endpoint or a network set that holds it, with the labels it has and inherits."""

    labels: Mapping[str, str]
    ports: tuple[NamedPort, ...] = ()


class ResolvedEndpoint(Struct, frozen=True, kw_only=True):
    """`interface` of a host endpoint may be "*", or empty where its addresses tell. `sources`: what a workload may send from."""

    kind: Literal["WorkloadEndpoint", "HostEndpoint"]
    namespace: str = ""
    name: str
    host: str
    interface: str
    addresses: tuple[Addr, ...]
    profiles: tuple[str, ...]
    peer: Peer
    sources: tuple[Cidr, ...] = ()

    @property
    def title(self) -> str:
        return object_name(self.kind, self.namespace, self.name)


def object_name(kind: str, namespace: str, name: str) -> str:
    """`NetworkPolicy/default/web`, `Profile/web`."""
    return f"{kind}/{namespace}/{name}" if namespace else f"{kind}/{name}"
