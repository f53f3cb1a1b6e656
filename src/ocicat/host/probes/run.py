"""Asks the kernel for everything that the dataplane takes from it, in a network namespace that lives as long as the question.

1. Nothing is changed in the namespace of the caller. Modules that the kernel loads for what is asked stay loaded: they are those
   that the agent would load. 2. What fails is told with the kernel's own reason, and nothing else fails with it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress

from ocicat.dataplane.drivers import guards
from ocicat.dataplane.drivers.nft import Nft, NftRefused
from ocicat.dataplane.drivers.ports import Ports
from ocicat.errors import OcicatError, Unavailable
from ocicat.host.probes import features
from ocicat.host.probes.features import Feature
from ocicat.host.roles import Routing
from ocicat.model.base import Struct
from ocicat.netlink import conntrack, link, namespace, qdisc
from ocicat.netlink.link import End, Vxlan
from ocicat.netlink.nflog import NflogSocket
from ocicat.netlink.qdisc import Bucket
from ocicat.netlink.socket import NetfilterSocket, RouteSocket

NFT_LEAST = (1, 0, 6)
_AF_INET = 2
_VERSION = re.compile(r"v(\d+)\.(\d+)(?:\.(\d+))?")
_BUCKET = Bucket(rate=125_000, ticks=1_000_000, limit=100_000)
_TIMEOUT_S = 20.0


class Missing(Struct, frozen=True):
    feature: Feature
    reason: str


class Kernel(Struct, frozen=True):
    """`nft`: the program; "" when there is none. `version`: of it; () when it does not tell."""

    nft: str
    version: tuple[int, ...]
    missing: tuple[Missing, ...]


def look(routings: tuple[Routing, ...]) -> Kernel:
    """Refused when no network namespace can be made."""
    nft = shutil.which("nft", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") or ""
    made = namespace.unnamed()
    try:
        with namespace.inside(made):
            missing = [*_rulesets(nft), *_links(routings)]
    finally:
        os.close(made)
    return Kernel(nft, _version(nft) if nft else (), tuple(missing))


def _version(nft: str) -> tuple[int, ...]:
    with suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run(
            [nft, "--version"], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        ).stdout
        if found := _VERSION.search(said):
            return tuple(int(part or 0) for part in found.groups())
    return ()


def _rulesets(nft: str) -> Iterator[Missing]:
    """All at once first: where nothing is missing that is the whole question."""
    if not nft or _refused(nft, features.ALL) is None:
        return
    reason = _refused(nft, features.TABLE)
    if reason is not None:
        yield Missing(features.TABLE, reason)
        return
    found = [Missing(one, reason) for one in features.RULESETS if (reason := _refused(nft, one)) is not None]
    yield from found or [Missing(features.WHOLE, _refused(nft, features.ALL) or "")]


def _refused(nft: str, feature: Feature) -> str | None:
    """The reason; None when it is taken. Each is tried on an empty ruleset."""
    try:
        Nft(nft, Ports()).run(f"flush ruleset\n{feature.ruleset}")
    except NftRefused as error:
        return error.message
    except OcicatError as error:
        return str(error)
    return None


def _links(routings: tuple[Routing, ...]) -> Iterator[Missing]:
    with RouteSocket() as kernel, NetfilterSocket() as filters:
        asked: list[tuple[Feature, Callable[[], object]]] = [
            (features.VETH, lambda: kernel.request(link.create_veth(End("probe0"), End("probe1")))),
            (features.IFB, lambda: kernel.request(link.create_ifb(End("probe2")))),
            (features.TBF, lambda: kernel.request(qdisc.shape(_index(kernel, "lo"), _BUCKET))),
            (features.GUARD, lambda: guards.close(filters, "lo")),
            (features.REDIRECT, lambda: _redirect(filters)),
            (features.CONNTRACK, lambda: filters.dump(conntrack.dump(_AF_INET))),
            (features.NFLOG, _read_log),
        ]
        if "vxlan" in routings:
            asked.append((features.VXLAN, lambda: kernel.request(link.create_vxlan(End("probe3"), Vxlan(4096)))))
        if "ipip" in routings:
            asked.append((features.IPIP, lambda: kernel.request(link.create_ipip(End("probe4")))))
        for feature, ask in asked:
            try:
                ask()
            except OcicatError as error:
                yield Missing(feature, error.message)


def _redirect(filters: NetfilterSocket) -> None:
    if not guards.can_lead(filters):
        raise Unavailable("nftables cannot forward to an interface")


def _index(kernel: RouteSocket, name: str) -> int:
    return kernel.get(link.get(name)).index


def _read_log() -> None:
    NflogSocket([1]).close()
