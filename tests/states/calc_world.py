"""Objects of the datastore in few words: each function gives the (key, JSON bytes) of one."""

from __future__ import annotations

import json

from ocicat.model import keys
from ocicat.model.net import Cidr
from ocicat.model.v3.kinds import KINDS

HOST = "host1"

KeyValue = tuple[str, bytes]
Content = dict[str, bytes]


def endpoint(
    name, *addresses, node=HOST, profiles=(), labels=None, interface=None, namespace="default", **fields
) -> KeyValue:
    """`fields`: of the specification, by their JSON names."""
    spec = {
        "orchestrator": "mesos",
        "node": node,
        "ipNetworks": list(addresses),
        "profiles": list(profiles),
        "interfaceName": f"oci{name}" if interface is None else interface,
        **fields,
    }
    key = keys.workload(namespace, name)
    return _object(key, "WorkloadEndpoint", name, spec, namespace=namespace, labels=labels or {})


def host_endpoint(name, interface="", *addresses, node=HOST, profiles=(), labels=None, **fields) -> KeyValue:
    spec = {
        "node": node,
        "interfaceName": interface,
        "expectedIPs": list(addresses),
        "profiles": list(profiles),
        **fields,
    }
    return _object(_key("HostEndpoint", name), "HostEndpoint", name, spec, labels=labels or {})


def network_set(name, *nets, labels=None, namespace="default") -> KeyValue:
    """In no namespace: a global one."""
    kind = "NetworkSet" if namespace else "GlobalNetworkSet"
    metadata = {"namespace": namespace} if namespace else {}
    return _object(_key(kind, name, namespace), kind, name, {"nets": list(nets)}, labels=labels or {}, **metadata)


def tier(name, order=None, action="Deny") -> KeyValue:
    return _object(_key("Tier", name), "Tier", name, {"order": order, "defaultAction": action})


def policy(name, selector="", *ingress, egress=(), namespace="default", staged="", **fields) -> KeyValue:
    """In no namespace: a global one. `staged`: what a staged one is for ("Set")."""
    kind = "NetworkPolicy" if namespace else "GlobalNetworkPolicy"
    if staged:
        kind, fields = f"Staged{kind}", {**fields, "stagedAction": staged}
    metadata = {"namespace": namespace} if namespace else {}
    spec = {"selector": selector, "ingress": list(ingress), "egress": list(egress), **fields}
    return _object(_key(kind, name, namespace), kind, name, spec, **metadata)


def configuration(name="default", **fields) -> KeyValue:
    return _object(_key("FelixConfiguration", name), "FelixConfiguration", name, fields)


def profile(name, *ingress, egress=(), labels=None) -> KeyValue:
    spec = {"ingress": list(ingress), "egress": list(egress), "labelsToApply": labels or {}}
    return _object(keys.profile(name), "Profile", name, spec)


def allow(selector="", **fields) -> dict[str, object]:
    """An Allow rule by its source's selector."""
    return {"action": "Allow", "source": {"selector": selector}, **fields}


def node(name, ipv4="", ipv6="", **interfaces) -> KeyValue:
    """`interfaces`: name=address."""
    listed = [{"name": name, "addresses": [address]} for name, address in interfaces.items()]
    spec = {"bgp": {"ipv4Address": ipv4, "ipv6Address": ipv6}, "interfaces": listed}
    return _object(keys.node(name), "Node", name, spec)


def pool(name, cidr, **fields) -> KeyValue:
    return _object(_key("IPPool", name), "IPPool", name, {"cidr": cidr, **fields})


def block(cidr, host, *, deleted=False, used=()) -> KeyValue:
    """`used`: the hosts of its first addresses, "" if that is not said."""
    value = {
        "cidr": cidr,
        "affinity": host and f"host:{host}",
        "allocations": [*range(len(used)), None, None],
        "unallocated": [len(used), len(used) + 1],
        "attributes": [{"handle_id": f"w{n}", "secondary": {"node": on} if on else {}} for n, on in enumerate(used)],
        "deleted": deleted,
    }
    return keys.block(Cidr.parse(cidr)), json.dumps(value).encode()


def _key(kind, name, namespace="") -> str:
    return KINDS[kind].key(name, namespace)


def _object(key, kind, name, spec, **metadata) -> KeyValue:
    value = {
        "kind": kind,
        "apiVersion": "projectcalico.org/v3",
        "metadata": {"name": name, **metadata},
        "spec": spec,
    }
    return key, json.dumps(value).encode()
