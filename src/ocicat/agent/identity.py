"""What one interface of one container is called in each place that must name it. Pure.

Everything follows from the container's id and the interface's name inside it, which together are unique on a host by the CNI
specification: two networks of one container, or a container and one nested in it, can never meet under one name.
"""

from __future__ import annotations

import hashlib

from ocicat.agent import limits, profiles
from ocicat.cni.ports import PROTOCOLS
from ocicat.cni.request import NetworkInfo, Request
from ocicat.errors import UserError
from ocicat.model import keys
from ocicat.model.base import Struct
from ocicat.model.names import WorkloadEndpointIds, label_value
from ocicat.model.net import Addr
from ocicat.model.resources import Metadata, WorkloadEndpoint, WorkloadEndpointSpec
from ocicat.model.v3.defaults import LABEL_NAMESPACE, LABEL_ORCHESTRATOR
from ocicat.model.v3.endpoints import QoSControls, WorkloadEndpointPort
from ocicat.model.wanted import PortMapping

INTERFACE_PREFIX = "oci"
DEFAULT_NAMESPACE = "default"

_PROTOCOLS = {number: name.upper() for name, number in PROTOCOLS.items()}


class Identity(Struct, frozen=True):
    key: str  # of the endpoint in the datastore
    name: str
    namespace: str
    handle: str  # owns the endpoint's addresses
    interface: str  # the host's side
    mac: bytes  # the container's side


def identify(host: str, request: Request) -> Identity:
    """Errors: UserError when the container's id cannot be part of a resource's name."""
    container, interface = request.container_id, request.interface
    ids = WorkloadEndpointIds(
        node=host,
        orchestrator=request.orchestrator,
        workload=container,
        container_id=container,
        endpoint=interface,
    )
    namespace = _labels(request.info).get(LABEL_NAMESPACE) or DEFAULT_NAMESPACE
    digest = hashlib.sha256(f"{container}/{interface}".encode()).digest()
    return Identity(
        key=keys.workload(namespace, ids.name()),
        name=ids.name(),
        namespace=namespace,
        handle=handle(container, interface),
        interface=interface_name(container, interface),
        mac=b"\x02" + digest[6:11],  # locally administered, so that it stays the same over a repeated ADD
    )


def handle(container: str, interface: str) -> str:
    """Neither of the two can have a colon in it: no two pairs share a handle."""
    return f"{container}:{interface}"


def interface_name(container: str, interface: str) -> str:
    """15 characters, the kernel's limit: our prefix and 48 bits of a hash."""
    return INTERFACE_PREFIX + hashlib.sha256(f"{container}/{interface}".encode()).hexdigest()[:12]


def endpoint(host: str, request: Request, identity: Identity, addresses: tuple[Addr, ...]) -> WorkloadEndpoint:
    """The object as it is stored. Errors: UserError when a label claims what only a group gives, or says a limit wrongly."""
    labels = _labels(request.info) | {LABEL_NAMESPACE: identity.namespace, LABEL_ORCHESTRATOR: request.orchestrator}
    for key in labels:
        if key.startswith(profiles.MEMBER_PREFIX):
            raise UserError(
                f"container {request.container_id}: the label {key!r} marks the members of a group",
                hint="name the group among the groups of its NetworkInfo",
            )
    return WorkloadEndpoint(
        metadata=Metadata(name=identity.name, namespace=identity.namespace, labels=labels),
        spec=WorkloadEndpointSpec(
            orchestrator=request.orchestrator,
            workload=request.container_id if request.orchestrator != "cni" else "",
            node=host,
            container_id=request.container_id,
            endpoint=request.interface,
            ip_networks=tuple(str(address.cidr()) for address in addresses),
            profiles=profile_names(request),
            ports=tuple(map(_port, request.ports)),
            qos_controls=_limits(request),
            interface_name=identity.interface,
            mac=identity.mac.hex(":"),
        ),
    )


def _limits(request: Request) -> QoSControls | None:
    try:
        return limits.controls(request.info.labels.labels)
    except UserError as error:
        raise UserError(f"container {request.container_id}: {error.message}", hint=error.hint) from error


def _port(mapping: PortMapping) -> WorkloadEndpointPort:
    return WorkloadEndpointPort(
        protocol=_PROTOCOLS[mapping.protocol],
        port=mapping.port,
        host_port=mapping.host_port,
        host_ip=str(mapping.host_address) if mapping.host_address else "",
    )


def profile_names(request: Request) -> tuple[str, ...]:
    default = request.config.default_profile
    return profiles.names_for(request.info.groups, request.config.name if default == "" else default)


def _labels(info: NetworkInfo) -> dict[str, str]:
    """NetworkInfo's labels in the form that selectors can name, as Calico's CNI plugin makes them."""
    said = (label for label in info.labels.labels if not limits.is_limit(label.key))
    cleaned = ((_label_key(label.key), label_value(label.value)) for label in said)
    return {key: value for key, value in cleaned if key}


def _label_key(text: str) -> str:
    """A key may keep one `/` between a prefix and a name; everything else as in a value."""
    prefix, slash, name = text.partition("/")
    if not slash or "/" in name or not label_value(prefix) or not label_value(name):
        return label_value(text)
    return f"{label_value(prefix)}/{label_value(name)}"
