"""Rules, the policies, tiers and profiles that hold them. Pure.

A condition of a rule that this version does not know must not be skipped when rules are enforced: the rule would match more than
was meant. Therefore `EntityRule` and `Rule` refuse unknown fields wherever they are decoded; `document` sets them aside first.
"""

from __future__ import annotations

from typing import Annotated, Literal

from ocicat.model.base import UNSET, Struct, UnsetType, field
from ocicat.model.v3.fields import Form, Items, Labels, MaxLength, Port, Range, Selector, one_of
from ocicat.model.v3.metadata import API_VERSION, Condition, Metadata

Action = Literal["Allow", "Deny", "Log", "Pass"]
RuleNets = Annotated[tuple[Annotated[str, Form("masked prefix")], ...], Items(high=256, unique=True)]
RulePorts = Annotated[tuple[Annotated[Port, Form("port")], ...], Items(high=50)]
Protocol = Annotated[int | str, Form("protocol")]
Types = Annotated[tuple[Annotated[str, one_of("Ingress", "Egress")], ...], Items(high=2, unique=True)]
Hints = Annotated[tuple[Annotated[str, one_of("AssumeNeededOnEveryNode")], ...], Items(unique=True)]
ServiceName = Annotated[str, MaxLength(253), Form("name")]


class ServiceAccountMatch(
    Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True, forbid_unknown_fields=True
):
    names: Annotated[tuple[Annotated[str, Form("name")], ...], Items(unique=True)] = ()
    selector: Selector = ""


class ServiceMatch(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    name: ServiceName = ""
    namespace: ServiceName = ""


class EntityRule(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    """One side of a rule; all conditions that are given must hold."""

    nets: RuleNets = ()
    selector: Selector = ""
    ports: RulePorts = ()
    not_nets: RuleNets = ()
    not_selector: Selector = ""
    not_ports: RulePorts = ()
    namespace_selector: Selector = ""
    service_accounts: ServiceAccountMatch | None = None
    services: ServiceMatch | None = None


class ICMPFields(Struct, frozen=True, omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    type: Annotated[int, Range(0, 254)] | None = None
    code: Annotated[int, Range(0, 255)] | None = None


class HTTPPath(Struct, frozen=True, omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    exact: Annotated[str, MaxLength(1024)] = ""
    prefix: Annotated[str, MaxLength(1024)] = ""


class HTTPMatch(Struct, frozen=True, omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    methods: Annotated[tuple[str, ...], Items(high=20, unique=True)] = ()
    paths: Annotated[tuple[HTTPPath, ...], Items(high=20)] = ()


class RuleMetadata(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """It says nothing about what the rule matches."""

    annotations: Annotated[dict[str, str], Form("annotations")] = {}


class Rule(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    action: Action
    ip_version: Annotated[int, one_of(4, 6)] | None = field(default=None, name="ipVersion")
    protocol: Protocol | None = None
    source: EntityRule = EntityRule()
    destination: EntityRule = EntityRule()
    not_protocol: Protocol | None = None
    icmp: ICMPFields | None = None
    not_icmp: ICMPFields | None = field(default=None, name="notICMP")
    http: HTTPMatch | None = None
    metadata: RuleMetadata | None = None


Rules = Annotated[tuple[Rule, ...], Items(high=1024)]


class ProfileSpec(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()
    labels_to_apply: Labels = {}


class Profile(Struct, frozen=True, rename="camel", kw_only=True):
    kind: Literal["Profile"] = "Profile"
    api_version: str = API_VERSION
    metadata: Metadata
    spec: ProfileSpec = ProfileSpec()


class NetworkPolicySpec(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    tier: Annotated[str, Form("label")] = "default"
    order: float | None = None  # None: after all that have one
    ingress: Rules = ()
    egress: Rules = ()
    selector: Selector = ""  # everything in the namespace
    types: Types = ()  # what they are then: `defaults.policy_types`
    service_account_selector: Selector = ""
    performance_hints: Hints = ()


class NetworkPolicy(Struct, frozen=True, rename="camel", kw_only=True):
    kind: Literal["NetworkPolicy"] = "NetworkPolicy"
    api_version: str = API_VERSION
    metadata: Metadata
    spec: NetworkPolicySpec = NetworkPolicySpec()


class GlobalNetworkPolicySpec(NetworkPolicySpec, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    namespace_selector: Selector = ""
    do_not_track: bool = False
    pre_dnat: bool = field(default=False, name="preDNAT")
    apply_on_forward: bool = False


class GlobalNetworkPolicy(Struct, frozen=True, rename="camel", kw_only=True):
    kind: Literal["GlobalNetworkPolicy"] = "GlobalNetworkPolicy"
    api_version: str = API_VERSION
    metadata: Metadata
    spec: GlobalNetworkPolicySpec = GlobalNetworkPolicySpec()


class TierSpec(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    order: float | None = None
    default_action: Annotated[str, one_of("Deny", "Pass")] | None = None  # None: Deny


class TierStatus(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    conditions: tuple[Condition, ...] = ()


class Tier(Struct, frozen=True, rename="camel", kw_only=True):
    kind: Literal["Tier"] = "Tier"
    api_version: str = API_VERSION
    metadata: Metadata
    spec: TierSpec = TierSpec()
    status: TierStatus | UnsetType = UNSET
