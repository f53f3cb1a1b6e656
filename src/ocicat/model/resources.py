"""The objects of the datastore that agents and the address manager use, field for field as Calico v3 writes them in JSON.

The resources themselves are defined in `ocicat.model.v3`; here are their names for those who need only these, and the records of
the address manager, which are no resources: they lie under `keys.IPAM` in a form of their own.
Source of names and defaults: projectcalico/calico libcalico-go/lib/backend/model. Pure: no clock, no random ids; who makes an
object passes them in.
"""

from __future__ import annotations

from typing import Literal

from ocicat.model.base import UNSET, Struct, field
from ocicat.model.v3.addressing import IPPool, IPPoolSpec
from ocicat.model.v3.endpoints import Node, NodeBGPSpec, NodeSpec, WorkloadEndpoint, WorkloadEndpointSpec
from ocicat.model.v3.fields import Port
from ocicat.model.v3.metadata import API_VERSION, Metadata
from ocicat.model.v3.policy import Action, EntityRule, Profile, ProfileSpec, Rule
from ocicat.model.v3.system import ClusterInformation, ClusterInformationSpec

__all__ = [
    "API_VERSION",
    "Action",
    "AllocationAttribute",
    "Block",
    "BlockAffinity",
    "ClusterInformation",
    "ClusterInformationSpec",
    "EntityRule",
    "Handle",
    "IPPool",
    "IPPoolSpec",
    "Metadata",
    "Node",
    "NodeBGPSpec",
    "NodeSpec",
    "Port",
    "Profile",
    "ProfileSpec",
    "Rule",
    "WorkloadEndpoint",
    "WorkloadEndpointSpec",
]


class Block(Struct, frozen=True, rename="camel", kw_only=True):
    """2^n addresses, one datastore value. `allocations[i]` is an index into `attributes`, or None where address i is free;
    `unallocated` is the queue of free ordinals: taken at the front, given back at the end.

    Fields of `object` type belong to other versions of Calico: what they hold is kept as it is when we write the block.
    """

    cidr: str
    affinity: str | None = None
    allocations: tuple[int | None, ...]
    unallocated: tuple[int, ...] = ()
    attributes: tuple[AllocationAttribute, ...] = ()
    deleted: bool = False
    sequence_number: int = 0
    sequence_number_for_allocation: dict[str, int] = {}
    affinity_claim_time: object = UNSET
    host_affinity: object = UNSET
    strict_affinity: object = UNSET


class AllocationAttribute(Struct, frozen=True):
    """Who owns addresses of a block, and what is known about him; a `handle_id` of None: nobody."""

    handle_id: str | None = None
    secondary: dict[str, str] = {}
    alternate: object = UNSET
    alternate_owner_attrs: object = field(default=UNSET, name="alternateOwnerAttrs")
    released_at: object = field(default=UNSET, name="releasedAt")


class BlockAffinity(Struct, frozen=True):
    state: Literal["pending", "confirmed", "pendingDeletion", ""]
    deleted: bool = False


class Handle(Struct, frozen=True):
    """How many addresses of each block (by its CIDR) belong to one owner."""

    block: dict[str, int] = {}
    deleted: bool = False
