"""The agent's Docker side put together: the socket is there when this has returned, and gone when its context ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from ocicat.agent.beside import kept_up
from ocicat.agent.docker.addresses import Addresses
from ocicat.agent.docker.config import DockerConfig
from ocicat.agent.docker.driver import Driver
from ocicat.agent.docker.endpoints import Endpoints
from ocicat.agent.docker.followers import Followers
from ocicat.agent.docker.networks import Networks
from ocicat.agent.docker.sandboxes import Sandboxes
from ocicat.agent.hostroot import on_host
from ocicat.agent.workloads import Workloads
from ocicat.docker.engine import Engine
from ocicat.docker.http import Listener
from ocicat.docker.server import answering
from ocicat.errors import OcicatError

COLLECT_S = 60.0
MARGIN_S = 5.0  # the engine itself waits for 30 s

log = logging.getLogger(__name__)


@asynccontextmanager
async def served(config: DockerConfig, workloads: Workloads) -> AsyncIterator[Driver]:
    """Errors: Refused when the socket cannot be made."""
    driver = make(config, workloads)
    listener = Listener(Path(config.plugin), answering(driver))
    await listener.start()
    name = "collect what Docker left"
    collecting = asyncio.create_task(kept_up(name, partial(_collect, driver)), name=name)
    driver.followers.resume()
    log.info("Docker's engine is served at %s", config.plugin)
    try:
        yield driver
    finally:
        await listener.close()
        collecting.cancel()
        await asyncio.gather(collecting, driver.followers.close(), return_exceptions=True)


def make(config: DockerConfig, workloads: Workloads) -> Driver:
    """Nothing is touched. `workloads` must know this host's endpoints already."""
    engine = Engine(Path(on_host(workloads.config.host_root, config.engine)))
    networks = Networks(workloads.config.host, workloads.store, engine)
    addresses = Addresses(workloads.config, workloads.clock, workloads.allocator)
    sandboxes = Sandboxes.known(workloads.local.endpoints)
    return Driver(
        networks,
        addresses,
        Endpoints(networks, addresses, workloads, sandboxes),
        Followers(engine, workloads, sandboxes),
        timeout_s=workloads.config.add_timeout_s + MARGIN_S,
    )


async def _collect(driver: Driver) -> None:
    while True:
        await asyncio.sleep(COLLECT_S)
        try:
            await driver.collect()
        except OcicatError as error:
            log.warning("what Docker left is given back later: %s", error)
