"""Docker's network driver: a container's endpoint from CreateEndpoint to DeleteEndpoint.

1. The endpoint is made as a CNI one is (`agent.workloads`): its policy is in the kernel before CreateEndpoint returns, and so
   before the container has the interface.
2. The interface waits in the host; Join names it, and the engine takes it into the container. DeleteEndpoint removes it wherever
   it is by then.
3. Each call may be asked again, and gives the same answer: the engine does so when the agent went away in the middle.
4. Ports are published by the endpoint that gives the container its default route, when the engine says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ocicat.agent import identity
from ocicat.agent.docker.addresses import UNCLAIMED_S, Addresses
from ocicat.agent.docker.change import changed
from ocicat.agent.docker.networks import Network, Networks
from ocicat.agent.docker.sandboxes import Place, Sandboxes, read, written
from ocicat.agent.workloads import GATEWAYS, Granted, Workloads
from ocicat.cni.config import Label, Labels, NetworkConfig, NetworkInfo
from ocicat.cni.request import Request
from ocicat.cni.result import Attachment
from ocicat.cni.spec import Command
from ocicat.cni.wishes import Wishes
from ocicat.docker import messages, options
from ocicat.docker.labels import NETWORK, ORCHESTRATOR
from ocicat.docker.options import Settings
from ocicat.errors import NotFound, OcicatError, UserError
from ocicat.model.base import replace
from ocicat.model.codec import with_field
from ocicat.model.names import label_value
from ocicat.model.net import Addr, parse_interface
from ocicat.model.resources import WorkloadEndpoint
from ocicat.model.wanted import PortMapping

CONNECTED = 1  # libnetwork's number of a route without a next hop
INTERFACES = "eth"  # in the container; the engine counts
_UNKNOWN, _NOTHING = Network(), Settings()


@dataclass(slots=True)
class Endpoints:
    networks: Networks
    addresses: Addresses
    workloads: Workloads
    sandboxes: Sandboxes

    async def create(self, call: messages.CreateEndpoint) -> messages.Reply:
        addresses = _given(call.interface)
        claims = self.addresses.owners(addresses)
        try:
            made = await self._made(call, addresses, claims)
        except OcicatError:  # the engine does not ask again; what the driver breaks off is left to `collect`
            await self.addresses.give_back(claims)
            raise
        return {"Interface": {} if call.interface.mac_address else {"MacAddress": made.mac}}

    async def _made(
        self, call: messages.CreateEndpoint, addresses: tuple[Addr, ...], claims: tuple[str, ...]
    ) -> Attachment:
        network = await self.networks.named(call.network_id)
        settings = options.joined(network.settings, options.of_endpoint(call.options))
        request = replace(
            _request("ADD", call.endpoint_id, network, settings),
            wishes=Wishes(addresses),
            takes_over=claims,
            mac=_mac(call.interface.mac_address),
        )
        return await self.workloads.add(request)

    async def delete(self, call: messages.DeleteEndpoint) -> None:
        self.sandboxes.leave(call.endpoint_id)
        await self.workloads.delete(_request("DEL", call.endpoint_id))

    async def join(self, call: messages.Join) -> messages.Reply:
        key, endpoint = self._find(call.endpoint_id)
        place = Place(call.network_id, call.sandbox)
        first = self.sandboxes.enter(call.endpoint_id, place)
        await changed(self.workloads.store, key, lambda _, value: written(value, place))
        gateways = {each.family: GATEWAYS[each.family] for each in _addresses(endpoint)} if first else {}
        # The gateway of IPv6 is link-local: there is a way to it already.
        routes = [{"Destination": str(gateways[4].cidr()), "RouteType": CONNECTED}] if 4 in gateways else []
        return {
            "InterfaceName": {
                "SrcName": identity.lent_name(endpoint.spec.interface_name),
                "DstPrefix": INTERFACES,
            },
            "Gateway": str(gateways.get(4, "")),
            "GatewayIPv6": str(gateways.get(6, "")),
            "StaticRoutes": routes,
            "DisableGatewayService": True,
        }

    def leave(self, call: messages.Leave) -> None:
        self.sandboxes.leave(call.endpoint_id)

    def info(self, call: messages.EndpointOperInfo) -> messages.Reply:
        key, endpoint = self._find(call.endpoint_id)
        return {"Value": {"ocicat.endpoint": key, "ocicat.interface": endpoint.spec.interface_name}}

    async def publish(self, call: messages.OfEndpoint, wanted: tuple[PortMapping, ...]) -> None:
        """These ports of the host lead to it, and no others, when this returns. Refused: one is taken."""
        key, endpoint = self._find(call.endpoint_id)
        if not wanted and not endpoint.spec.ports:
            return
        addresses, network = _addresses(endpoint), await self.networks.named(call.network_id)
        request = replace(_request("ADD", call.endpoint_id, network, network.settings), ports=wanted)
        ports = identity.ports(request, addresses)
        async with self.workloads.ports.reserved(key, wanted):
            self.workloads.ports.check_host(wanted)
            revision = await changed(
                self.workloads.store, key, lambda _, value: with_field(value, ("spec", "ports"), ports)
            )
            granted = Granted(addresses, revision, fresh=False)
            await self.workloads.attach_in_force(request, identity.stored(key, endpoint), granted)

    def never_joined(self) -> tuple[str, ...]:
        """Those that no container took in time: of an engine that died in between."""
        old = self.workloads.clock.now() - UNCLAIMED_S
        return tuple(
            endpoint.spec.endpoint
            for endpoint in self.workloads.local.endpoints.values()
            if endpoint.spec.orchestrator == ORCHESTRATOR
            and endpoint.spec.endpoint not in self.sandboxes.places
            and read(endpoint) is None
            and _since(endpoint) < old
        )

    def forget_lost(self) -> None:
        """What was taken back without the engine, as it had lost its interface, is in no sandbox any more."""
        for endpoint_id in [*self.sandboxes.places]:
            if self.workloads.local.find(ORCHESTRATOR, endpoint_id) is None:
                self.sandboxes.leave(endpoint_id)

    def _find(self, endpoint_id: str) -> tuple[str, WorkloadEndpoint]:
        found = self.workloads.local.find(ORCHESTRATOR, endpoint_id)
        if not found:
            raise NotFound(
                f"endpoint {endpoint_id[:12]} is not known to this agent", hint="stop the container, and start it again"
            )
        return found


def _request(command: Command, endpoint_id: str, network: Network = _UNKNOWN, settings: Settings = _NOTHING) -> Request:
    """The same, as a CNI runtime would ask for it. The names are those by which Calico's driver stored endpoints of libnetwork."""
    labels = settings.labels | ({NETWORK: label_value(network.name)} if network.name else {})
    return Request(
        command=command,
        container_id=ORCHESTRATOR,
        interface=endpoint_id,
        netns="",
        config=NetworkConfig(
            name=network.name,
            type=ORCHESTRATOR,
            default_profile=None if settings.profile == "" else settings.profile or "",
            mtu=settings.mtu or None,
        ),
        info=NetworkInfo(
            name=network.name,
            groups=settings.groups,
            labels=Labels(tuple(Label(key, value) for key, value in labels.items())),
        ),
        orchestrator=ORCHESTRATOR,
    )


def _since(endpoint: WorkloadEndpoint) -> float:
    """Seconds since the epoch; for ever ago where it is not said."""
    try:
        return datetime.fromisoformat(endpoint.metadata.creation_timestamp or "").timestamp()
    except ValueError:
        return 0.0


def _given(interface: messages.Interface) -> tuple[Addr, ...]:
    addresses = tuple(parse_interface(text)[0] for text in (interface.address, interface.address6) if text)
    if not addresses:
        raise UserError("the endpoint has no address", hint="create the network with --ipam-driver ocicat")
    return addresses


def _addresses(endpoint: WorkloadEndpoint) -> tuple[Addr, ...]:
    return tuple(parse_interface(text)[0] for text in endpoint.spec.ip_networks)


def _mac(text: str) -> bytes | None:
    try:
        return bytes.fromhex(text.replace(":", "")) or None
    except ValueError as error:
        raise UserError(f"--mac-address {text!r} is no MAC address", hint="for example 02:42:ac:11:00:02") from error
