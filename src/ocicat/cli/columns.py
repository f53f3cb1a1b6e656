"""Which columns a table of each kind has: those of calicoctl for the kinds that it knows.

A column is a heading and what of the object stands under it: the path of an attribute, or a function. What is not set is a dash.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import cast

from ocicat.cli.talk import one_line
from ocicat.model.base import UNSET
from ocicat.model.codec import plain_number
from ocicat.model.v3.addressing import IPAMBlock
from ocicat.model.v3.bgp import BGPPeer
from ocicat.model.v3.endpoints import Node, WorkloadEndpoint
from ocicat.model.v3.kinds import Kind
from ocicat.model.v3.metadata import Resource

NOT_SET = "-"
LONGEST_CELL = 80

Cell = str | Callable[[Resource], object]
Columns = tuple[tuple[str, Cell], ...]


def columns_of(kind: Kind, *, wide: bool) -> Columns:
    """Without the namespace, which is shown when several are listed."""
    narrow, more = _COLUMNS.get(kind.name, (_NAME, ()))
    if not wide:
        return narrow
    left = _NAME if narrow[0] not in _NAME else ()
    return (*left, *narrow, *more)


def row(columns: Columns, resource: Resource) -> list[str]:
    values = (cell(resource) if callable(cell) else _attribute(resource, cell) for _, cell in columns)
    return [_cut(_text(value)) or NOT_SET for value in values]


def _attribute(resource: Resource, path: str) -> object:
    return reduce(lambda inner, name: getattr(inner, name, None), path.split("."), cast("object", resource))


def _text(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case float():
            return str(plain_number(value))
        case tuple():
            return ",".join(map(_text, value))
        case dict():
            return ",".join(f"{name}={_text(inner)}" for name, inner in sorted(value.items()))
        case _:
            return "" if value is None or value is UNSET else str(value)


def _cut(text: str) -> str:
    """One line of bounded length."""
    line = one_line(text)
    return line[: LONGEST_CELL - 3] + "..." if len(line) > LONGEST_CELL else line


def _peer_of(resource: Resource) -> str:
    spec = cast("BGPPeer", resource).spec
    return spec.node or spec.node_selector or "(global)"


def _as_number(resource: Resource) -> object:
    """A node that speaks BGP without a number of its own has that of the cluster."""
    bgp = cast("Node", resource).spec.bgp
    return (bgp.as_number or "(default)") if bgp else None


def _workload(resource: Resource) -> str:
    spec = cast("WorkloadEndpoint", resource).spec
    return spec.workload or spec.pod or spec.container_id


def _nats(resource: Resource) -> tuple[str, ...]:
    spec = cast("WorkloadEndpoint", resource).spec
    return tuple(f"{nat.internal_ip}={nat.external_ip}" for nat in spec.ip_nats)


def _in_use(resource: Resource) -> str:
    spec = cast("IPAMBlock", resource).spec
    return f"{sum(owner is not None for owner in spec.allocations)}/{len(spec.allocations)}"


def _how_many(path: str) -> Callable[[Resource], int]:
    return lambda resource: len(cast("tuple[object, ...]", _attribute(resource, path)))


_NAME: Columns = (("NAME", "metadata.name"),)
_POLICY: tuple[Columns, Columns] = (
    _NAME,
    (("TIER", "spec.tier"), ("ORDER", "spec.order"), ("SELECTOR", "spec.selector")),
)
_STAGED: tuple[Columns, Columns] = (_NAME, (("ACTION", "spec.staged_action"), *_POLICY[1]))
_NETS: tuple[Columns, Columns] = (_NAME, (("NETS", "spec.nets"),))

_COLUMNS: Mapping[str, tuple[Columns, Columns]] = {
    "BGPConfiguration": (
        (
            *_NAME,
            ("LOGSEVERITY", "spec.log_severity_screen"),
            ("MESHENABLED", "spec.node_to_node_mesh_enabled"),
            ("ASNUMBER", "spec.as_number"),
        ),
        (),
    ),
    "BGPFilter": (
        (
            *_NAME,
            ("NUMEXPORTV4", _how_many("spec.export_v4")),
            ("NUMIMPORTV4", _how_many("spec.import_v4")),
            ("NUMEXPORTV6", _how_many("spec.export_v6")),
            ("NUMIMPORTV6", _how_many("spec.import_v6")),
        ),
        (),
    ),
    "BGPPeer": ((*_NAME, ("PEERIP", "spec.peer_ip"), ("NODE", _peer_of), ("ASN", "spec.as_number")), ()),
    "BlockAffinity": (
        (*_NAME, ("NODE", "spec.node"), ("CIDR", "spec.cidr"), ("STATE", "spec.state")),
        (("DELETED", "spec.deleted"),),
    ),
    "CalicoNodeStatus": ((*_NAME, ("NODE", "spec.node")), (("CLASSES", "spec.classes"),)),
    "ClusterInformation": (
        (
            *_NAME,
            ("CLUSTERGUID", "spec.cluster_guid"),
            ("CLUSTERTYPE", "spec.cluster_type"),
            ("CALICOVERSION", "spec.calico_version"),
            ("DATASTOREREADY", "spec.datastore_ready"),
        ),
        (),
    ),
    "GlobalNetworkPolicy": _POLICY,
    "GlobalNetworkSet": _NETS,
    "HostEndpoint": (
        (*_NAME, ("NODE", "spec.node")),
        (("INTERFACE", "spec.interface_name"), ("IPS", "spec.expected_ips"), ("PROFILES", "spec.profiles")),
    ),
    "IPAMBlock": ((*_NAME, ("CIDR", "spec.cidr"), ("AFFINITY", "spec.affinity"), ("INUSE", _in_use)), ()),
    "IPAMConfiguration": (
        (
            *_NAME,
            ("STRICTAFFINITY", "spec.strict_affinity"),
            ("AUTOALLOCATEBLOCKS", "spec.auto_allocate_blocks"),
            ("MAXBLOCKSPERHOST", "spec.max_blocks_per_host"),
        ),
        (),
    ),
    "IPAMHandle": ((*_NAME, ("BLOCKS", "spec.block")), ()),
    "IPPool": (
        (*_NAME, ("CIDR", "spec.cidr"), ("SELECTOR", "spec.node_selector")),
        (
            ("NAT", "spec.nat_outgoing"),
            ("IPIPMODE", "spec.ipip_mode"),
            ("VXLANMODE", "spec.vxlan_mode"),
            ("BLOCKSIZE", "spec.effective_block_size"),
            ("DISABLED", "spec.disabled"),
            ("DISABLEBGPEXPORT", "spec.disable_bgp_export"),
        ),
    ),
    "IPReservation": (_NAME, (("CIDRS", "spec.reserved_cidrs"),)),
    "NetworkPolicy": _POLICY,
    "NetworkSet": _NETS,
    "Node": (
        _NAME,
        (("ASN", _as_number), ("IPV4", "spec.bgp.ipv4_address"), ("IPV6", "spec.bgp.ipv6_address")),
    ),
    "Profile": (_NAME, (("LABELS", "spec.labels_to_apply"),)),
    "StagedGlobalNetworkPolicy": _STAGED,
    "StagedKubernetesNetworkPolicy": (_NAME, (("ACTION", "spec.staged_action"),)),
    "StagedNetworkPolicy": _STAGED,
    "Tier": ((*_NAME, ("ORDER", "spec.order")), (("DEFAULTACTION", "spec.default_action"),)),
    "WorkloadEndpoint": (
        (
            ("WORKLOAD", _workload),
            ("NODE", "spec.node"),
            ("NETWORKS", "spec.ip_networks"),
            ("INTERFACE", "spec.interface_name"),
        ),
        (("PROFILES", "spec.profiles"), ("NATS", _nats)),
    ),
}
"""By kind: the columns of a table, and those that a wide one has beside them."""
