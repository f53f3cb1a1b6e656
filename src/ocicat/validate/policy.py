"""Rules across the fields of policies, their rules, tiers and profiles. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ocicat.model.base import replace
from ocicat.model.v3.defaults import FIXED_TIERS
from ocicat.model.v3.numbers import PROTOCOL_NUMBERS, has_ports, is_port_name, protocol_number
from ocicat.model.v3.policy import (
    EntityRule,
    GlobalNetworkPolicy,
    GlobalNetworkPolicySpec,
    HTTPMatch,
    HTTPPath,
    ICMPFields,
    NetworkPolicy,
    NetworkPolicySpec,
    Rule,
    Tier,
)
from ocicat.model.v3.staged import (
    StagedGlobalNetworkPolicy,
    StagedGlobalNetworkPolicySpec,
    StagedKubernetesNetworkPolicySpec,
    StagedNetworkPolicy,
    StagedNetworkPolicySpec,
)
from ocicat.validate.forms import FORMS, network
from ocicat.validate.problem import Checks, Problem, on, problem
from ocicat.validate.selectors import is_global, names_global

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_POLICY_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})?")
_CONVERTED_NAME = re.compile(rf"(knp|ossg)\.default\.{_LABEL}(\.{_LABEL})*")
_PATH = re.compile(r"/([A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*")
_ICMP = {PROTOCOL_NUMBERS["ICMP"]: 4, PROTOCOL_NUMBERS["ICMPv6"]: 6}
_NAME_RULE = "must be NAME or TIER.NAME: parts of a-z 0-9 -, one dot at most"

Delete = StagedNetworkPolicySpec | StagedGlobalNetworkPolicySpec | StagedKubernetesNetworkPolicySpec


# --- one rule -----------------------------------------------------------------------------------------------------


def _icmp(rule: Rule) -> Iterator[Problem]:
    number = None if rule.protocol is None else protocol_number(rule.protocol)
    if rule.icmp is not None and number not in _ICMP:
        yield problem("icmp", rule.icmp, "needs protocol ICMP or ICMPv6")
    for name, protocol in (("protocol", rule.protocol), ("notProtocol", rule.not_protocol)):
        family = None if protocol is None else _ICMP.get(protocol_number(protocol) or 0)
        if family is not None and rule.ip_version not in (None, family):
            yield problem("ipVersion", rule.ip_version, f"must be {family} with {name} {protocol}")


def _families(rule: Rule) -> Iterator[Problem]:
    seen: dict[int, str] = {} if rule.ip_version is None else {rule.ip_version: "ipVersion"}
    for side, entity in (("source", rule.source), ("destination", rule.destination)):
        for name, nets in (("nets", entity.nets), ("notNets", entity.not_nets)):
            for place, text in enumerate(nets):
                found = network(text)
                other = (
                    None
                    if found is None
                    else next((where for family, where in seen.items() if family != found.family), None)
                )
                if other is not None:
                    yield problem(f"{side}.{name}[{place}]", text, f"is of another family than {other}: make two rules")
                    return
                if found is not None:
                    seen.setdefault(found.family, f"{side}.{name}[{place}]")


def _ports(rule: Rule) -> Iterator[Problem]:
    for side, entity in (("source", rule.source), ("destination", rule.destination)):
        for name, ports in (("ports", entity.ports), ("notPorts", entity.not_ports)):
            if ports and not _may_have(rule, ports):
                yield problem(f"{side}.{name}", ports, "needs a protocol that has ports: TCP, UDP or SCTP")


def _may_have(rule: Rule, ports: tuple[int | str, ...]) -> bool:
    """A named port brings its protocol along."""
    if rule.protocol is not None:
        return has_ports(rule.protocol)
    return all(isinstance(port, str) and not port.isdigit() and is_port_name(port) for port in ports)


def _http(rule: Rule) -> Iterator[Problem]:
    if rule.http is None:
        return
    if rule.action != "Allow":
        yield problem("http", rule.http, f"needs action Allow, not {rule.action}")
    if rule.protocol is not None and protocol_number(rule.protocol) != PROTOCOL_NUMBERS["TCP"]:
        yield problem("http", rule.http, f"needs protocol TCP, not {rule.protocol}")


def _code(icmp: ICMPFields) -> Iterator[Problem]:
    if icmp.code is not None and icmp.type is None:
        yield problem("code", icmp.code, "needs a type beside it")


def _path(path: HTTPPath) -> Iterator[Problem]:
    if bool(path.exact) == bool(path.prefix):
        yield problem("", path, "must have either exact or prefix")
    for name, text in (("exact", path.exact), ("prefix", path.prefix)):
        if text and not _PATH.fullmatch(text):
            yield problem(name, text, "must be a path as in a URL: it begins with / and has no blanks, ? and #")


def _methods(http: HTTPMatch) -> Iterator[Problem]:
    for place, method in enumerate(http.methods):
        if not method:
            yield problem(f"methods[{place}]", method, "must be a method of HTTP")


def _entity_selectors(entity: EntityRule) -> Iterator[Problem]:
    for name, text in (("selector", entity.selector), ("notSelector", entity.not_selector)):
        if names_global(text):
            yield problem(name, text, "global() can only be used in namespaceSelector")
    if names_global(entity.namespace_selector) and not is_global(entity.namespace_selector):
        yield problem("namespaceSelector", entity.namespace_selector, "global() must stand alone")


def _not_everything(entity: EntityRule) -> Iterator[Problem]:
    for place, text in enumerate(entity.not_nets):
        found = network(text)
        if found is not None and found.length == 0:
            yield problem(f"notNets[{place}]", text, "leaves nothing to match")


def _services(entity: EntityRule) -> Iterator[Problem]:
    if entity.services is None:
        return
    if not entity.services.name:
        yield problem("services.name", None, "is missing: the service's name")
    exclusive: tuple[tuple[str, object], ...] = (
        ("selector", entity.selector),
        ("notSelector", entity.not_selector),
        ("namespaceSelector", entity.namespace_selector),
        ("nets", entity.nets),
        ("notNets", entity.not_nets),
        ("serviceAccounts", entity.service_accounts),
    )
    for name, value in exclusive:
        if value:
            yield problem(name, value, "cannot stand beside services")


# --- a policy -----------------------------------------------------------------------------------------------------


def _directions(spec: NetworkPolicySpec) -> Iterator[Problem]:
    for place, rule in enumerate(spec.egress):
        if rule.http is not None:
            yield problem(f"egress[{place}].http", rule.http, "can only be used in an ingress rule")
        if rule.source.services is not None:
            yield problem(
                f"egress[{place}].source.services", rule.source.services, "belongs to the destination of an egress rule"
            )
        if rule.destination.services is not None and (rule.destination.ports or rule.destination.not_ports):
            yield problem(
                f"egress[{place}].destination.ports", None, "cannot stand beside services, which brings its ports"
            )
    for place, rule in enumerate(spec.ingress):
        if rule.destination.services is not None:
            yield problem(f"ingress[{place}].destination.services", rule.destination.services, "belongs to the source")


def _policy_selectors(spec: NetworkPolicySpec) -> Iterator[Problem]:
    for name, text in (("selector", spec.selector), ("serviceAccountSelector", spec.service_account_selector)):
        if names_global(text):
            yield problem(name, text, "global() can only be used in a rule's namespaceSelector")


def _global_policy(spec: GlobalNetworkPolicySpec) -> Iterator[Problem]:
    if names_global(spec.namespace_selector):
        yield problem(
            "namespaceSelector", spec.namespace_selector, "global() can only be used in a rule's namespaceSelector"
        )
    if spec.do_not_track and spec.pre_dnat:
        yield problem("preDNAT", "true", "cannot be true together with doNotTrack")
    if (spec.do_not_track or spec.pre_dnat) and not spec.apply_on_forward:
        yield problem("applyOnForward", "false", "must be true with preDNAT or doNotTrack")
    if spec.pre_dnat and spec.egress:
        yield problem("egress", None, "a preDNAT policy can have no egress rules")
    if spec.pre_dnat and "Egress" in spec.types:
        yield problem("types", spec.types, "a preDNAT policy cannot have type Egress")


def _service_namespaces(spec: GlobalNetworkPolicySpec) -> Iterator[Problem]:
    for direction, rules in (("ingress", spec.ingress), ("egress", spec.egress)):
        for place, rule in enumerate(rules):
            for side, entity in (("source", rule.source), ("destination", rule.destination)):
                if entity.services is not None and not entity.services.namespace:
                    yield problem(
                        f"{direction}[{place}].{side}.services.namespace", None, "is missing: a global policy has none"
                    )


def _staged(spec: Delete) -> Iterator[Problem]:
    bare = type(spec)(staged_action="Delete")
    if isinstance(spec, NetworkPolicySpec) and isinstance(bare, NetworkPolicySpec):
        bare = replace(bare, tier=spec.tier)
    if spec.staged_action == "Delete" and spec != bare:
        yield problem(
            "stagedAction", spec.staged_action, "with Delete the rest of spec, the tier excepted, must be empty"
        )


def _policy_name(policy: NetworkPolicy | StagedNetworkPolicy) -> Iterator[Problem]:
    name = policy.metadata.name
    if not _POLICY_NAME.fullmatch(name) and not _CONVERTED_NAME.fullmatch(name):
        yield problem("metadata.name", name, _NAME_RULE)


def _global_policy_name(policy: GlobalNetworkPolicy | StagedGlobalNetworkPolicy) -> Iterator[Problem]:
    if not _POLICY_NAME.fullmatch(policy.metadata.name):
        yield problem("metadata.name", policy.metadata.name, _NAME_RULE)


def _tier(tier: Tier) -> Iterator[Problem]:
    name = tier.metadata.name
    if rule := FORMS["label"](name):
        yield problem("metadata.name", name, rule)
    if name not in FIXED_TIERS:
        return
    order, action = FIXED_TIERS[name]
    if tier.spec.order != order:
        yield problem("spec.order", tier.spec.order, f"the tier {name} has order {order:.0f}")
    if (tier.spec.default_action or "Deny") != action:
        yield problem(
            "spec.defaultAction", tier.spec.default_action, f"the tier {name} must have default action {action}"
        )


RULES: Checks = dict(
    [
        on(Rule, _icmp, _families, _ports, _http),
        on(EntityRule, _entity_selectors, _not_everything, _services),
        on(ICMPFields, _code),
        on(HTTPMatch, _methods),
        on(HTTPPath, _path),
        on(NetworkPolicySpec, _directions, _policy_selectors),
        on(GlobalNetworkPolicySpec, _global_policy, _service_namespaces),
        on(StagedNetworkPolicySpec, _staged),
        on(StagedGlobalNetworkPolicySpec, _staged),
        on(StagedKubernetesNetworkPolicySpec, _staged),
        on(NetworkPolicy, _policy_name),
        on(StagedNetworkPolicy, _policy_name),
        on(GlobalNetworkPolicy, _global_policy_name),
        on(StagedGlobalNetworkPolicy, _global_policy_name),
        on(Tier, _tier),
    ]
)
