"""What the processes of a lab find when they start: the datastore with a pool in it, the plugin, the network's configuration.

Promises: everything is written below the lab's directory. Must not: start anything.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from ocicat.agent.origin import stamped
from ocicat.clock import SystemClock
from ocicat.cni.install import install
from ocicat.cni.spec import DEFAULT_VERSION
from ocicat.lab import zookeeper
from ocicat.lab.spec import NETWORK, POOL, POOL6, LabSpec
from ocicat.lab.state import make_directory
from ocicat.model import keys
from ocicat.model.base import Struct, field
from ocicat.model.codec import encode_json, pretty_json
from ocicat.model.resources import IPPool, IPPoolSpec, Metadata
from ocicat.store.base import Compare, Put
from ocicat.store.open import open_store


class NetworkConfiguration(Struct, frozen=True):
    """Of the container network interface: as little as a network can say."""

    name: str
    type: str = "ocicat"
    version: str = field(default=DEFAULT_VERSION, name="cniVersion")
    assign_ipv6: bool = False


def directories(spec: LabSpec) -> None:
    make_directory(spec.root / "logs")
    for host in (*spec.master_hosts, *spec.nodes):
        make_directory(Path(host.directory))


def store(spec: LabSpec) -> None:
    """Make the datastore, with the lab's pools. Runs an event loop of its own: not to be called inside one."""
    clock = SystemClock()
    pools = [
        IPPool(
            metadata=stamped(Metadata(name=POOL), clock), spec=IPPoolSpec(cidr=spec.pool, block_size=spec.block_size)
        )
    ]
    if spec.pool6:
        pools.append(IPPool(metadata=stamped(Metadata(name=POOL6), clock), spec=IPPoolSpec(cidr=spec.pool6)))
    wanted = {keys.pool(pool.metadata.name): encode_json(pool) for pool in pools}

    async def write() -> None:
        opened = await open_store(spec.store)
        try:
            await opened.commit([Compare(key, 0) for key in wanted], [Put(*item) for item in wanted.items()])
        finally:
            await opened.close()

    asyncio.run(write())


def zookeepers(spec: LabSpec) -> None:
    """The configuration of each server."""
    members = [zookeeper.Member(number, host.ip) for number, host in enumerate(spec.zookeeper_hosts, start=1)]
    for host, member in zip(spec.zookeeper_hosts, members, strict=True):
        zookeeper.write(Path(host.zookeeper_dir), member, members)


def plugins(spec: LabSpec) -> None:
    """The CNI plugin and the network's configuration, for each host's Mesos agent."""
    for host in spec.nodes:
        make_directory(Path(host.plugin_dir))
        install(Path(host.plugin_dir), Path(host.socket))
        make_directory(Path(host.cni_config_dir))
        configuration = NetworkConfiguration(NETWORK, assign_ipv6=bool(spec.pool6))
        Path(host.cni_config_dir, f"{NETWORK}.conf").write_text(pretty_json(configuration))
