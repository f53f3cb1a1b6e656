"""The objects of the datastore, field for field as Calico v3 writes them in JSON.

Each kind has `metadata` and `spec`; the defaults here are Calico's, and a field that holds its default is not written.
Source of names and defaults: projectcalico/calico api/pkg/apis/projectcalico/v3 and
libcalico-go/lib/backend/model (the IPAM objects). Pure: no clock, no random ids; who makes an object passes them in.
"""

from __future__ import annotations

from typing import Literal

from ocicat.model.base import Struct, field

API_VERSION = "projectcalico.org/v3"

Action = Literal["Allow", "Deny", "Log", "Pass"]
Port = int | str


class Metadata(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    name: str
    namespace: str = ""
    uid: str = ""
    creation_timestamp: str | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


# --- addressing -------------------------------------------------------------------------------------------------


class IPPoolSpec(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    cidr: str
    block_size: int = 0  # 0: 26 for IPv4, 122 for IPv6
    ipip_mode: Literal["Never", "Always", "CrossSubnet"] = "Never"
    vxlan_mode: Literal["Never", "Always", "CrossSubnet"] = "Never"
    nat_outgoing: bool = False
    disabled: bool = False
    disable_bgp_export: bool = field(default=False, name="disableBGPExport")
    node_selector: str = "all()"
    allowed_uses: tuple[str, ...] = ("Workload", "Tunnel")
    assignment_mode: Literal["Automatic", "Manual"] = "Automatic"


class IPPool(Struct, frozen=True, rename="camel", kw_only=True):
    kind: Literal["IPPool"] = "IPPool"
    api_version: str = API_VERSION
    metadata: Metadata
    spec: IPPoolSpec


class Block(Struct, frozen=True, rename="camel", kw_only=True):
    """2^n addresses, one datastore value. `allocations[i]` is an index into `attributes`, or None where address i is free;
    `unallocated` is the queue of free ordinals: taken at the front, given back at the end."""

    cidr: str
    affinity: str | None
    allocations: tuple[int | None, ...]
    unallocated: tuple[int, ...]
    attributes: tuple[AllocationAttribute, ...]
    deleted: bool = False
    sequence_number: int = 0
    sequence_number_for_allocation: dict[str, int] = {}


class AllocationAttribute(Struct, frozen=True):
    handle_id: str | None
    secondary: dict[str, str] = {}


class BlockAffinity(Struct, frozen=True):
    state: Literal["pending", "confirmed", "pendingDeletion", ""]
    deleted: bool = False


class Handle(Struct, frozen=True):
    """How many addresses of each block (by its CIDR) belong to one owner."""

    block: dict[str, int]
    deleted: bool = False


# --- policy -----------------------------------------------------------------------------------------------------


class EntityRule(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    """One side of a rule. A condition that we do not know must not be skipped: the rule would match more than was meant."""

    nets: tuple[str, ...] = ()
    selector: str = ""
    ports: tuple[Port, ...] = ()
    not_nets: tuple[str, ...] = ()
    not_selector: str = ""
    not_ports: tuple[Port, ...] = ()
    namespace_selector: str = ""
    service_accounts: dict[str, object] | None = None
    services: dict[str, object] | None = None


class Rule(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    """As for `EntityRule`, an unknown field makes the object unreadable. `metadata` holds annotations and says nothing."""

    action: Action
    ip_version: int | None = field(default=None, name="ipVersion")
    protocol: int | str | None = None
    source: EntityRule = EntityRule()
    destination: EntityRule = EntityRule()
    not_protocol: int | str | None = None
    icmp: dict[str, object] | None = None
    not_icmp: dict[str, object] | None = field(default=None, name="notICMP")
    http: dict[str, object] | None = None
    metadata: dict[str, object] | None = None


class ProfileSpec(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()
    labels_to_apply: dict[str, str] = {}


class Profile(Struct, frozen=True, rename="camel", kw_only=True):
    kind: Literal["Profile"] = "Profile"
    api_version: str = API_VERSION
    metadata: Metadata
    spec: ProfileSpec = ProfileSpec()


# --- endpoints, hosts, the cluster --------------------------------------------------------------------------------


class WorkloadEndpointSpec(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    orchestrator: str
    workload: str = ""
    node: str = ""
    container_id: str = field(default="", name="containerID")
    pod: str = ""
    endpoint: str = ""
    ip_networks: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    interface_name: str = ""
    mac: str = ""


class WorkloadEndpoint(Struct, frozen=True, rename="camel", kw_only=True):
    kind: Literal["WorkloadEndpoint"] = "WorkloadEndpoint"
    api_version: str = API_VERSION
    metadata: Metadata
    spec: WorkloadEndpointSpec


class NodeBGPSpec(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    ipv4_address: str = field(default="", name="ipv4Address")  # may carry the prefix length of its subnet
    ipv6_address: str = field(default="", name="ipv6Address")


class NodeSpec(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    bgp: NodeBGPSpec | None = None


class Node(Struct, frozen=True, rename="camel", kw_only=True):
    kind: Literal["Node"] = "Node"
    api_version: str = API_VERSION
    metadata: Metadata
    spec: NodeSpec = NodeSpec()


class ClusterInformationSpec(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    cluster_guid: str = field(default="", name="clusterGUID")
    cluster_type: str = ""
    datastore_ready: bool | None = None  # False: the datastore is locked, nothing may be allocated


class ClusterInformation(Struct, frozen=True, rename="camel", kw_only=True):
    kind: Literal["ClusterInformation"] = "ClusterInformation"
    api_version: str = API_VERSION
    metadata: Metadata
    spec: ClusterInformationSpec = ClusterInformationSpec()
