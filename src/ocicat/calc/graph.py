"""The nodes, wired: updates of the datastore in, batches for this host's dataplane out.

    update(key, value)                                                       interfaces()
           |                                                                      |
      Dispatcher ------------------- problems of each node ---------> problems()  |
           | blocks,   | profiles      | endpoints,    | policies,  | settings    |
           | nodes,    |               | network sets  | tiers      |             |
           | pools     |               |               |            |             |
           |           +--> labels --> LabelIndex      |            |             |
           |           |                | matches      |            |             |
           v           v                v              v            v             v
        Routes,  ActiveProfiles     SetMembers   ActivePolicies  Configuration  HostEndpoints
        Outgoing       |                ^              |            |             |
           |           +-- in use --> RuleScanner <----+            |             |
           |                     (opens, closes sets)  |            |             |
           |                             |             +--------> LocalEndpoints  |
           | blocks         sets, rules  | members        settings  | endpoints   |
           +------------------------- Sequencer ----------+---------+-------------+
                                         |
                                     flush() -> Batch

What changes is taken in at once; which policies are needed here, their rules and their order, and who has which floating address
(`floating`: Routes and LocalEndpoints ask) are settled at `flush`, once for all updates since the last.

Promises: 1. `update` never raises for what a value holds; 2. `flush` gives nothing before `in_sync`, then everything once, then
changes; 3. the sum of all batches depends on what the datastore holds now, never on the order in which it came.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

from ocicat.calc import records
from ocicat.calc.active_policies import ActivePolicies, ActiveProfiles
from ocicat.calc.configuration import CONFIGURATIONS, Configuration
from ocicat.calc.dispatcher import Dispatcher, feed
from ocicat.calc.floating import Floating
from ocicat.calc.host_endpoints import HostEndpoints
from ocicat.calc.label_index import LabelIndex
from ocicat.calc.local_endpoints import LocalEndpoints
from ocicat.calc.nat_outgoing import Outgoing
from ocicat.calc.problems import Problem
from ocicat.calc.records import BlockRecord, EndpointRecord, HostEndpointRecord, NodeRecord, PeerRecord
from ocicat.calc.routes import Routes
from ocicat.calc.rule_scan import RuleScanner
from ocicat.calc.rules import PeerSet
from ocicat.calc.sequencer import Sequencer
from ocicat.calc.set_members import SetMembers
from ocicat.calc.workloads import Workloads
from ocicat.model import keys
from ocicat.model.net import Addr, Cidr
from ocicat.model.v3.felix import FelixConfigurationSpec
from ocicat.model.v3.kinds import KINDS
from ocicat.model.v3.policy import Profile, Tier
from ocicat.model.wanted import Batch
from ocicat.policy import HostInterface
from ocicat.policy.settings import OpenPort

PeerTold = Callable[[str, PeerRecord | None], None]
"""(key, what it is; None: it is gone)"""

_NO_PEER = PeerRecord({}, (), ())


class Graph:
    """`host` is the name by which endpoints (`spec.node`) and blocks (`host:NAME`) call the host we calculate for."""

    __slots__ = (
        "_configuration",
        "_dispatcher",
        "_floating",
        "_host",
        "_host_endpoints",
        "_in_sync",
        "_labels",
        "_local",
        "_members",
        "_outgoing",
        "_peer_problems",
        "_peer_told",
        "_policies",
        "_profiles",
        "_routes",
        "_scanner",
        "_sequencer",
        "_workloads",
    )

    def __init__(self, host: str, settings: FelixConfigurationSpec | None = None) -> None:
        """`settings`: what this host says itself in the words of FelixConfiguration; it goes before the datastore's objects."""
        self._host = host
        self._sequencer = Sequencer()
        self._routes = Routes(host, self._sequencer)
        self._outgoing = Outgoing(self._sequencer)
        self._members = SetMembers(self._sequencer)
        self._labels = LabelIndex(started=self._members.match_started, stopped=self._members.match_stopped)
        self._scanner = RuleScanner(self._sequencer, opened=self._open_set, closed=self._close_set)
        self._profiles = ActiveProfiles()
        self._policies = ActivePolicies()
        self._configuration = Configuration(host, self._sequencer, settings)
        self._outgoing.configure(self._configuration.overlay())
        self._workloads = Workloads(host, self._configuration.of, self._workload)
        self._floating = Floating(self._workload_addresses)
        self._local = LocalEndpoints(self._sequencer, self._policies.applied, self._floating.fault)
        self._host_endpoints = HostEndpoints(
            self._sequencer, applied=self._policies.applied, is_workload=self._is_workload
        )
        self._peer_problems: dict[str, Problem] = {}
        self._peer_told: PeerTold | None = None
        self._in_sync = False
        self._dispatcher = Dispatcher(
            {
                keys.WORKLOADS: self._workloads.deliver,
                keys.BLOCKS: feed(records.read_block, self._block),
                keys.PROFILES: feed(records.read_profile, self._profile),
                keys.NODES: feed(records.read_node, self._node),
                KINDS["IPPool"].prefix(): feed(records.read_pool, self._outgoing.set_pool),
                CONFIGURATIONS: feed(records.read_configuration, self._configure),
                KINDS["HostEndpoint"].prefix(): feed(partial(records.read_host_endpoint, host), self._host_endpoint),
                KINDS["NetworkSet"].prefix(): feed(records.read_network_set, self._peer),
                KINDS["GlobalNetworkSet"].prefix(): feed(records.read_global_network_set, self._peer),
                KINDS["Tier"].prefix(): feed(records.read_tier, self._tier),
                KINDS["NetworkPolicy"].prefix(): feed(records.read_policy, self._policies.set_policy),
                KINDS["GlobalNetworkPolicy"].prefix(): feed(records.read_global_policy, self._policies.set_policy),
                KINDS["StagedNetworkPolicy"].prefix(): feed(records.read_staged_policy, self._policies.set_policy),
                KINDS["StagedGlobalNetworkPolicy"].prefix(): feed(
                    records.read_staged_global_policy, self._policies.set_policy
                ),
            }
        )

    def update(self, key: str, value: bytes | None) -> None:
        """`key` holds `value` from now on; None: it does not exist. Keys of kinds we do not use are skipped."""
        self._dispatcher.update(key, value)

    def interfaces(self, found: Iterable[HostInterface]) -> None:
        """All of this host's interfaces that are no workload's, as they are now, with their addresses.

        Needed for host endpoints that say addresses and no interface. What is not found here may be told by the node's resource.
        """
        self._host_endpoints.interfaces_found(found)

    def override(self, settings: FelixConfigurationSpec) -> None:
        """What this host says itself, from now on."""
        if self._configuration.override(settings):
            self._configured()

    def in_sync(self) -> None:
        """All that the datastore held at the start has been passed to `update`."""
        self._in_sync = True
        self._sequencer.in_sync()

    def flush(self, revision: int) -> Batch:
        """What changed since the last flush; `revision` is that of the last update."""
        if self._in_sync:
            self._settle()
        return self._sequencer.flush(revision)

    def problems(self) -> Mapping[str, str]:
        """What is wrong with the datastore's objects, by key, as of the last flush: unreadable ones, those that cannot be in force,
        and rules in use here that we cannot enforce."""
        nodes = (
            self._dispatcher,
            self._scanner,
            self._policies,
            self._configuration,
            self._local,
            self._host_endpoints,
        )
        texts: defaultdict[str, set[str]] = defaultdict(set)
        for problem in (*self._peer_problems.values(), *(one for node in nodes for one in node.problems())):
            texts[problem.key].add(problem.text)
        return {key: "; ".join(sorted(texts[key])) for key in sorted(texts)}

    def failsafe_inbound(self) -> tuple[OpenPort, ...]:
        """This host's ports that must stay open, whatever happens."""
        return self._configuration.of(self._host).failsafe_inbound

    def log_severity(self) -> str:
        """What FelixConfiguration says about this agent's log, in Felix's words; empty: nothing."""
        return self._configuration.log_severity()

    def flow_log_interval_s(self) -> float | None:
        """How often this host's flows are written, in seconds; None: never."""
        return self._configuration.flow_log_interval_s()

    def peers(self) -> Iterator[tuple[str, PeerRecord]]:
        """Every endpoint and network set that there is, by its key: labels and addresses only."""
        return ((key, PeerRecord(labels, (), self._members.addresses(key))) for key, labels in self._labels.items())

    def follow_peers(self, told: PeerTold | None) -> None:
        """From now on those that change are told; None: no more."""
        self._peer_told = told

    def _settle(self) -> None:
        policies, endpoints = self._policies.take()
        for key, policy in policies.items():
            self._scanner.policy(key, policy)
        for name, profile in self._profiles.take().items():
            self._scanner.profile(name, profile)
        self._outgoing.settle()
        self._local.settle([*endpoints, *self._settle_floating()])
        self._host_endpoints.settle(endpoints)

    def _settle_floating(self) -> list[str]:
        """The endpoints that may have others now."""
        touched = self._floating.settle()
        for address in touched:
            self._routes.set_floating(address, self._floating.host(address))
        return [key for address in touched for key in self._floating.claimants(address)]

    def _workload_addresses(self) -> Iterator[tuple[str, Iterable[Addr | Cidr]]]:
        return ((key, own) for key, own in self._members.items() if key.startswith(keys.WORKLOADS))

    # --- what came -----------------------------------------------------------------------------------------------------

    def _workload(self, key: str, record: EndpointRecord | None) -> None:
        peer, local = (record.peer, record.local) if record else (None, None)
        self._peer(key, peer)
        self._local_peer(key, peer if local else None)
        host, floating = (record.host, record.floating) if record else ("", ())
        self._floating.set_endpoint(key, host, peer.addresses if peer else (), floating)
        if self._local.set(key, local):
            self._host_endpoints.workloads_changed()

    def _host_endpoint(self, key: str, record: HostEndpointRecord | None) -> None:
        peer, local = (record.peer, record.local) if record else (None, None)
        self._peer(key, peer)
        self._local_peer(key, peer if local else None)
        self._host_endpoints.set(key, local)

    def _peer(self, key: str, record: PeerRecord | None) -> None:
        # The addresses first: sets that the peer goes on matching exchange them, and those it leaves give back the new ones.
        peer = record or _NO_PEER
        self._members.replace(key, peer.addresses, peer.ports, self._labels.matches(key))
        if record is None:
            self._labels.remove_item(key)
        else:
            self._labels.set_item(key, record.labels, record.parents)
        self._note(key, peer.problem)
        if self._peer_told:
            self._peer_told(key, record)

    def _local_peer(self, key: str, record: PeerRecord | None) -> None:
        if record is None:
            self._policies.remove_endpoint(key)
        else:
            self._policies.set_endpoint(key, record.labels, record.parents)
        self._profiles.set_endpoint(key, record.parents if record else ())

    def _profile(self, key: str, profile: Profile | None) -> None:
        name = keys.name_of(key)
        labels = profile.spec.labels_to_apply if profile else {}
        self._labels.set_parent(name, labels)
        self._policies.set_profile(name, labels)
        self._profiles.set_profile(name, profile)

    def _tier(self, key: str, tier: Tier | None) -> None:
        self._policies.set_tier(keys.name_of(key), tier)

    def _configure(self, key: str, spec: FelixConfigurationSpec | None) -> None:
        if self._configuration.set(keys.name_of(key), spec):
            self._configured()

    def _configured(self) -> None:
        for endpoint, value in self._workloads.dependent():
            self._dispatcher.update(endpoint, value)
        self._host_endpoints.workloads_changed()
        self._outgoing.configure(self._configuration.overlay())

    def _node(self, key: str, node: NodeRecord | None) -> None:
        name = keys.name_of(key)
        self._routes.set_node(name, node)
        self._outgoing.set_node(name, node)
        self._floating.set_node(name, node.addresses if node else ())
        if name == self._host:
            self._host_endpoints.interfaces_written(node.interfaces if node else ())
            self._note(key, node.problem if node else "")

    def _block(self, key: str, block: BlockRecord | None) -> None:
        self._routes.set_block(key, block)

    # --- what nodes ask of each other ----------------------------------------------------------------------------------

    def _open_set(self, peer_set: PeerSet) -> None:
        self._members.open(peer_set, self._labels.add_selector(peer_set.set_id, peer_set.selector))

    def _close_set(self, set_id: str) -> None:
        # Forgotten by the index first: nothing may start or stop matching a set that is no more.
        self._labels.remove_selector(set_id)
        self._members.close(set_id)

    def _is_workload(self, interface: str) -> bool:
        """As `policy.cluster.Cluster.is_workload_interface`."""
        prefixes = self._configuration.of(self._host).interface_prefixes
        return interface in self._local or interface.startswith(prefixes)

    def _note(self, key: str, problem: str) -> None:
        if problem:
            self._peer_problems[key] = Problem(key, problem)
        else:
            self._peer_problems.pop(key, None)
