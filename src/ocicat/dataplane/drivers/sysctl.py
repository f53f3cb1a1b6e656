"""Kernel settings, of the network namespace of the calling thread.

Invariant: host-wide settings are read first and written only when they differ: writing `ip_forward` resets what hangs on it.
"""

from __future__ import annotations

import os

from ocicat.errors import Refused

_NET = "/proc/sys/net"


def forward(family: int) -> None:
    """Lets the host forward packets of family 4 or 6."""
    ensure("ipv4/ip_forward" if family == 4 else "ipv6/conf/all/forwarding", "1")


def workload_interface(name: str, *, ipv6: bool) -> None:
    """What the host side of a workload needs.

    The host answers ARP for every address (the container sees none but its gateway), at once, and routes; a packet whose
    source would be routed elsewhere is dropped; loopback addresses stay inside; router advertisements are not listened to.
    """
    conf = f"ipv4/conf/{name}"
    _write(f"{conf}/proxy_arp", "1")
    _write(f"ipv4/neigh/{name}/proxy_delay", "0")
    _write(f"{conf}/forwarding", "1")
    _write(f"{conf}/rp_filter", "1")
    _write(f"{conf}/route_localnet", "0")
    if ipv6 or _exists(f"ipv6/conf/{name}"):
        _write(f"ipv6/conf/{name}/accept_ra", "0")
    if ipv6:
        _write(f"ipv6/conf/{name}/forwarding", "1")


def enable_ipv6(name: str) -> None:
    """In a container whose runtime has turned it off."""
    ensure(f"ipv6/conf/{name}/disable_ipv6", "0")


def ensure(setting: str, value: str) -> None:
    """Refused, naming the setting."""
    try:
        with open(f"{_NET}/{setting}") as file:  # noqa: PTH123  a Path would cost as much as the read
            if file.read().strip() == value:
                return
    except OSError as error:
        raise _refused(setting, error) from error
    _write(setting, value)


def _exists(setting: str) -> bool:
    return os.access(f"{_NET}/{setting}", os.F_OK)


def _write(setting: str, value: str) -> None:
    try:
        fd = os.open(f"{_NET}/{setting}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)
    except OSError as error:
        raise _refused(setting, error) from error


def _refused(setting: str, error: OSError) -> Refused:
    name = setting.replace("/", ".")
    return Refused(f"net.{name} cannot be set: {error.strerror}", hint="is /proc/sys writable here?")
