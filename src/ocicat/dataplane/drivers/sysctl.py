"""Kernel settings, of the network namespace of the calling thread.

Invariant: host-wide settings are read first and written only when they differ: writing `ip_forward` resets what hangs on it.
"""

from __future__ import annotations

import os
from enum import Enum, auto

from ocicat.errors import Refused

_NET = "/proc/sys/net"
_FORWARD = {4: "ipv4/ip_forward", 6: "ipv6/conf/all/forwarding"}


class Trust(Enum):
    """How far a guard is relied on. None is there: the kernel's own checks of sources stay as they are. It lets in the workload's
    own addresses: it alone decides. It lets in further ones: the kernel still refuses the host's own addresses, which may be among
    them."""

    NONE = auto()
    ALONE = auto()
    BESIDE = auto()


def forward(family: int) -> list[str]:
    """Lets the host forward packets of family 4 or 6. The setting's name if that had to be changed."""
    return ensure(_FORWARD[family], "1")


def forwards(family: int) -> bool:
    """Refused if it cannot be read."""
    return _read(_FORWARD[family]) == "1"


def workload_interface(name: str, *, ipv6: bool) -> None:
    """What the host side of a workload needs.

    The host answers ARP for every address (the container sees none but its gateway), at once, and routes; loopback addresses stay
    inside; router advertisements are not listened to. What may come in is its guard's to say: `trust_guard`.
    """
    for setting, value in _needs(name, ipv6=ipv6, guard=Trust.NONE):
        _set(setting, value)


def mend_workload_interface(name: str, *, ipv6: bool, guard: Trust) -> list[str]:
    """The same, writing only what differs: the names of the settings. Of an interface that is gone meanwhile, nothing."""
    needs = _needs(name, ipv6=ipv6, guard=guard)
    wrong = [(setting, value) for setting, value in needs if _found(setting) not in (value, None)]
    return [_name(setting) for setting, value in wrong if _write(setting, value)]


def trust_guard(name: str, guard: Trust) -> None:
    """It has that guard now: the kernel's own checks are what must be beside it. One that is gone meanwhile needs nothing."""
    for setting, value in _checks(name, guard):
        if _found(setting) not in (value, None):
            _write(setting, value)


def refuse_host_addresses(name: str) -> None:
    """As sources. Likewise."""
    if _found(_accept_local(name)) not in ("0", None):
        _write(_accept_local(name), "0")


def faults(name: str, *, ipv6: bool, guard: Trust, silent: bool = False) -> list[str]:
    """What is not as a workload's interface needs it, one line each. `silent`: only of settings whose change nobody is told.

    Refused if one cannot be read; of an interface that is gone, nothing.
    """
    wanted = {path: value for path, value in _needs(name, ipv6=ipv6, guard=guard) if not silent or _is_silent(path)}
    return [f"{_name(path)} is not {value}" for path, value in wanted.items() if _found(path) not in (value, None)]


def _is_silent(setting: str) -> bool:
    """The kernel tells of forwarding, rp_filter and proxy_arp (RTM_NEWNETCONF); without IPv6 the routes go, and that is told."""
    return setting.endswith(("/route_localnet", "/accept_ra", "/proxy_delay", "/accept_local"))


def _accept_local(name: str) -> str:
    return f"ipv4/conf/{name}/accept_local"


def _checks(name: str, guard: Trust) -> list[tuple[str, str]]:
    """Of sources: by the kernel's routes, and by the host's own addresses (docs/measurements.md says what each costs a packet)."""
    if guard is Trust.NONE:
        return []
    return [(f"ipv4/conf/{name}/rp_filter", "0"), (_accept_local(name), "1" if guard is Trust.ALONE else "0")]


def _needs(name: str, *, ipv6: bool, guard: Trust) -> list[tuple[str, str]]:
    conf = f"ipv4/conf/{name}"
    needs = [
        (f"{conf}/proxy_arp", "1"),
        (f"ipv4/neigh/{name}/proxy_delay", "0"),
        (f"{conf}/forwarding", "1"),
        (f"{conf}/route_localnet", "0"),
        *_checks(name, guard),
    ]
    if ipv6 or _exists(f"ipv6/conf/{name}"):
        needs.append((f"ipv6/conf/{name}/accept_ra", "0"))
    if ipv6:
        needs.append((f"ipv6/conf/{name}/disable_ipv6", "0"))
        needs.append((f"ipv6/conf/{name}/forwarding", "1"))
    return needs


def enable_ipv6(name: str) -> None:
    """In a container whose runtime has turned it off."""
    ensure(f"ipv6/conf/{name}/disable_ipv6", "0")


def ensure(setting: str, value: str) -> list[str]:
    """Its name if it had to be changed. Refused, naming the setting."""
    if _read(setting) == value:
        return []
    _set(setting, value)
    return [_name(setting)]


def _name(setting: str) -> str:
    return f"net.{setting.replace('/', '.')}"


def _found(setting: str) -> str | None:
    """None: there is no such setting. Refused if it cannot be read."""
    try:
        with open(f"{_NET}/{setting}") as file:  # noqa: PTH123  a Path would cost as much as the read
            return file.read().strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Refused(
            f"{_name(setting)} cannot be read: {error.strerror}", hint="is /proc/sys mounted here?"
        ) from error


def _read(setting: str) -> str:
    found = _found(setting)
    if found is None:
        raise _missing(setting)
    return found


def _exists(setting: str) -> bool:
    return os.access(f"{_NET}/{setting}", os.F_OK)


def _set(setting: str, value: str) -> None:
    if not _write(setting, value):
        raise _missing(setting)


def _write(setting: str, value: str) -> bool:
    """False: there is no such setting. Refused, naming it."""
    try:
        fd = os.open(f"{_NET}/{setting}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise Refused(
            f"{_name(setting)} cannot be set: {error.strerror}", hint="is /proc/sys writable here?"
        ) from error
    return True


def _missing(setting: str) -> Refused:
    return Refused(
        f"{_name(setting)} is not there", hint="its interface is gone, or the kernel lacks what it belongs to"
    )
