"""The kinds that there are: their names, where they are kept, what may not change. Pure.

`KINDS` is keyed by the kind's name as it stands in a resource; `kind_named` accepts what calicoctl accepts, in any case.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType

from ocicat.errors import UserError
from ocicat.model.base import Struct
from ocicat.model.keys import RESOURCES
from ocicat.model.v3.addressing import BlockAffinity, IPAMBlock, IPAMConfiguration, IPAMHandle, IPPool, IPReservation
from ocicat.model.v3.bgp import BGPConfiguration, BGPFilter, BGPPeer
from ocicat.model.v3.endpoints import GlobalNetworkSet, HostEndpoint, NetworkSet, Node, WorkloadEndpoint
from ocicat.model.v3.felix import FelixConfiguration
from ocicat.model.v3.metadata import Resource
from ocicat.model.v3.policy import GlobalNetworkPolicy, NetworkPolicy, Profile, Tier
from ocicat.model.v3.staged import StagedGlobalNetworkPolicy, StagedKubernetesNetworkPolicy, StagedNetworkPolicy
from ocicat.model.v3.system import CalicoNodeStatus, ClusterInformation, KubeControllersConfiguration

_DEFAULT_TIER = "default."
_ALWAYS_IMMUTABLE = ("metadata.name", "metadata.namespace", "metadata.uid")


class Kind(Struct, frozen=True, kw_only=True):
    """`immutable`: fields by their path that an update may not change. `only_name`: the one name that an object may have.

    `internal`: the address manager's own records; the datastore keeps them in another form under `keys.IPAM`.
    `tiered`: a policy that lies in a tier. In the datastore the name of one in the default tier begins with "default.".
    """

    name: str
    plural: str
    type: type[Resource]
    namespaced: bool = False
    aliases: tuple[str, ...] = ()
    immutable: tuple[str, ...] = _ALWAYS_IMMUTABLE
    only_name: str = ""
    internal: bool = False
    tiered: bool = False

    def stored_names(self, name: str) -> tuple[str, ...]:
        """How an object that people call `name` may be called in the datastore."""
        return (_DEFAULT_TIER + name, name) if self._may_be_prefixed(name) else (name,)

    def new_name(self, name: str, tier: str) -> str:
        """How the datastore calls a new object; `tier`: of a policy. The form that Calico 3.28 to 3.31 write and look for."""
        prefixed = self._may_be_prefixed(name) and tier in ("", _DEFAULT_TIER[:-1])
        return _DEFAULT_TIER + name if prefixed else name

    def shown_name(self, stored: str) -> str:
        bare = stored.removeprefix(_DEFAULT_TIER)
        return bare if self._may_be_prefixed(bare) else stored

    def _may_be_prefixed(self, name: str) -> bool:
        """A dot says that the name begins with a tier already, or was made from a policy of another system."""
        return self.tiered and "." not in name

    def prefix(self, namespace: str = "") -> str:
        """Under which all objects of the kind lie, or those of one namespace. Errors: UserError for an internal kind."""
        if self.internal:
            raise UserError(
                f"{self.name} is not kept as a resource", hint="see it with the address management commands"
            )
        return f"{RESOURCES}{self.plural}/{namespace}/" if namespace else f"{RESOURCES}{self.plural}/"

    def key(self, name: str, namespace: str = "") -> str:
        """Where an object lies. Errors: UserError if a namespace is missing, or given for a kind that has none."""
        if self.namespaced != bool(namespace):
            must = "lies in a namespace: say which" if self.namespaced else "lies in no namespace: leave it out"
            raise UserError(f"{self.name} {name!r} {must}")
        return self.prefix(namespace) + name


_ALL = (
    Kind(
        name="BGPConfiguration", plural="bgpconfigurations", type=BGPConfiguration, aliases=("bgpconfig", "bgpconfigs")
    ),
    Kind(name="BGPFilter", plural="bgpfilters", type=BGPFilter, aliases=("bgpf", "bgpfs", "bf", "bfs")),
    Kind(name="BGPPeer", plural="bgppeers", type=BGPPeer, aliases=("bgpp", "bgpps", "bp", "bps")),
    Kind(
        name="BlockAffinity",
        plural="blockaffinities",
        type=BlockAffinity,
        aliases=("affinity", "affinities"),
        internal=True,
    ),
    Kind(name="CalicoNodeStatus", plural="caliconodestatuses", type=CalicoNodeStatus),
    Kind(
        name="ClusterInformation",
        plural="clusterinformations",
        type=ClusterInformation,
        aliases=("clusterinfo", "clusterinfos"),
        only_name="default",
    ),
    Kind(
        name="FelixConfiguration",
        plural="felixconfigurations",
        type=FelixConfiguration,
        aliases=("felixconfig", "felixconfigs"),
    ),
    Kind(
        name="GlobalNetworkPolicy",
        plural="globalnetworkpolicies",
        type=GlobalNetworkPolicy,
        aliases=("gnp", "gnps"),
        tiered=True,
    ),
    Kind(name="GlobalNetworkSet", plural="globalnetworksets", type=GlobalNetworkSet, aliases=("gns", "gnetsets")),
    Kind(name="HostEndpoint", plural="hostendpoints", type=HostEndpoint, aliases=("hep", "heps")),
    Kind(name="IPAMBlock", plural="ipamblocks", type=IPAMBlock, internal=True),
    Kind(
        name="IPAMConfiguration",
        plural="ipamconfigurations",
        type=IPAMConfiguration,
        aliases=("ipamconfig", "ipamconfigs"),
        only_name="default",
        internal=True,
    ),
    Kind(name="IPAMHandle", plural="ipamhandles", type=IPAMHandle, internal=True),
    Kind(
        name="IPPool",
        plural="ippools",
        type=IPPool,
        aliases=("ipp", "ipps", "pool", "pools"),
        immutable=(*_ALWAYS_IMMUTABLE, "spec.cidr", "spec.blockSize"),
    ),
    Kind(name="IPReservation", plural="ipreservations", type=IPReservation, aliases=("reservation", "reservations")),
    Kind(
        name="KubeControllersConfiguration",
        plural="kubecontrollersconfigurations",
        type=KubeControllersConfiguration,
        aliases=("kubecontrollersconfig", "kubecontrollersconfigs"),
        only_name="default",
    ),
    Kind(
        name="NetworkPolicy",
        plural="networkpolicies",
        type=NetworkPolicy,
        namespaced=True,
        aliases=("np", "policy", "policies", "pol", "pols"),
        tiered=True,
    ),
    Kind(name="NetworkSet", plural="networksets", type=NetworkSet, namespaced=True, aliases=("netset", "netsets")),
    Kind(name="Node", plural="nodes", type=Node, aliases=("no", "nos")),
    Kind(name="Profile", plural="profiles", type=Profile, aliases=("pro", "pros")),
    Kind(
        name="StagedGlobalNetworkPolicy",
        plural="stagedglobalnetworkpolicies",
        type=StagedGlobalNetworkPolicy,
        aliases=("sgnp", "sgnps"),
        tiered=True,
    ),
    Kind(
        name="StagedKubernetesNetworkPolicy",
        plural="stagedkubernetesnetworkpolicies",
        type=StagedKubernetesNetworkPolicy,
        namespaced=True,
        aliases=("sknp", "sknps"),
    ),
    Kind(
        name="StagedNetworkPolicy",
        plural="stagednetworkpolicies",
        type=StagedNetworkPolicy,
        namespaced=True,
        aliases=("snp", "snps"),
        tiered=True,
    ),
    Kind(name="Tier", plural="tiers", type=Tier),
    Kind(
        name="WorkloadEndpoint",
        plural="workloadendpoints",
        type=WorkloadEndpoint,
        namespaced=True,
        aliases=("wep", "weps"),
    ),
)

KINDS: Mapping[str, Kind] = MappingProxyType({kind.name: kind for kind in _ALL})
_BY_WORD = {word.lower(): kind for kind in _ALL for word in (kind.name, kind.plural, *kind.aliases)}


def kind_named(text: str) -> Kind:
    """The kind that a person means: its name, its plural or an alias, in any case. Errors: UserError."""
    found = _BY_WORD.get(text.lower())
    if found is None:
        close = get_close_matches(text.lower(), _BY_WORD, n=1)
        hint = f"did you mean {_BY_WORD[close[0]].name}?" if close else "`ocicat kinds` lists them"
        raise UserError(f"{text!r} is no kind of resource", hint=hint)
    return found
