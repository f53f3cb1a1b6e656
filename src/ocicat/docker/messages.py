"""The calls of libnetwork's remote network and address drivers, and the replies. Pure.

1. Names of fields are those of the protocol, in its own case. What a call has beside the fields here is passed over: engines of
   other versions say more.
2. `read` makes the right record of a call's path and body, or an error that names the call and the field. Questions whose answer
   never changes are in `ANSWERS`.

Source: moby/libnetwork docs/remote.md and docs/ipam.md, drivers/remote/api, ipams/remote/api (engine API 1.2 of plugins).
"""

from __future__ import annotations

from ocicat.errors import NotFound
from ocicat.model.base import Struct, field
from ocicat.model.codec import decode_json

IMPLEMENTS = ("NetworkDriver", "IpamDriver")
ADDRESS_SPACE = "ocicat"  # by it a network shows that its addresses are ours
GATEWAY_OPTION = "com.docker.network.gateway"
REQUEST_TYPE = "RequestAddressType"


class Pool(Struct, frozen=True, rename="pascal"):
    """A subnet of a network, as the address driver answered it."""

    address_space: str = ""
    pool: str = ""
    gateway: str = ""
    aux_addresses: dict[str, object] = {}


class Interface(Struct, frozen=True, rename="pascal"):
    """Addresses with their prefix length. Empty: none given."""

    address: str = ""
    address6: str = field(default="", name="AddressIPv6")
    mac_address: str = ""


class OfNetwork(Struct, frozen=True):
    network_id: str = field(default="", name="NetworkID")


class OfEndpoint(OfNetwork, frozen=True):
    endpoint_id: str = field(default="", name="EndpointID")


class CreateNetwork(OfNetwork, frozen=True):
    options: dict[str, object] = field(default={}, name="Options")
    ipv4: tuple[Pool, ...] = field(default=(), name="IPv4Data")
    ipv6: tuple[Pool, ...] = field(default=(), name="IPv6Data")


class DeleteNetwork(OfNetwork, frozen=True):
    pass


class AllocateNetwork(OfNetwork, frozen=True):
    """Of a swarm's manager: networks of global scope only."""


class FreeNetwork(OfNetwork, frozen=True):
    """The way back of AllocateNetwork."""


class CreateEndpoint(OfEndpoint, frozen=True):
    interface: Interface = field(default=Interface(), name="Interface")
    options: dict[str, object] = field(default={}, name="Options")


class DeleteEndpoint(OfEndpoint, frozen=True):
    pass


class EndpointOperInfo(OfEndpoint, frozen=True):
    pass


class Join(OfEndpoint, frozen=True):
    """`sandbox`: the path of the container's network namespace, which may be made only after this call."""

    sandbox: str = field(default="", name="SandboxKey")
    options: dict[str, object] = field(default={}, name="Options")


class Leave(OfEndpoint, frozen=True):
    pass


class ProgramExternalConnectivity(OfEndpoint, frozen=True):
    options: dict[str, object] = field(default={}, name="Options")


class RevokeExternalConnectivity(OfEndpoint, frozen=True):
    pass


class Discover(Struct, frozen=True):
    """What one engine tells another; nothing of it concerns us."""


class RequestPool(Struct, frozen=True, rename="pascal"):
    address_space: str = ""
    pool: str = ""
    sub_pool: str = ""
    options: dict[str, str] = {}
    v6: bool = False


class ReleasePool(Struct, frozen=True):
    pool_id: str = field(default="", name="PoolID")


class RequestAddress(Struct, frozen=True, rename="pascal"):
    pool_id: str = field(default="", name="PoolID")
    address: str = ""
    options: dict[str, str] = {}


class ReleaseAddress(Struct, frozen=True, rename="pascal"):
    pool_id: str = field(default="", name="PoolID")
    address: str = ""


Call = (
    CreateNetwork
    | DeleteNetwork
    | AllocateNetwork
    | FreeNetwork
    | CreateEndpoint
    | DeleteEndpoint
    | EndpointOperInfo
    | Join
    | Leave
    | ProgramExternalConnectivity
    | RevokeExternalConnectivity
    | Discover
    | RequestPool
    | ReleasePool
    | RequestAddress
    | ReleaseAddress
)

Reply = dict[str, object]

_CALLS: dict[str, type[Call]] = {
    "/NetworkDriver.CreateNetwork": CreateNetwork,
    "/NetworkDriver.DeleteNetwork": DeleteNetwork,
    "/NetworkDriver.AllocateNetwork": AllocateNetwork,
    "/NetworkDriver.FreeNetwork": FreeNetwork,
    "/NetworkDriver.CreateEndpoint": CreateEndpoint,
    "/NetworkDriver.DeleteEndpoint": DeleteEndpoint,
    "/NetworkDriver.EndpointOperInfo": EndpointOperInfo,
    "/NetworkDriver.Join": Join,
    "/NetworkDriver.Leave": Leave,
    "/NetworkDriver.ProgramExternalConnectivity": ProgramExternalConnectivity,
    "/NetworkDriver.RevokeExternalConnectivity": RevokeExternalConnectivity,
    "/NetworkDriver.DiscoverNew": Discover,
    "/NetworkDriver.DiscoverDelete": Discover,
    "/IpamDriver.RequestPool": RequestPool,
    "/IpamDriver.ReleasePool": ReleasePool,
    "/IpamDriver.RequestAddress": RequestAddress,
    "/IpamDriver.ReleaseAddress": ReleaseAddress,
}

# A network is made on every host by itself (no cluster store of the engine's is needed); what is in it reaches every host.
# We remember addresses ourselves: the engine need not ask for them again when it starts.
ANSWERS: dict[str, Reply] = {
    "/Plugin.Activate": {"Implements": IMPLEMENTS},
    "/NetworkDriver.GetCapabilities": {"Scope": "local", "ConnectivityScope": "global"},
    "/IpamDriver.GetCapabilities": {"RequiresMACAddress": False, "RequiresRequestReplay": False},
    "/IpamDriver.GetDefaultAddressSpaces": {
        "LocalDefaultAddressSpace": ADDRESS_SPACE,
        "GlobalDefaultAddressSpace": ADDRESS_SPACE,
    },
}


def read(path: str, body: bytes) -> Call:
    """NotFound: no such call. UserError: the body is not what that call has."""
    record = _CALLS.get(path)
    if record is None:
        raise NotFound(
            f"{path or '/'}: there is no such call", hint=f"this is a plugin of Docker: {', '.join(IMPLEMENTS)}"
        )
    return decode_json(record, body or b"{}", what=path.removeprefix("/"))


def subject(call: Call) -> str:
    """What it is about: calls with the same subject must not meet."""
    match call:
        case OfEndpoint(endpoint_id=endpoint):
            return f"endpoint {endpoint}"
        case OfNetwork(network_id=network):
            return f"network {network}"
        case _:
            return ""
