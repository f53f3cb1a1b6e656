"""What endpoints of Docker's containers are known by. Pure."""

from __future__ import annotations

ORCHESTRATOR = "libnetwork"
PREFIX = "docker/"  # of labels that nobody else can give
NETWORK = PREFIX + "network"  # the network's name, as the engine's user gave it
CONTAINER = PREFIX + "container"  # the container's name, which we hear of only when it runs
OF_MESOS = "mesos-"  # how that begins where Mesos's Docker containerizer made it; its own id follows
