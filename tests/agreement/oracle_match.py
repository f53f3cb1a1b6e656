"""Does a rule match a packet, does a selector select an endpoint: naively, from the plain JSON.

Written from the published semantics alone, and never from `ocicat.policy`, which it is there to check. What a rule's selectors
select are addresses, not endpoints: an address matches if any endpoint or set that holds it is selected.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from cluster import NUMBERS, Cluster, Json, Packet

from ocicat.model.net import Addr, Cidr, parse_interface
from ocicat.selector.ast import All, And, Compare, Comparison, Global, Has, In, Node, Not, NotIn, Or
from ocicat.selector.parser import parse

NAMESPACE = "projectcalico.org/namespace"
ORCHESTRATOR = "projectcalico.org/orchestrator"
SERVICE_ACCOUNT = "projectcalico.org/serviceaccount"
OF_NAMESPACE, OF_SERVICE_ACCOUNT = "pcns.", "pcsa."
"""What the labels of an endpoint's namespace and service account begin with, beside its own."""


@dataclass(frozen=True, slots=True)
class Member:
    """Whatever has labels and addresses: an endpoint or a set of networks. Ports: (name, protocol number, port)."""

    kind: str
    namespace: str
    name: str
    labels: dict[str, str]
    nets: tuple[Cidr, ...]
    ports: tuple[tuple[str, int, int], ...]

    def holds(self, address: Addr) -> bool:
        return any(address in net for net in self.nets)


# --- values ---------------------------------------------------------------------------------------------------------


@cache
def net(text: str) -> Cidr:
    """A prefix or an address; host bits do not count."""
    return parse_interface(text)[1]


@cache
def address(text: str) -> Addr:
    return Addr.parse(text)


@cache
def protocol_number(written: int | str) -> int:
    by_name = {name.lower(): number for name, number in NUMBERS.items()}
    return int(written) if str(written).isdigit() else by_name[str(written).lower()]


def numeric_port(written: int | str) -> tuple[int, int] | None:
    """The first and the last of a range; None for a name."""
    found = re.fullmatch(r"(\d+)(?::(\d+))?", str(written))
    return (int(found[1]), int(found[2] or found[1])) if found else None


# --- members --------------------------------------------------------------------------------------------------------


def members(cluster: Cluster) -> list[Member]:
    makers = {
        "WorkloadEndpoint": _workload,
        "HostEndpoint": _host_endpoint,
        "NetworkSet": _network_set,
        "GlobalNetworkSet": _global_set,
    }
    return [makers[kind](cluster, resource) for kind in makers for resource in cluster.of(kind)]


def _workload(cluster: Cluster, resource: Json) -> Member:
    """Its namespace, orchestrator and service account are what they are, whatever its own labels claim."""
    metadata, spec = resource["metadata"], resource["spec"]
    own = {
        label: value
        for label, value in metadata.get("labels", {}).items()
        if not label.startswith((OF_NAMESPACE, OF_SERVICE_ACCOUNT))
    }
    own |= {NAMESPACE: metadata["namespace"], ORCHESTRATOR: spec["orchestrator"]}
    if spec.get("serviceAccountName"):
        own[SERVICE_ACCOUNT] = spec["serviceAccountName"]
    labels = inherited(cluster, own, spec.get("profiles", []))
    return _member(resource, labels, spec.get("ipNetworks", []), spec.get("ports", []))


def _host_endpoint(cluster: Cluster, resource: Json) -> Member:
    spec = resource["spec"]
    labels = inherited(cluster, resource["metadata"].get("labels", {}), spec.get("profiles", []))
    return _member(resource, labels, spec.get("expectedIPs", []), spec.get("ports", []))


def _network_set(cluster: Cluster, resource: Json) -> Member:
    """It is in its namespace as a workload is, the namespace's labels included."""
    metadata = resource["metadata"]
    own = metadata.get("labels", {}) | {NAMESPACE: metadata["namespace"]}
    labels = inherited(cluster, own, [f"kns.{metadata['namespace']}"])
    return _member(resource, labels, resource["spec"].get("nets", []), [])


def _global_set(cluster: Cluster, resource: Json) -> Member:
    return _member(resource, resource["metadata"].get("labels", {}), resource["spec"].get("nets", []), [])


