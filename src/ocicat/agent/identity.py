"""What one interface of one container is called in each place that must name it. Pure.

Everything follows from the container's id and the interface's name inside it, which together are unique on a host by the CNI
specification: two networks of one container, or a container and one nested in it, can never meet under one name.
"""

from __future__ import annotations

import hashlib

from ocicat.agent import limits, profiles
from ocicat.cni.ports import PROTOCOLS, said
from ocicat.cni.request import NetworkInfo, Request
from ocicat.cni.wishes import is_wish
from ocicat.docker import labels as docker
from ocicat.errors import UserError
from ocicat.mesos.labels import PREFIX
from ocicat.model import keys
from ocicat.model.base import Struct
from ocicat.model.names import WorkloadEndpointIds, label_key, label_value
from ocicat.model.net import Addr
from ocicat.model.resources import Metadata, WorkloadEndpoint, WorkloadEndpointSpec
from ocicat.model.v3.defaults import LABEL_NAMESPACE, LABEL_ORCHESTRATOR
from ocicat.model.v3.endpoints import QoSControls, WorkloadEndpointPort
from ocicat.model.wanted import PortMapping

INTERFACE_PREFIX = "oci"
LENT_PREFIX = "ocp"  # not ours as soon as it is there: whoever asked for it takes it away
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
        mac=request.mac
        or b"\x02" + digest[6:11],  # locally administered, so that it stays the same over a repeated ADD
    )


def stored(key: str, endpoint: WorkloadEndpoint) -> Identity:
    """Of an endpoint that `identify` named when it was made."""
    spec, metadata = endpoint.spec, endpoint.metadata
    return Identity(
        key=key,
        name=metadata.name,
        namespace=metadata.namespace,
        handle=handle(spec.container_id, spec.endpoint),
        interface=spec.interface_name,
        mac=bytes.fromhex(spec.mac.replace(":", "")),
    )


def handle(container: str, interface: str) -> str:
    """Neither of the two can have a colon in it: no two pairs share a handle."""
    return f"{container}:{interface}"


def interface_name(container: str, interface: str) -> str:
    """15 characters, the kernel's limit: our prefix and 48 bits of a hash."""
    return INTERFACE_PREFIX + hashlib.sha256(f"{container}/{interface}".encode()).hexdigest()[:12]


def lent_name(interface: str) -> str:
    """What the container's side is called as long as it waits in the host. `interface`: the host's side."""
    return LENT_PREFIX + interface.removeprefix(INTERFACE_PREFIX)


def endpoint(host: str, request: Request, identity: Identity, addresses: tuple[Addr, ...]) -> WorkloadEndpoint:
    """The object as it is stored. Errors: UserError when a label claims what only a group gives, or says a limit wrongly."""
    labels = _labels(request.info) | {LABEL_NAMESPACE: identity.namespace, LABEL_ORCHESTRATOR: request.orchestrator}
    for key in labels:
        _check_claim(request, key)
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
            ports=ports(request, addresses),
            qos_controls=_limits(request),
            interface_name=identity.interface,
            mac=identity.mac.hex(":"),
        ),
    )


def _check_claim(request: Request, key: str) -> None:
    if key.startswith(profiles.MEMBER_PREFIX):
        raise UserError(
            f"container {request.container_id}: the label {key!r} marks the members of a group",
            hint="name the group among the groups of its NetworkInfo",
        )
    if key.startswith(PREFIX):
        raise UserError(
            f"container {request.container_id}: the label {key!r} is for Mesos alone to give",
            hint=f"labels that begin with {PREFIX} come by themselves",
        )
    if key.startswith(docker.PREFIX) and (request.orchestrator, key) != (docker.ORCHESTRATOR, docker.NETWORK):
        raise UserError(
            f"container {request.container_id}: the label {key!r} is for Docker's side of the agent alone to give",
            hint=f"labels that begin with {docker.PREFIX} come by themselves",
        )


def _limits(request: Request) -> QoSControls | None:
    try:
        return limits.controls(request.info.labels.labels)
    except UserError as error:
        raise UserError(f"container {request.container_id}: {error.message}", hint=error.hint) from error


def ports(request: Request, addresses: tuple[Addr, ...]) -> tuple[WorkloadEndpointPort, ...]:
    """Errors: UserError when one cannot lead to any of the addresses."""
    return tuple(_port(request, mapping, addresses) for mapping in request.ports)


def _port(request: Request, mapping: PortMapping, addresses: tuple[Addr, ...]) -> WorkloadEndpointPort:
    host = mapping.host_address
    if host and all(address.family != host.family for address in addresses):
        raise UserError(
            f"container {request.container_id}: {said(mapping)} cannot lead to it: it has no IPv{host.family} address",
            hint="ask for one, or leave out hostIP",
        )
    return WorkloadEndpointPort(
        protocol=_PROTOCOLS[mapping.protocol],
        port=mapping.port,
        host_port=mapping.host_port,
        host_ip=str(host) if host else "",
    )


def profile_names(request: Request) -> tuple[str, ...]:
    default = request.config.default_profile
    said = (label.value for label in request.info.labels.labels if label.key == profiles.GROUPS_LABEL)
    groups = (*request.info.groups, *(group for value in said for group in profiles.groups_in(value)))
    return profiles.names_for(groups, request.config.name if default == "" else default)


def _labels(info: NetworkInfo) -> dict[str, str]:
    """NetworkInfo's labels in the form that selectors can name, as Calico's CNI plugin makes them."""
    said = (label for label in info.labels.labels if not _is_request(label.key))
    cleaned = ((label_key(label.key), label_value(label.value)) for label in said)
    return {key: value for key, value in cleaned if key}


def _is_request(key: str) -> bool:
    """Does a label of that key ask for something, instead of telling what the task is?"""
    return limits.is_limit(key) or is_wish(key) or key == profiles.GROUPS_LABEL
