"""What an object means where it says nothing, filled in as Calico's client does when it creates one. Pure."""

from __future__ import annotations

from typing import TypeVar, cast

from ocicat.errors import UserError
from ocicat.model.base import replace
from ocicat.model.net import Cidr
from ocicat.model.v3.addressing import IPPool, IPPoolSpec
from ocicat.model.v3.endpoints import WorkloadEndpoint
from ocicat.model.v3.metadata import Metadata, Resource
from ocicat.model.v3.numbers import parse_protocol
from ocicat.model.v3.policy import (
    GlobalNetworkPolicy,
    NetworkPolicy,
    NetworkPolicySpec,
    Profile,
    ProfileSpec,
    Rule,
    Tier,
)
from ocicat.model.v3.staged import StagedGlobalNetworkPolicy, StagedNetworkPolicy

R = TypeVar("R", bound=Resource)
S = TypeVar("S", NetworkPolicySpec, ProfileSpec)

DEFAULT_TIER = "default"
DEFAULT_ALLOW_PROFILE = "projectcalico-default-allow"
LABEL_NAMESPACE = "projectcalico.org/namespace"
LABEL_ORCHESTRATOR = "projectcalico.org/orchestrator"
FIXED_TIERS = {
    "default": (1_000_000.0, "Deny"),
    "kube-admin": (1_000.0, "Pass"),
    "kube-baseline": (10_000_000.0, "Pass"),
}
"""Order and default action of the tiers that always are as they are."""

Policy = NetworkPolicy | GlobalNetworkPolicy | StagedNetworkPolicy | StagedGlobalNetworkPolicy


def policy_types(spec: NetworkPolicySpec) -> tuple[str, ...]:
    """The directions in which a policy applies: those it names, or else those it has rules for; ingress if it has none."""
    if spec.types:
        return spec.types
    ingress = ("Ingress",) if spec.ingress or not spec.egress else ()
    return (*ingress, "Egress") if spec.egress else ingress


def with_defaults(resource: R) -> R:
    """`resource` as it is stored when it is created. Errors: UserError for a protocol that none is; validate it first."""
    match resource:
        case NetworkPolicy() | GlobalNetworkPolicy() | StagedNetworkPolicy() | StagedGlobalNetworkPolicy():
            return cast("R", replace(resource, spec=_policy_spec(resource)))
        case Profile():
            return cast("R", replace(resource, spec=_with_plain_protocols(resource.spec)))
        case IPPool():
            return cast("R", replace(resource, spec=_pool_spec(resource.spec)))
        case WorkloadEndpoint():
            return cast("R", replace(resource, metadata=_endpoint_metadata(resource)))
        case Tier():
            action = resource.spec.default_action or "Deny"
            return cast("R", replace(resource, spec=replace(resource.spec, default_action=action)))
        case _:
            return resource


def _pool_spec(spec: IPPoolSpec) -> IPPoolSpec:
    """Calico's tools compare the text of the range when they update a pool: there is one text for one range."""
    try:
        cidr = str(Cidr.parse(spec.cidr))
    except UserError:
        cidr = spec.cidr  # what is wrong with it is for the validation to say
    return replace(spec, cidr=cidr, block_size=spec.effective_block_size)


def _endpoint_metadata(endpoint: WorkloadEndpoint) -> Metadata:
    """Selectors rely on these two labels: whatever somebody wrote there, they say what is so."""
    own = {LABEL_NAMESPACE: endpoint.metadata.namespace, LABEL_ORCHESTRATOR: endpoint.spec.orchestrator}
    return replace(endpoint.metadata, labels=endpoint.metadata.labels | own)


def _policy_spec(policy: Policy) -> NetworkPolicySpec:
    spec = _with_plain_protocols(policy.spec)
    deletes = (
        isinstance(policy, StagedNetworkPolicy | StagedGlobalNetworkPolicy) and policy.spec.staged_action == "Delete"
    )
    return spec if deletes else replace(spec, types=policy_types(spec))


def _with_plain_protocols(spec: S) -> S:
    """Protocols in the one spelling that every reader knows."""
    return replace(spec, ingress=tuple(map(_plain, spec.ingress)), egress=tuple(map(_plain, spec.egress)))


def _plain(rule: Rule) -> Rule:
    return replace(
        rule,
        protocol=None if rule.protocol is None else parse_protocol(rule.protocol),
        not_protocol=None if rule.not_protocol is None else parse_protocol(rule.not_protocol),
    )
