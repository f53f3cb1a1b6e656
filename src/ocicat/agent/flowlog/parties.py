"""Who has an address: endpoints and network sets of the whole cluster, this host's own interfaces, or nobody we know.

Promises: `find` gives the one that comes first of: a workload's endpoint, a host endpoint, a network set with this very address;
the host endpoint that governs the interface of ours which has it; the network set with the longest prefix that holds it; and else
"pvt" or "pub", the private and the public rest of the world, as Calico calls them. Of several alike, the first by its key.

Invariant: what is found depends on what is there, not on the order in which it came. One thread's own; no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ocicat.model import keys
from ocicat.model.base import Struct
from ocicat.model.net import Addr, Cidr, Lpm
from ocicat.model.v3.kinds import KINDS
from ocicat.policy import HostInterface

Addresses = tuple[Addr | Cidr, ...]

_GLOBAL = "-"  # in place of a namespace, as in Calico's flow logs
_EVERY_INTERFACE = "*"
_HOST_ENDPOINTS = KINDS["HostEndpoint"].prefix()
_NETWORK_SETS = KINDS["NetworkSet"].prefix()
_GLOBAL_NETWORK_SETS = KINDS["GlobalNetworkSet"].prefix()
_TYPES = {keys.WORKLOADS: "wep", _HOST_ENDPOINTS: "hep", _NETWORK_SETS: "ns", _GLOBAL_NETWORK_SETS: "ns"}
_ORDER = (keys.WORKLOADS, _HOST_ENDPOINTS, _NETWORK_SETS, _GLOBAL_NETWORK_SETS)
_NAMESPACED = (keys.WORKLOADS, _NETWORK_SETS)
_PRIVATE = tuple(map(Cidr.parse, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))


class Name(Struct, frozen=True):
    """`type`: "wep", "hep", "ns" or "net". `labels`: its own, "key=value", in order."""

    type: str
    namespace: str
    name: str
    labels: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class Party:
    """Compared by identity: what changes becomes another. `key` is the datastore's; of the rest of the world its name."""

    key: str
    labels: Mapping[str, str] = field(default_factory=dict)
    addresses: Addresses = ()

    def name(self) -> Name:
        prefix = next((one for one in _ORDER if self.key.startswith(one)), "")
        if not prefix:
            return Name("net", _GLOBAL, self.key)
        rest = self.key.removeprefix(prefix)
        namespace, name = rest.split("/", 1) if prefix in _NAMESPACED and "/" in rest else (_GLOBAL, rest)
        labels = tuple(f"{key}={value}" for key, value in sorted(self.labels.items()))
        return Name(_TYPES[prefix], namespace, name, labels)

    def rank(self) -> tuple[int, str]:
        return next((place for place, one in enumerate(_ORDER) if self.key.startswith(one)), len(_ORDER)), self.key


PRIVATE, PUBLIC = Party("pvt"), Party("pub")


class Parties:
    """Fed with every change; asked for the addresses of every logged packet."""

    __slots__ = ("_governing", "_holders", "_longest", "_nets", "_own", "_parties")

    def __init__(self) -> None:
        self._parties: dict[str, Party] = {}  # by key
        self._holders: dict[bytes, Party | tuple[Party, ...]] = {}  # of addresses; several are in order
        self._nets: dict[Cidr, tuple[Party, ...]] = {}
        self._longest: Lpm[tuple[Party, ...]] = Lpm()  # the same
        self._own: dict[bytes, str] = {}  # this host's addresses: the interface of each
        self._governing: dict[str, str] = {}  # interface -> key of its host endpoint

    def set(self, key: str, labels: Mapping[str, str], addresses: Addresses) -> None:
        self.forget(key)
        party = self._parties[key] = Party(key, labels, tuple(dict.fromkeys(addresses)))
        for address in party.addresses:
            self._hold(address, _ordered((*self._held(address), party)))

    def forget(self, key: str) -> None:
        before = self._parties.pop(key, None)
        for address in before.addresses if before else ():
            self._hold(address, tuple(one for one in self._held(address) if one is not before))

    def interfaces(self, found: Iterable[HostInterface]) -> None:
        """All of this host's own."""
        self._own = {address.pack(): one.name for one in found for address in one.addresses}

    def governs(self, interface: str, key: str | None) -> None:
        """The host endpoint of that key governs the interface ("*": all that have none of their own); None: none does."""
        if key is None:
            self._governing.pop(interface, None)
        else:
            self._governing[interface] = key

    def find(self, address: bytes) -> Party:
        holder = self._holders.get(address)
        if holder is not None:
            return holder[0] if isinstance(holder, tuple) else holder
        return self._host_endpoint(address) or self._elsewhere(Addr.unpack(address))

    def _host_endpoint(self, address: bytes) -> Party | None:
        interface = self._own.get(address)
        if interface is None:
            return None
        key = self._governing.get(interface) or self._governing.get(_EVERY_INTERFACE)
        return self._parties.get(key) if key else None

    def _elsewhere(self, address: Addr) -> Party:
        sets = self._longest.lookup(address)
        if sets:
            return sets[0]
        return PRIVATE if any(address in net for net in _PRIVATE) else PUBLIC

    def _held(self, address: Addr | Cidr) -> tuple[Party, ...]:
        if isinstance(address, Cidr):
            return self._nets.get(address, ())
        held = self._holders.get(address.pack(), ())
        return held if isinstance(held, tuple) else (held,)

    def _hold(self, address: Addr | Cidr, parties: tuple[Party, ...]) -> None:
        if isinstance(address, Cidr):
            self._hold_net(address, parties)
        elif parties:
            self._holders[address.pack()] = parties if len(parties) > 1 else parties[0]
        else:
            del self._holders[address.pack()]

    def _hold_net(self, net: Cidr, parties: tuple[Party, ...]) -> None:
        if parties:
            self._nets[net] = parties
            self._longest[net] = parties
        else:
            del self._nets[net]
            del self._longest[net]


def _ordered(parties: tuple[Party, ...]) -> tuple[Party, ...]:
    return tuple(sorted(parties, key=Party.rank)) if len(parties) > 1 else parties
