"""What the kernel and the nft program cannot do. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ocicat.changes.finding import Finding
from ocicat.host.probes.run import NFT_LEAST, Kernel


def findings(kernel: Kernel) -> Iterator[Finding]:
    least = ".".join(map(str, NFT_LEAST))
    if not kernel.nft:
        yield Finding(
            "nft",
            "there is no program nft on this host",
            "the agent cannot write its ruleset: no container gets a network",
            "install the package nftables",
        )
    elif kernel.version and kernel.version < NFT_LEAST:
        yield Finding(
            "nft",
            f"{kernel.nft} is of version {'.'.join(map(str, kernel.version))}",
            "it does not understand all of the agent's ruleset, which then denies what it cannot enforce",
            f"install nftables {least} or later",
        )
    for one in kernel.missing:
        yield Finding(
            "kernel",
            f"this kernel lacks {one.feature.name}: {one.reason}",
            one.feature.breaks,
            f"boot a kernel that has {one.feature.options}, or install the package of its further modules",
        )
