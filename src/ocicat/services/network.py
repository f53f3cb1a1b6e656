"""Connections to servers that this host runs or that its services belong to: by TLS where they have it, in a namespace where asked.

Errors: Unavailable, with the endpoint and the reason.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from contextlib import nullcontext
from ipaddress import ip_address
from pathlib import Path

from ocicat.errors import Unavailable, UserError
from ocicat.model.base import Struct
from ocicat.netlink import namespace
from ocicat.services.pki.authority import AUTHORITY, CERTIFICATE, KEY
from ocicat.services.spec import Service

REFUSED = "its certificate is refused"


class Access(Struct, frozen=True):
    """How to reach a server. `tls`: the directory of our certificate, empty for plain text. `namespace_fd`: not in ours."""

    tls: str = ""
    timeout_s: float = 5.0
    namespace_fd: int | None = None


def access(service: Service) -> Access:
    """As who runs on this host. The port of ZooKeeper is plain as long as it has a plain one."""
    secure = service.tls and (service.service == "etcd" or service.secure_only)
    return Access(service.tls_directory if secure else "")


def connect(host: str, port: int, way: Access) -> socket.socket:
    """A connection. Unavailable when there is none; UserError when our certificate cannot be used."""
    context = _context(way.tls) if way.tls else None
    try:
        with nullcontext() if way.namespace_fd is None else namespace.inside(way.namespace_fd):
            plain = socket.create_connection((host, port), timeout=way.timeout_s)
        return context.wrap_socket(plain, server_hostname=host) if context else plain
    except OSError as error:  # of TLS, too
        raise Unavailable(f"{host}:{port}: {reason(error)}") from error


def reason(error: OSError) -> str:
    """For people."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{REFUSED}: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS with it: {error.reason or error}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return os.strerror(error.errno).lower() if error.errno else str(error)


def is_local(address: str) -> bool:
    """Does this host have the address? A name that does not resolve is nobody's."""
    try:
        found = socket.getaddrinfo(address, 0, type=socket.SOCK_DGRAM)
    except OSError:
        return False
    return any(_binds(family, place) for family, _, _, _, place in found)


def is_loopback(address: str) -> bool:
    """Is it reached from this host alone? A name is not, whatever it means today."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def is_taken(host: str, port: int) -> bool:
    """Does a program of this host listen there?"""
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False


def _binds(family: int, place: tuple[object, ...]) -> bool:
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(place)
        except OSError:
            return False
    return True


def _context(directory: str) -> ssl.SSLContext:
    folder = Path(directory)
    try:
        context = ssl.create_default_context(cafile=str(folder / AUTHORITY))
        context.load_cert_chain(folder / CERTIFICATE, folder / KEY)
    except (OSError, ssl.SSLError) as error:
        raise UserError(
            f"{directory}: the certificate cannot be used: {error}", hint="ocicat pki check DIRECTORY"
        ) from error
    return context
