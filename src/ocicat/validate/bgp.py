"""Rules across the fields of BGP settings, peers and filters. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ocicat.model.v3.bgp import (
    BGPConfiguration,
    BGPConfigurationSpec,
    BGPPeerSpec,
    Community,
    FilterCommunities,
    FilterOperation,
    FilterRule,
    FilterRuleV4,
    FilterRuleV6,
    PrefixAdvertisement,
    PrependASPath,
)
from ocicat.validate.forms import family_of, is_community, peer_family
from ocicat.validate.problem import Checks, Problem, on, problem


def _mesh(spec: BGPConfigurationSpec) -> Iterator[Problem]:
    if spec.node_to_node_mesh_enabled is not False:
        return
    if spec.node_mesh_password is not None:
        yield problem("nodeMeshPassword", spec.node_mesh_password, "cannot be set when nodeToNodeMeshEnabled is false")
    if spec.node_mesh_max_restart_time is not None:
        yield problem(
            "nodeMeshMaxRestartTime",
            spec.node_mesh_max_restart_time,
            "cannot be set when nodeToNodeMeshEnabled is false",
        )


def _communities(spec: BGPConfigurationSpec) -> Iterator[Problem]:
    if spec.communities and not spec.prefix_advertisements:
        yield problem("communities", spec.communities, "are not used: no prefixAdvertisements name them")
    defined = {community.name for community in spec.communities}
    for place, advertisement in enumerate(spec.prefix_advertisements):
        for number, text in enumerate(advertisement.communities):
            if text not in defined and not is_community(text):
                path = f"prefixAdvertisements[{place}].communities[{number}]"
                yield problem(path, text, "must be aa:nn, aa:nn:mm, or a name that communities defines")


def _community(community: Community) -> Iterator[Problem]:
    for name, text in (("name", community.name), ("value", community.value)):
        if not text:
            yield problem(name, None, "is missing: a community has a name and a value")


def _advertisement(advertisement: PrefixAdvertisement) -> Iterator[Problem]:
    if not advertisement.cidr:
        yield problem("cidr", None, "is missing: the prefix that carries the communities")
    if not advertisement.communities:
        yield problem("communities", None, "are missing: what the prefix carries")


def _ignored(spec: BGPConfigurationSpec) -> Iterator[Problem]:
    for place, text in enumerate(spec.ignored_interfaces):
        if text == "*":
            yield problem(f"ignoredInterfaces[{place}]", text, "would ignore every interface")


def _of_one_node(resource: BGPConfiguration) -> Iterator[Problem]:
    """What concerns the whole cluster is said once."""
    spec = resource.spec
    whole: tuple[tuple[str, object], ...] = (
        ("nodeToNodeMeshEnabled", spec.node_to_node_mesh_enabled),
        ("asNumber", spec.as_number),
        ("serviceClusterIPs", spec.service_cluster_ips or None),
        ("serviceExternalIPs", spec.service_external_ips or None),
        ("serviceLoadBalancerIPs", spec.service_load_balancer_ips or None),
    )
    for name, value in whole if resource.metadata.name != "default" else ():
        if value is not None:
            yield problem(f"spec.{name}", value, "can only be set on the BGPConfiguration 'default'")


def _who(spec: BGPPeerSpec) -> Iterator[Problem]:
    if spec.node and spec.node_selector:
        yield problem("nodeSelector", spec.node_selector, "cannot stand beside node")
    if spec.peer_ip and spec.peer_selector:
        yield problem("peerSelector", spec.peer_selector, "cannot stand beside peerIP")
    if spec.peer_selector and spec.as_number:
        yield problem("asNumber", spec.as_number, "must be empty with peerSelector: the peers' own is used")
    if spec.keep_original_next_hop and spec.next_hop_mode is not None:
        yield problem("keepOriginalNextHop", "true", "is deprecated and cannot stand beside nextHopMode")


def _workload_peers(spec: BGPPeerSpec) -> Iterator[Problem]:
    if not spec.local_workload_selector:
        return
    for name, text in (("peerIP", spec.peer_ip), ("peerSelector", spec.peer_selector)):
        if text:
            yield problem(name, text, "must be empty with localWorkloadSelector")
    if not spec.as_number:
        yield problem("asNumber", None, "is missing: localWorkloadSelector needs it")


def _reachable(spec: BGPPeerSpec) -> Iterator[Problem]:
    if spec.reachable_by and not spec.peer_ip:
        yield problem("reachableBy", spec.reachable_by, "needs peerIP")
    families = {family_of(spec.reachable_by), peer_family(spec.peer_ip)}
    if spec.peer_ip and None not in families and len(families) > 1:
        yield problem("reachableBy", spec.reachable_by, f"must be of the same family as peerIP {spec.peer_ip}")


def _filter(rule: FilterRule) -> Iterator[Problem]:
    if rule.operations is not None and rule.action != "Accept":
        yield problem("operations", rule.operations, "need action Accept: a rejected route is not changed")
    if rule.operations == ():
        yield problem("operations", "[]", "is empty: leave it out")


def _prefix(rule: FilterRuleV4 | FilterRuleV6) -> Iterator[Problem]:
    if bool(rule.cidr) != bool(rule.match_operator):
        yield problem(
            "matchOperator", rule.match_operator or None, "cidr and matchOperator must both be set, or neither"
        )
    if rule.prefix_length is not None and not rule.cidr:
        yield problem("prefixLength", rule.prefix_length, "needs cidr")


def _operation(operation: FilterOperation) -> Iterator[Problem]:
    given = (operation.add_community, operation.prepend_as_path, operation.set_priority)
    if sum(one is not None for one in given) != 1:
        yield problem("", operation, "must have exactly one of addCommunity, prependASPath, setPriority")


def _one_community(communities: FilterCommunities) -> Iterator[Problem]:
    if len(communities.values) != 1:
        yield problem("values", communities.values, "must hold exactly one community")


def _as_path(path: PrependASPath) -> Iterator[Problem]:
    if not path.prefix:
        yield problem("prefix", None, "is empty: the AS numbers to prepend")


RULES: Checks = dict(
    [
        on(BGPConfiguration, _of_one_node),
        on(BGPConfigurationSpec, _mesh, _communities, _ignored),
        on(Community, _community),
        on(PrefixAdvertisement, _advertisement),
        on(BGPPeerSpec, _who, _workload_peers, _reachable),
        on(FilterRule, _filter),
        on(FilterRuleV4, _prefix),
        on(FilterRuleV6, _prefix),
        on(FilterOperation, _operation),
        on(FilterCommunities, _one_community),
        on(PrependASPath, _as_path),
    ]
)
