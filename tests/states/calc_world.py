"""Objects of the datastore in few words: each function gives the (key, JSON bytes) of one."""

from __future__ import annotations

import json

from ocicat.model import keys
from ocicat.model.net import Cidr

HOST = "host1"

KeyValue = tuple[str, bytes]
Content = dict[str, bytes]


def endpoint(name, *addresses, node=HOST, profiles=(), labels=None, interface=None) -> KeyValue:
    spec = {
        "orchestrator": "mesos",
        "node": node,
        "ipNetworks": list(addresses),
        "profiles": list(profiles),
        "interfaceName": f"oci{name}" if interface is None else interface,
    }
    return _object(keys.workload("default", name), "WorkloadEndpoint", name, spec, labels=labels or {})


def profile(name, *ingress, egress=(), labels=None) -> KeyValue:
    spec = {"ingress": list(ingress), "egress": list(egress), "labelsToApply": labels or {}}
    return _object(keys.profile(name), "Profile", name, spec)


def allow(selector="", **fields) -> dict[str, object]:
    """An Allow rule by its source's selector."""
    return {"action": "Allow", "source": {"selector": selector}, **fields}


def node(name, ipv4="", ipv6="") -> KeyValue:
    return _object(keys.node(name), "Node", name, {"bgp": {"ipv4Address": ipv4, "ipv6Address": ipv6}})


def block(cidr, host, *, deleted=False) -> KeyValue:
    value = {
        "cidr": cidr,
        "affinity": host and f"host:{host}",
        "allocations": [None, None],
        "unallocated": [0, 1],
        "attributes": [],
        "deleted": deleted,
    }
    return keys.block(Cidr.parse(cidr)), json.dumps(value).encode()


def _object(key, kind, name, spec, **metadata) -> KeyValue:
    value = {
        "kind": kind,
        "apiVersion": "projectcalico.org/v3",
        "metadata": {"name": name, **metadata},
        "spec": spec,
    }
    return key, json.dumps(value).encode()
