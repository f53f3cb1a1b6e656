"""Reads all of ours that is in the kernel: it is what the next pass starts from.

Invariants: 1. Only reads. 2. Whatever changes while it reads ends in a refused transaction later, and that in another readback.
"""

from __future__ import annotations

from ocicat.dataplane.drivers import elements, guards, qdisc, routes
from ocicat.dataplane.drivers.kernel import Kernel
from ocicat.dataplane.reconcile.ledger import Actual
from ocicat.dataplane.ruleset.listing import parse


def read(kernel: Kernel) -> Actual:
    """Unavailable."""
    listing = parse(kernel.nft.listing())
    compared = (spec for spec in listing.sets.values() if not spec.timeout_s)
    members = {spec.name: elements.read(kernel.netfilter, spec) for spec in compared}
    shapers = qdisc.read(kernel.route)
    return Actual(listing, members, routes.read(kernel.route), shapers, guards.read(kernel.netfilter))