def _member(resource: Json, labels: dict[str, str], nets: list[str], ports: list[Json]) -> Member:
    metadata = resource["metadata"]
    named = tuple((port["name"], protocol_number(port["protocol"]), port["port"]) for port in ports if port.get("name"))
    nets_parsed = tuple(net(text) for text in nets)
    return Member(resource["kind"], metadata.get("namespace", ""), metadata["name"], dict(labels), nets_parsed, named)


def inherited(cluster: Cluster, own: dict[str, str], profiles: list[str]) -> dict[str, str]:
    """Own labels go before those of profiles, and a profile's before those of the profiles after it."""
    labels = dict(own)
    for name in profiles:
        for profile in cluster.of("Profile"):
            if profile["metadata"]["name"] == name:
                labels = profile["spec"].get("labelsToApply", {}) | labels
    return labels


# --- selectors ------------------------------------------------------------------------------------------------------


def selects(text: str, labels: dict[str, str], *, prefix: str = "", everything: str = "") -> bool:
    """`prefix` goes before each label that the selector names. `everything`: the label without which all() does not match.

    global() then is the opposite: the label must be absent. Without it both match everything.
    """
    return _selects(_tree(text), labels, prefix, everything)


@cache
def _tree(text: str) -> Node:
    return parse(text)


def _selects(node: Node, labels: dict[str, str], prefix: str, everything: str) -> bool:
    match node:
        case All():
            return not everything or everything in labels
        case Global():
            return not everything or everything not in labels
        case Has(label):
            return prefix + label in labels
        case Compare(label, comparison, value):
            return _compares(labels.get(prefix + label), comparison, value)
        case In(label, values):
            return labels.get(prefix + label) in values
        case NotIn(label, values):
            return labels.get(prefix + label) not in values
        case Not(operand):
            return not _selects(operand, labels, prefix, everything)
        case And(operands):
            return all(_selects(operand, labels, prefix, everything) for operand in operands)
        case Or(operands):
            return any(_selects(operand, labels, prefix, everything) for operand in operands)


def _compares(found: str | None, comparison: Comparison, value: str) -> bool:
    if comparison is Comparison.DIFFERS:
        return found != value
    if found is None:
        return False
    tests = {
        Comparison.EQUALS: found == value,
        Comparison.CONTAINS: value in found,
        Comparison.STARTS: found.startswith(value),
        Comparison.ENDS: found.endswith(value),
    }
    return tests[comparison]


def policy_selects(policy: Json, labels: dict[str, str]) -> bool:
    """Whether a policy applies to whatever has these labels."""
    spec = policy["spec"]
    namespaces, accounts = spec.get("namespaceSelector", ""), spec.get("serviceAccountSelector", "")
    if "Global" in policy["kind"]:
        # Calico puts the parts into one text and then replaces all() in all of it: first by "has a namespace" if there is
        # a namespaceSelector, then by "has a service account" if there is a serviceAccountSelector.
        of_namespaces = NAMESPACE if namespaces else ""
        of_accounts = SERVICE_ACCOUNT if accounts else ""
        own = spec.get("selector", "")
        return (
            (not own or selects(own, labels, everything=of_namespaces or of_accounts))
            and selects(namespaces, labels, prefix=OF_NAMESPACE, everything=of_namespaces)
            and selects(accounts, labels, prefix=OF_SERVICE_ACCOUNT, everything=of_accounts)
        )
    return (
        labels.get(NAMESPACE) == policy["metadata"]["namespace"]
        and selects(spec.get("selector", ""), labels)
        and selects(accounts, labels, prefix=OF_SERVICE_ACCOUNT)
    )


# --- one rule -------------------------------------------------------------------------------------------------------


def matches(rule: Json, namespace: str, packet: Packet, known: list[Member]) -> bool:
    """`namespace` is that of the policy, "" for a global one and for a profile. `known`: all members of the cluster."""
    if "http" in rule:
        raise AssertionError("http cannot be decided by the first packet: validation refuses it")
    entities = (rule.get("source", {}), rule.get("destination", {}))
    sides = ((packet.source, packet.source_port), (packet.destination, packet.destination_port))
    return (
        _family(rule, packet.family)
        and _protocol(rule, packet)
        and _icmp(rule, packet)
        and all(
            _entity(entity, rule, namespace, packet, address(text), port, known)
            for entity, (text, port) in zip(entities, sides, strict=True)
        )
    )


