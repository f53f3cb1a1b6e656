"""Policies that are not in force yet, and what will become of them. Pure."""

from __future__ import annotations

from typing import Annotated, Literal

from ocicat.model.base import Struct, field
from ocicat.model.v3.fields import Form, Labels, Port, Range, one_of
from ocicat.model.v3.metadata import API_VERSION, Metadata
from ocicat.model.v3.policy import GlobalNetworkPolicySpec, NetworkPolicySpec, Types

StagedAction = Annotated[str, one_of("Set", "Delete", "Learn", "Ignore")]


class StagedNetworkPolicySpec(NetworkPolicySpec, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    staged_action: StagedAction = "Set"


class StagedNetworkPolicy(Struct, frozen=True, rename="camel", kw_only=True):
    kind: Literal["StagedNetworkPolicy"] = "StagedNetworkPolicy"
    api_version: str = API_VERSION
    metadata: Metadata
    spec: StagedNetworkPolicySpec = StagedNetworkPolicySpec()


class StagedGlobalNetworkPolicySpec(
    GlobalNetworkPolicySpec, frozen=True, rename="camel", omit_defaults=True, kw_only=True
):
    staged_action: StagedAction = "Set"


class StagedGlobalNetworkPolicy(Struct, frozen=True, rename="camel", kw_only=True):
    kind: Literal["StagedGlobalNetworkPolicy"] = "StagedGlobalNetworkPolicy"
    api_version: str = API_VERSION
    metadata: Metadata
    spec: StagedGlobalNetworkPolicySpec = StagedGlobalNetworkPolicySpec()


class LabelRequirement(Struct, frozen=True, omit_defaults=True, kw_only=True):
    key: str
    operator: Annotated[str, one_of("In", "NotIn", "Exists", "DoesNotExist")]
    values: tuple[str, ...] = ()


class LabelSelector(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """Kubernetes' own selectors: everything that is given must hold; nothing given matches all."""

    match_labels: Labels = {}
    match_expressions: tuple[LabelRequirement, ...] = ()


class IPBlock(Struct, frozen=True, omit_defaults=True, kw_only=True):
    cidr: Annotated[str, Form("prefix")]
    except_: tuple[Annotated[str, Form("prefix")], ...] = field(default=(), name="except")


class KubernetesPeer(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    pod_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None
    ip_block: IPBlock | None = None


class KubernetesPort(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    protocol: Annotated[str, one_of("TCP", "UDP", "SCTP")] = "TCP"
    port: Annotated[Port, Form("port")] | None = None
    end_port: Annotated[int, Range(1, 65535)] | None = None


class KubernetesIngressRule(Struct, frozen=True, omit_defaults=True, kw_only=True):
    ports: tuple[KubernetesPort, ...] = ()
    from_: tuple[KubernetesPeer, ...] = field(default=(), name="from")


class KubernetesEgressRule(Struct, frozen=True, omit_defaults=True, kw_only=True):
    ports: tuple[KubernetesPort, ...] = ()
    to: tuple[KubernetesPeer, ...] = ()


class StagedKubernetesNetworkPolicySpec(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    staged_action: StagedAction = "Set"
    pod_selector: LabelSelector = LabelSelector()
    ingress: tuple[KubernetesIngressRule, ...] = ()
    egress: tuple[KubernetesEgressRule, ...] = ()
    policy_types: Types = ()


class StagedKubernetesNetworkPolicy(Struct, frozen=True, rename="camel", kw_only=True):
    kind: Literal["StagedKubernetesNetworkPolicy"] = "StagedKubernetesNetworkPolicy"
    api_version: str = API_VERSION
    metadata: Metadata
    spec: StagedKubernetesNetworkPolicySpec = StagedKubernetesNetworkPolicySpec()
