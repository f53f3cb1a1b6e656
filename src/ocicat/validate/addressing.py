"""Rules across the fields of pools and of what the address manager keeps. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ocicat.model.net import Cidr
from ocicat.model.v3.addressing import BLOCK_SIZES, BlockAffinitySpec, IPAMBlockSpec, IPAMHandleSpec, IPPoolSpec
from ocicat.validate.forms import network
from ocicat.validate.problem import Checks, Problem, on, problem
from ocicat.validate.selectors import names_global

LINK_LOCAL = {4: Cidr.parse("169.254.0.0/16"), 6: Cidr.parse("fe80::/10")}


def _cidr(spec: IPPoolSpec) -> Iterator[Problem]:
    cidr = network(spec.cidr)
    if cidr is None:
        return
    if network(spec.cidr.partition("/")[0]) != cidr.address.cidr():
        yield problem("cidr", spec.cidr, f"has host bits set: did you mean {cidr}?")
    if cidr.overlaps(LINK_LOCAL[cidr.family]):
        yield problem("cidr", spec.cidr, f"overlaps with the link-local range {LINK_LOCAL[cidr.family]}")


def _block_size(spec: IPPoolSpec) -> Iterator[Problem]:
    cidr = network(spec.cidr)
    if cidr is None:
        return
    low, high = BLOCK_SIZES[cidr.family].start, BLOCK_SIZES[cidr.family].stop - 1
    if spec.block_size and not low <= spec.block_size <= high:
        yield problem("blockSize", spec.block_size, f"must be between {low} and {high} for IPv{cidr.family}")
    elif not spec.disabled and cidr.length > spec.effective_block_size:
        yield problem(
            "cidr", spec.cidr, f"holds no block: blocks are /{spec.effective_block_size}; enlarge it or set blockSize"
        )


def _encapsulation(spec: IPPoolSpec) -> Iterator[Problem]:
    if "Never" not in (spec.ipip_mode, spec.vxlan_mode):
        yield problem("vxlanMode", spec.vxlan_mode, "a pool has one encapsulation: set vxlanMode or ipipMode to Never")
    if spec.ipip_mode != "Never" and ":" in spec.cidr:
        yield problem("ipipMode", spec.ipip_mode, "IPIP carries IPv4 only: use vxlanMode for an IPv6 pool")


def _selectors(spec: IPPoolSpec) -> Iterator[Problem]:
    for name, text in (("nodeSelector", spec.node_selector), ("namespaceSelector", spec.namespace_selector)):
        if names_global(text):
            yield problem(name, text, "global() means nothing for a pool")
    if spec.namespace_selector and "Tunnel" in spec.allowed_uses:
        yield problem("namespaceSelector", spec.namespace_selector, "a pool with allowedUses Tunnel cannot have one")


def _load_balancer(spec: IPPoolSpec) -> Iterator[Problem]:
    if "LoadBalancer" not in spec.allowed_uses:
        return
    if len(spec.allowed_uses) > 1:
        yield problem("allowedUses", spec.allowed_uses, "LoadBalancer cannot be combined with another use")
    for name, mode in (("ipipMode", spec.ipip_mode), ("vxlanMode", spec.vxlan_mode)):
        if mode != "Never":
            yield problem(name, mode, "must be Never in a LoadBalancer pool")
    if spec.disable_bgp_export:
        yield problem("disableBGPExport", "true", "must be false in a LoadBalancer pool")
    if spec.node_selector != "all()":
        yield problem("nodeSelector", spec.node_selector, "must be all() in a LoadBalancer pool")


def _not_deleted(spec: BlockAffinitySpec) -> Iterator[Problem]:
    if spec.deleted:
        yield problem("deleted", "true", "marks an affinity that is being deleted: it cannot be written")


def _block(spec: IPAMBlockSpec) -> Iterator[Problem]:
    """Calico's `ipam check` calls a block that breaks one of these malformed."""
    cidr = network(spec.cidr)
    if cidr is not None and len(spec.allocations) != cidr.size:
        yield problem(
            "allocations", len(spec.allocations), f"must have one entry for each of the {cidr.size} addresses"
        )
    if any(index is not None and not 0 <= index < len(spec.attributes) for index in spec.allocations):
        yield problem(
            "allocations", spec.allocations, f"must be null or an index of the {len(spec.attributes)} attributes"
        )
    free = {ordinal for ordinal, index in enumerate(spec.allocations) if index is None}
    if len(set(spec.unallocated)) != len(spec.unallocated) or not free.issuperset(spec.unallocated):
        yield problem("unallocated", spec.unallocated, "must name addresses that are free, each once")


def _handle(spec: IPAMHandleSpec) -> Iterator[Problem]:
    for cidr, count in spec.block.items():
        if network(cidr) is None or count < 1:
            yield problem("block", spec.block, "must give for each block's prefix a count above 0")


RULES: Checks = dict(
    [
        on(IPPoolSpec, _cidr, _block_size, _encapsulation, _selectors, _load_balancer),
        on(BlockAffinitySpec, _not_deleted),
        on(IPAMBlockSpec, _block),
        on(IPAMHandleSpec, _handle),
    ]
)
