"""What can be written down but is not done here: told before an object is written, never silently lost. Pure.

1. `refusals`: without it the object would mean something else, or is for somebody else. It cannot be written; one that another tool
   has stored can be changed in other respects. 2. `remarks`: it is accepted because Calico's tools write it, and has no effect.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from ocicat.model.base import Struct
from ocicat.model.v3.addressing import IPAMConfiguration, IPPool
from ocicat.model.v3.felix import FelixConfiguration
from ocicat.model.v3.metadata import Resource
from ocicat.model.v3.policy import GlobalNetworkPolicy, NetworkPolicy, Profile, Rule
from ocicat.model.v3.shape import record
from ocicat.model.v3.staged import StagedGlobalNetworkPolicy, StagedKubernetesNetworkPolicy, StagedNetworkPolicy
from ocicat.validate import Problem
from ocicat.validate.problem import problem

if TYPE_CHECKING:
    from ocicat.policy.felix_unread import Unread

_POLICIES = NetworkPolicy | GlobalNetworkPolicy | StagedNetworkPolicy | StagedGlobalNetworkPolicy

_NO_BGP = "there is no BGP here: hosts reach each other's blocks through the subnet that they share"
_NO_TUNNELS = "there are no tunnels between hosts here"

UNREAD_KINDS: Mapping[str, str] = {
    "BGPConfiguration": _NO_BGP,
    "BGPFilter": _NO_BGP,
    "BGPPeer": _NO_BGP,
    "CalicoNodeStatus": "nothing tells the state of Calico's own agent here",
    "KubeControllersConfiguration": "there is no Kubernetes here",
}
"""Nothing reads them, and why."""

UNREAD_FIELDS: Mapping[str, Mapping[str, str]] = {
    "IPPool": {
        "ipipMode": _NO_TUNNELS,
        "vxlanMode": _NO_TUNNELS,
        "disableBGPExport": _NO_BGP,
        "namespaceSelector": "workloads of every namespace may have its addresses",
    },
    "IPAMConfiguration": {
        "ipCooldownSeconds": "an address that was given back waits behind all others of its block, however long that is",
        "kubeVirtVMAddressPersistence": "there is no Kubernetes here",
    },
}
"""By kind: fields of `spec` that nothing reads, and why."""


class Unsupported(Struct, frozen=True):
    """`hint`: what to write instead, if there is such a thing."""

    problem: Problem
    hint: str = ""


def refusals(resource: Resource) -> Iterator[Unsupported]:
    """In the order of the fields."""
    match resource:
        case StagedKubernetesNetworkPolicy():
            what = "is not supported: there is no Kubernetes API here"
            yield Unsupported(Problem("kind", "", what), "write a StagedNetworkPolicy")
        case Profile() | NetworkPolicy() | GlobalNetworkPolicy() | StagedNetworkPolicy() | StagedGlobalNetworkPolicy():
            yield from _of_rules("spec.ingress", resource.spec.ingress)
            yield from _of_rules("spec.egress", resource.spec.egress)
        case FelixConfiguration():
            yield from _of_felix_name(resource.metadata.name)
            for name, value, field in _unread(resource):
                if field.refused:
                    yield Unsupported(problem(f"spec.{name}", value, f"is not supported: {field.why}"), "leave it out")
        case _:
            return


def remarks(resource: Resource) -> Iterator[Problem]:
    """In the order of the fields."""
    if why := UNREAD_KINDS.get(resource.kind):
        yield Problem("kind", "", f"has no effect: {why}")
    yield from _of_unread_fields(resource)
    if isinstance(resource, _POLICIES) and resource.spec.performance_hints:
        why = "has no effect: a policy is made ready where it applies to an endpoint"
        yield problem("spec.performanceHints", resource.spec.performance_hints, why)
    if isinstance(resource, FelixConfiguration):
        for name, value, field in _unread(resource):
            if not field.refused:
                yield problem(f"spec.{name}", value, f"has no effect: {field.why}")


def _of_rules(path: str, rules: Iterable[Rule]) -> Iterator[Unsupported]:
    from ocicat.policy.rules import unsupported  # all of policy comes with it

    for place, rule in enumerate(rules):
        for field, why, hint in unsupported(rule):
            yield Unsupported(Problem(f"{path}[{place}].{field}", "", f"is not supported: {why}"), hint)


def _of_unread_fields(resource: Resource) -> Iterator[Problem]:
    if isinstance(resource, IPPool | IPAMConfiguration):
        for member in record(type(resource.spec)).members:
            why, value = UNREAD_FIELDS[resource.kind].get(member.name), getattr(resource.spec, member.attribute)
            if why and value != member.unset:
                yield problem(f"spec.{member.name}", value, f"has no effect: {why}")


def _of_felix_name(name: str) -> Iterator[Unsupported]:
    if name != "default" and not name.startswith("node."):
        what = "is not supported: only the objects default and node.HOST are applied"
        yield Unsupported(problem("metadata.name", name, what), "call it so")


def _unread(resource: FelixConfiguration) -> Iterator[tuple[str, object, Unread]]:
    from ocicat.policy.felix_unread import unread  # likewise

    return unread(resource.spec)
