"""What the engine is asked in return: a network's name, and which container an endpoint is of, with its labels.

libnetwork tells its drivers neither. Nothing here waits for a container that is being started, as `inspect` of one would: networks
and the list of containers are answered meanwhile.

Errors: Unavailable, with what stands in the way. Nothing is changed in the engine.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from ocicat.errors import NotFound, Unavailable, UserError
from ocicat.model.base import Struct, field
from ocicat.model.codec import decode_json

TIMEOUT_S = 5.0

T = TypeVar("T")


class Member(Struct, frozen=True):
    """A container on a network."""

    name: str = field(default="", name="Name")
    endpoint_id: str = field(default="", name="EndpointID")


class Network(Struct, frozen=True):
    """`containers` by id: those that have joined."""

    name: str = field(default="", name="Name")
    containers: dict[str, Member] = field(default={}, name="Containers")


class Container(Struct, frozen=True):
    id: str = field(default="", name="Id")
    names: tuple[str, ...] = field(default=(), name="Names")
    labels: dict[str, str] = field(default={}, name="Labels")


class Engine:
    """The engine that listens on the unix socket at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def network(self, network_id: str) -> Network:
        """NotFound: the engine has none of that id."""
        return await self._get(Network, f"/networks/{quote(network_id, safe='')}")

    async def container(self, container_id: str) -> Container | None:
        """None: there is none, or no more."""
        wanted = quote(json.dumps({"id": [container_id]}))
        found = await self._get(tuple[Container, ...], f"/containers/json?all=1&filters={wanted}")
        return next((each for each in found if each.id == container_id), None)

    async def _get(self, wanted: type[T], path: str) -> T:
        body = await asyncio.to_thread(self._ask, path)
        try:
            return decode_json(wanted, body, what=f"the engine's answer to {path}")
        except UserError as error:
            raise Unavailable(error.message, hint="is it Docker's engine?") from error

    def _ask(self, path: str) -> bytes:
        connection = _OnSocket("localhost", timeout=TIMEOUT_S)
        connection.path = str(self._path)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(
                f"Docker's engine at {self._path} does not answer: {error}", hint="name its socket: --docker-engine"
            ) from error
        finally:
            connection.close()
        if answer.status == http.client.NOT_FOUND:
            raise NotFound(f"Docker's engine at {self._path} does not know {path}")
        if answer.status != http.client.OK:
            raise Unavailable(f"Docker's engine at {self._path}: {path}: {answer.status} {answer.reason}")
        return body


class _OnSocket(http.client.HTTPConnection):
    path = ""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)
