"""What the processes of a lab find when they start: the datastore with a pool in it, the plugin, the network's configuration.

Promises: everything is written below the lab's directory. Must not: start anything.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from ocicat.cni.install import install
from ocicat.cni.spec import DEFAULT_VERSION
from ocicat.lab.spec import NETWORK, POOL, LabSpec
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


def directories(spec: LabSpec) -> None:
    make_directory(spec.root / "logs")
    make_directory(Path(spec.master.directory))
    for host in spec.nodes:
        make_directory(Path(host.directory))


def store(spec: LabSpec) -> None:
    """Make the datastore, with the lab's pool. Runs an event loop of its own: not to be called inside one."""
    pool = IPPool(metadata=Metadata(name=POOL), spec=IPPoolSpec(cidr=spec.pool, block_size=spec.block_size))
    key = keys.pool(POOL)

    async def write() -> None:
        opened = await open_store(spec.store)
        try:
            await opened.commit([Compare(key, 0)], [Put(key, encode_json(pool))])
        finally:
            await opened.close()

    asyncio.run(write())


def plugins(spec: LabSpec) -> None:
    """The CNI plugin and the network's configuration, for each host's Mesos agent."""
    for host in spec.nodes:
        make_directory(Path(host.plugin_dir))
        install(Path(host.plugin_dir), Path(host.socket))
        make_directory(Path(host.cni_config_dir))
        Path(host.cni_config_dir, f"{NETWORK}.conf").write_text(pretty_json(NetworkConfiguration(NETWORK)))
