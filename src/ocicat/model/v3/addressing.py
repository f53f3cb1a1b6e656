"""Address pools and reservations, the address manager's settings, and the resource form of what it keeps. Pure."""

from __future__ import annotations

from typing import Annotated, Literal

from ocicat.model.base import UNSET, Struct, UnsetType, field
from ocicat.model.v3.fields import Enabled, Form, Items, Matches, NetSet, Range, Selector, Time, one_of
from ocicat.model.v3.metadata import API_VERSION, Condition, Metadata

EncapMode = Literal["Never", "Always", "CrossSubnet"]
AllowedUse = Annotated[str, one_of("Workload", "Tunnel", "LoadBalancer")]


# Prefix lengths that the blocks of a pool may have, by family. A block is one value of the
# datastore, with an entry for every address: so it may not be larger.
BLOCK_SIZES = {4: range(20, 33), 6: range(116, 129)}


class IPPoolSpec(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    cidr: Annotated[str, Form("prefix")]
    block_size: int = 0  # 0: 26 for IPv4, 122 for IPv6
    ipip_mode: EncapMode = "Never"
    vxlan_mode: EncapMode = "Never"
    nat_outgoing: bool = False
    disabled: bool = False
    disable_bgp_export: bool = field(default=False, name="disableBGPExport")
    node_selector: Selector = "all()"
    namespace_selector: Selector = ""
    allowed_uses: Annotated[tuple[AllowedUse, ...], Items(high=10, unique=True)] = ("Workload", "Tunnel")
    assignment_mode: Literal["Automatic", "Manual"] = "Automatic"

    @property
    def effective_block_size(self) -> int:
        """The prefix length of the pool's blocks."""
        return self.block_size or (122 if ":" in self.cidr else 26)


class IPPoolStatus(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    conditions: tuple[Condition, ...] = ()


class IPPool(Struct, frozen=True, rename="camel", kw_only=True):
    kind: Literal["IPPool"] = "IPPool"
    api_version: str = API_VERSION
    metadata: Metadata
    spec: IPPoolSpec
    status: IPPoolStatus | UnsetType = UNSET


class IPReservationSpec(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    reserved_cidrs: NetSet = field(default=(), name="reservedCIDRs")


class IPReservation(Struct, frozen=True, rename="camel", kw_only=True):
    kind: Literal["IPReservation"] = "IPReservation"
    api_version: str = API_VERSION
    metadata: Metadata
    spec: IPReservationSpec = IPReservationSpec()


class IPAMConfigurationSpec(Struct, frozen=True, rename="camel", kw_only=True):
    strict_affinity: bool = False
    auto_allocate_blocks: bool = True
    max_blocks_per_host: Annotated[int, Range(0, 1_000_000)] = 0  # 0: 20
    ip_cooldown_seconds: Annotated[int, Range(0, 1200)] | UnsetType = UNSET
    kube_virt_vm_address_persistence: Enabled | UnsetType = field(default=UNSET, name="kubeVirtVMAddressPersistence")


class IPAMConfiguration(Struct, frozen=True, rename="camel", kw_only=True):
    kind: Literal["IPAMConfiguration"] = "IPAMConfiguration"
    api_version: str = API_VERSION
    metadata: Metadata
    spec: IPAMConfigurationSpec = IPAMConfigurationSpec()


class BlockAffinitySpec(Struct, frozen=True, rename="camel", kw_only=True):
    state: Annotated[str, one_of("", "pending", "confirmed", "pendingDeletion")]
    node: Annotated[str, Form("name")]
    type: Annotated[str, one_of("host", "virtual")] | UnsetType = UNSET
    cidr: Annotated[str, Form("prefix")]
    deleted: bool = False


class BlockAffinity(Struct, frozen=True, rename="camel", kw_only=True):
    kind: Literal["BlockAffinity"] = "BlockAffinity"
    api_version: str = API_VERSION
    metadata: Metadata
    spec: BlockAffinitySpec


class IPAMAttribute(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    handle_id: str | None = field(default=None, name="handle_id")
    secondary: dict[str, str] = {}
    alternate_owner_attrs: dict[str, str] = {}
    released_at: Time | None = None


class IPAMBlockSpec(Struct, frozen=True, rename="camel", kw_only=True):
    cidr: Annotated[str, Form("prefix")]
    affinity: Annotated[str, Matches(r"(host|virtual):[a-zA-Z0-9._-]+", "host:NAME or virtual:NAME")] | None = None
    affinity_claim_time: Time | None = None
    allocations: tuple[int | None, ...]
    unallocated: tuple[int, ...]
    attributes: tuple[IPAMAttribute, ...]
    strict_affinity: bool = False
    sequence_number: int = 0
    sequence_number_for_allocation: dict[str, int] = {}
    deleted: bool = False


class IPAMBlock(Struct, frozen=True, rename="camel", kw_only=True):
    kind: Literal["IPAMBlock"] = "IPAMBlock"
    api_version: str = API_VERSION
    metadata: Metadata
    spec: IPAMBlockSpec


class IPAMHandleSpec(Struct, frozen=True, rename="camel", kw_only=True):
    handle_id: str = field(name="handleID")
    block: dict[str, int]
    deleted: bool = False


class IPAMHandle(Struct, frozen=True, rename="camel", kw_only=True):
    kind: Literal["IPAMHandle"] = "IPAMHandle"
    api_version: str = API_VERSION
    metadata: Metadata
    spec: IPAMHandleSpec