def _family(rule: Json, family: int) -> bool:
    """A rule that names networks, even only to exclude them, is a rule for their family."""
    if (rule.get("ipVersion") or family) != family:
        return False
    lists = [rule.get(side, {}).get(name, []) for side in ("source", "destination") for name in ("nets", "notNets")]
    return all(any(net(text).family == family for text in nets) for nets in lists if nets)


def _protocol(rule: Json, packet: Packet) -> bool:
    wanted, unwanted = rule.get("protocol"), rule.get("notProtocol")
    if wanted is not None and protocol_number(wanted) != packet.protocol:
        return False
    return unwanted is None or protocol_number(unwanted) != packet.protocol


def _icmp(rule: Json, packet: Packet) -> bool:
    """notICMP is a condition on ICMP packets: one of another protocol has no type that could differ."""
    wanted, unwanted = rule.get("icmp") or {}, rule.get("notICMP") or {}
    if wanted and not _is_icmp(wanted, packet):
        return False
    return not unwanted or (packet.icmp_type is not None and not _is_icmp(unwanted, packet))


def _is_icmp(fields: Json, packet: Packet) -> bool:
    return packet.icmp_type == fields["type"] and fields.get("code", packet.icmp_code) == packet.icmp_code


def _entity(
    entity: Json, rule: Json, namespace: str, packet: Packet, own: Addr, port: int | None, known: list[Member]
) -> bool:
    if "services" in entity:
        raise AssertionError("there are no services outside Kubernetes: validation refuses them")
    not_selector, positive = entity.get("notSelector", ""), _restricts(entity, namespace)
    selected = [member for member in known if _selected(entity, namespace, member)] if positive else known
    if positive and not any(member.holds(own) for member in selected):
        return False
    if not positive and not_selector and any(m.holds(own) and selects(not_selector, m.labels) for m in known):
        return False
    if not _nets(entity, own):
        return False
    named = _names_of(rule, packet, own, port, selected)
    ports, not_ports = entity.get("ports", []), entity.get("notPorts", [])
    return (not ports or _port(ports, port, named)) and not _port(not_ports, port, named)


def _nets(entity: Json, own: Addr) -> bool:
    nets, not_nets = entity.get("nets", []), entity.get("notNets", [])
    return (not nets or any(own in net(text) for text in nets)) and not any(own in net(text) for text in not_nets)


def _restricts(entity: Json, namespace: str) -> bool:
    """Is the side limited to known members? In a namespaced policy notSelector alone does so too."""
    accounts = entity.get("serviceAccounts") or {}
    chosen = (
        entity.get("selector") or entity.get("namespaceSelector") or accounts.get("names") or accounts.get("selector")
    )
    return bool(chosen or (namespace and entity.get("notSelector")))


def _selected(entity: Json, namespace: str, member: Member) -> bool:
    """By the selectors of a side that has some, notSelector among them: they all speak of one and the same member."""
    labels, accounts = member.labels, entity.get("serviceAccounts") or {}
    namespaces, not_selector = entity.get("namespaceSelector", ""), entity.get("notSelector", "")
    if namespaces:
        if not selects(namespaces, labels, prefix=OF_NAMESPACE, everything=NAMESPACE):
            return False
    elif namespace and labels.get(NAMESPACE) != namespace:
        return False
    if accounts.get("names") and labels.get(SERVICE_ACCOUNT) not in accounts["names"]:
        return False
    if not selects(accounts.get("selector", ""), labels, prefix=OF_SERVICE_ACCOUNT):
        return False
    if not selects(entity.get("selector", ""), labels):
        return False
    return not (not_selector and selects(not_selector, labels))


def _names_of(rule: Json, packet: Packet, own: Addr, port: int | None, selected: list[Member]) -> set[str]:
    """What the packet's port is called by the selected members that have its address; TCP unless the rule says otherwise."""
    number = protocol_number(rule.get("protocol", "TCP"))
    number = number if number in (NUMBERS["UDP"], NUMBERS["SCTP"]) else NUMBERS["TCP"]
    if packet.protocol != number:
        return set()
    holders = [member for member in selected if member.holds(own)]
    return {name for member in holders for name, of, place in member.ports if (of, place) == (number, port)}


def _port(ports: list[int | str], port: int | None, named: set[str]) -> bool:
    bounds = [numeric_port(written) for written in ports]
    numeric = port is not None and any(found is not None and found[0] <= port <= found[1] for found in bounds)
    return numeric or any(written in named for written, found in zip(ports, bounds, strict=True) if found is None)
