"""The ports of the host that a container asks for, checked: by Mesos's `port_mappings` or by CNI's `portMappings`. Pure.

Errors: CniError (7) that names the field and the value.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from ocicat.cni.config import NetworkInfo, Runtime
from ocicat.cni.spec import CniError, Code
from ocicat.errors import UserError
from ocicat.model.net import Addr, Cidr
from ocicat.model.wanted import PortMapping

PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}

_PORTS = range(1, 65536)
_LOOPBACK = (Cidr.parse("127.0.0.0/8"), Cidr.parse("::1/128"))


def wanted(info: NetworkInfo, runtime: Runtime) -> tuple[PortMapping, ...]:
    """Said twice is said once; no two of them for one port of the host."""
    found = tuple(dict.fromkeys([*_of_mesos(info), *_of_runtime(runtime)]))
    for one, other in combinations(found, 2):
        if one.excludes(other):
            raise _invalid(
                "port mappings", f"{said(one)} is asked for twice", "each port of the host can lead to one place"
            )
    return found


def said(mapping: PortMapping) -> str:
    """ "host port tcp/8080", for people."""
    names = {number: name for name, number in PROTOCOLS.items()}
    where = f" of {mapping.host_address}" if mapping.host_address else ""
    return f"host port {names.get(mapping.protocol, mapping.protocol)}/{mapping.host_port}{where}"


def _of_mesos(info: NetworkInfo) -> Iterator[PortMapping]:
    what = "NetworkInfo.port_mappings"
    for each in info.port_mappings:
        host_port, port = (
            _port(f"{what}.host_port", each.host_port),
            _port(f"{what}.container_port", each.container_port),
        )
        yield PortMapping(_protocol(what, each.protocol), host_port, port)


def _of_runtime(runtime: Runtime) -> Iterator[PortMapping]:
    what = "runtimeConfig.portMappings"
    for each in runtime.port_mappings:
        host_port, port = _port(f"{what}.hostPort", each.host_port), _port(f"{what}.containerPort", each.container_port)
        yield PortMapping(_protocol(what, each.protocol), host_port, port, _address(f"{what}.hostIP", each.host_ip))


def _port(what: str, number: int) -> int:
    if number not in _PORTS:
        raise _invalid(what, f"{number} is not a port", "it must be 1 to 65535")
    return number


def _protocol(what: str, text: str) -> int:
    number = PROTOCOLS.get((text or "tcp").lower())
    if number is None:
        raise _invalid(f"{what}.protocol", f"{text!r} has no ports", f"it must be one of {', '.join(PROTOCOLS)}")
    return number


def _address(what: str, text: str) -> Addr | None:
    if not text:
        return None
    try:
        address = Addr.parse(text)
    except UserError as error:
        raise _invalid(what, error.message, "it must be one of the host's addresses, or left out") from error
    if any(address in net for net in _LOOPBACK):
        raise _invalid(what, f"ports of {text} are not mapped", "name one of the host's addresses, or none for all")
    return address


def _invalid(what: str, fault: str, hint: str) -> CniError:
    return CniError(Code.INVALID_CONFIGURATION, f"{what}: {fault}", hint=hint)
