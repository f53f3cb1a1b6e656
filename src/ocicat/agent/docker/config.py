"""Where Docker's engine finds the agent, and the agent the engine. Pure."""

from __future__ import annotations

from pathlib import Path

from ocicat.errors import UserError
from ocicat.model.base import Struct

PLUGINS = Path("/run/docker/plugins")  # where every engine looks for its plugins; the file's name is the driver's
DEFAULT_PLUGIN = PLUGINS / "ocicat.sock"
DEFAULT_ENGINE = Path("/var/run/docker.sock")
_SOCKET_MAX_BYTES = 107  # the kernel's limit for the path of a unix socket


class DockerConfig(Struct, frozen=True, kw_only=True):
    """`plugin`: the socket that the engine calls; `engine`: the socket on which the engine is asked."""

    plugin: str = str(DEFAULT_PLUGIN)
    engine: str = str(DEFAULT_ENGINE)


def parse(plugin: str, engine: str) -> DockerConfig | None:
    """From the options of the command line; without a plugin's socket Docker is not served. UserError."""
    if not plugin:
        return None
    path = engine.removeprefix("unix://")
    for option, text in (("--docker-plugin", plugin), ("--docker-engine", path)):
        if not text.startswith("/") or text.endswith("/") or len(text.encode()) > _SOCKET_MAX_BYTES:
            hint = f"the absolute path of a unix socket, at most {_SOCKET_MAX_BYTES} bytes"
            raise UserError(f"{option} {text!r} is no socket", hint=hint)
    return DockerConfig(plugin=plugin, engine=path)
