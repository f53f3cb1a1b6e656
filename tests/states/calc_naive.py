"""The whole answer computed from the whole datastore by plain loops: slow, and nothing to go wrong in it.

It stands on `policy.resolve`, which reads a whole cluster at once, and shares nothing with the graph but the readers' word on which
objects can be read, and the translation of single rules.
"""

from __future__ import annotations

from calc_mock import Picture, named_port_sets, named_sets
from calc_world import HOST, Content

from ocicat.calc import nat_settings, records
from ocicat.calc.limits import limited
from ocicat.calc.nat_endpoints import translations
from ocicat.calc.rules import wanted_rules
from ocicat.errors import UserError
from ocicat.model import keys, wanted
from ocicat.model.base import replace
from ocicat.model.codec import decode_json
from ocicat.model.net import Addr, Cidr
from ocicat.model.v3.endpoints import NetworkSet, WorkloadEndpoint
from ocicat.model.v3.kinds import KINDS
from ocicat.policy import endpoints as resolving
from ocicat.policy import resolve
from ocicat.policy.endpoints import EVERY_INTERFACE
from ocicat.policy.settings import Settings
from ocicat.policy.tiers import PolicyTable

LISTS = {
    "ingress": ("normal", "Ingress"),
    "egress": ("normal", "Egress"),
    "forward_ingress": ("forward", "Ingress"),
    "forward_egress": ("forward", "Egress"),
    "untracked_ingress": ("untracked", "Ingress"),
    "untracked_egress": ("untracked", "Egress"),
    "pre_dnat": ("pre-dnat", "Ingress"),
}
USED = (
    "WorkloadEndpoint",
    "HostEndpoint",
    "NetworkSet",
    "GlobalNetworkSet",
    "Profile",
    "Tier",
    "NetworkPolicy",
    "GlobalNetworkPolicy",
    "StagedNetworkPolicy",
    "StagedGlobalNetworkPolicy",
    "FelixConfiguration",
    "Node",
    "IPPool",
)
EVERYTHING_ALLOWED = Settings(source_spoofing=True, floating_addresses=True)
LINK_LOCAL = {Cidr.parse("fe80::/64"), Cidr.parse("::/128")}
MACS = dict.fromkeys(
    ("02:00:00:00:00:0a", "02-00-00-00-00-0A"), b"\2\0\0\0\0\n"
)  # as they may be written; all else is none


def picture_of(content: Content, interfaces=()) -> tuple[Picture, set[str]]:
    """What `HOST` should be asked for, and the keys that have a problem. `interfaces`: what the agent has found."""
    return _Naive(content, interfaces).answer()


class _Naive:
    def __init__(self, content: Content, interfaces) -> None:
        self.content = content
        self.problems: set[str] = set()
        self.resources = self._read()
        self.cluster = resolve(self.resources.values(), interfaces=interfaces)
        self.labels = {
            one.metadata.name: one.spec.labels_to_apply for one in self.resources.values() if one.kind == "Profile"
        }
        self.picture = Picture()
        self.policies = self._table()

    def _table(self):
        """Those in force, with the staged ones at their places."""
        enforced, staged = self.cluster.enforced, self.cluster.staged
        if staged is None:
            return enforced
        tiers = {tier.name: tier for tier in (*enforced.tiers, *staged.tiers)}
        return PolicyTable.of(
            tiers.values(), (*enforced.policies, *(one for one in staged.policies if one.kind.startswith("Staged")))
        )

    def answer(self) -> tuple[Picture, set[str]]:
        self.peers = list(self._peers())
        self.floating = self._all_floating()
        self._endpoints()
        self._host_endpoints()
        self._rules()
        self._sets()
        self._translations()
        self.picture.outgoing = self._outgoing()
        self.picture.settings = self._settings()
        self.picture.blocks.update(self._routes())
        self._problems()
        return self.picture, self.problems

    # --- reading -------------------------------------------------------------------------------------------------------

    def _read(self):
        found = {}
        for key, value in self.content.items():
            kind = next((KINDS[name] for name in USED if key.startswith(KINDS[name].prefix())), None)
            if kind is None:
                continue
            namespace, _, name = key.removeprefix(kind.prefix()).rpartition("/")
            try:
                resource = decode_json(kind.type, value)
                metadata = replace(resource.metadata, name=name, namespace=namespace)
                found[key] = replace(resource, metadata=metadata)
                self._check(key, value, found[key])
            except (UserError, ValueError, RecursionError):
                self.problems.add(key)
                found.pop(key, None)
        return found

    def _check(self, key, value, resource) -> None:
        """What the graph's readers refuse beside what policy does: ranges of addresses, names that no interface has."""
        if isinstance(resource, WorkloadEndpoint):
            records.endpoint_record(HOST, resource, EVERYTHING_ALLOWED)
        elif resource.kind == "HostEndpoint":
            records.read_host_endpoint(HOST, key, value)
        elif resource.kind == "Node":
            records.read_node(key, value)
        elif resource.kind == "IPPool":
            records.read_pool(key, value)

    # --- endpoints -----------------------------------------------------------------------------------------------------

    def _peers(self):
        """(key, peer, its addresses and prefixes, host, the resolved endpoint)"""
        for key, one in self.resources.items():
            try:
                if one.kind == "WorkloadEndpoint":
                    found = resolving.workload(one, self.labels, self.cluster.settings_at(one.spec.node))
                elif one.kind == "HostEndpoint":
                    found = resolving.host_endpoint(one, self.labels)
                elif one.kind in ("NetworkSet", "GlobalNetworkSet"):
                    yield key, self._set_labels(one), (), set(self._nets(key, one.spec.nets)), None
                    continue
                else:
                    continue
            except UserError:
                continue
            yield key, found.peer.labels, found.peer.ports, set(found.addresses), found

    def _set_labels(self, resource):
        if isinstance(resource, NetworkSet):
            return resolving.network_set(resource, self.labels).labels
        return resource.metadata.labels

    def _nets(self, key, texts):
        for text in texts:
            try:
                (net,) = resolving.nets([text])
            except UserError:
                self.problems.add(key)
            else:
                yield net.address if net.size == 1 else net

    def _local(self):
        return [(key, found) for key, _, _, _, found in self.peers if found and found.host == HOST]

    def _lists(self, endpoint, names):
        return {name: self._tiers(endpoint, *LISTS[name]) for name in names}

    def _tiers(self, endpoint, hook, direction):
        return tuple(
            wanted.Tier(
                one.tier.name,
                one.tier.default_action if self._decides(one, hook) else "Pass",
                tuple(self._policy_key(policy) for policy, _ in one.policies),
            )
            for one in self.policies.applying(endpoint, hook, direction)
        )

    @staticmethod
    def _decides(tier, hook):
        in_force = [policy for policy, _ in tier.policies if not policy.kind.startswith("Staged")]
        return hook in ("normal", "forward") and in_force

    @staticmethod
    def _policy_key(policy):
        return KINDS[policy.kind].key(policy.name, policy.namespace)

    def _endpoints(self) -> None:
        for (host, interface), found in self.cluster.workloads.items():
            if host == HOST:
                key = keys.workload(found.namespace, found.name)
                own = {address.cidr() for address in found.addresses} | self._refused(key)
                limits = limited(self.resources[key].spec.qos_controls)
                if limits.problems:
                    self.problems.add(key)
                self.picture.endpoints[key] = wanted.Endpoint(
                    key=key,
                    interface=interface,
                    addresses=tuple(dict.fromkeys(found.addresses)),
                    profiles=tuple(dict.fromkeys(found.profiles)),
                    sources=tuple(dict.fromkeys(net for net in found.sources if net not in own | LINK_LOCAL)),
                    ingress_limits=limits.ingress,
                    egress_limits=limits.egress,
                    dscp=limits.dscp,
                    mac=MACS.get(self.resources[key].spec.mac, b""),
                    **self._lists(found, ("ingress", "egress")),
                )

    def _refused(self, key):
        """Floating addresses that it asks for and does not have: it must not send from them either."""
        nats = resolving.floating(self.resources[key].spec, self.cluster.settings_at(HOST))
        asked = (Addr.parse(nat.external_ip) for nat in nats)
        return {outside.cidr() for outside in asked if self.floating.get(outside, ("",))[0] != key}

    def _translations(self) -> None:
        """Whoever comes first by key has what he asks for, if nobody before him has it."""
        taken = []
        for key, endpoint in sorted(self.picture.endpoints.items()):
            spec = self.resources[key].spec
            nats = resolving.floating(spec, self.cluster.settings_at(HOST))
            found = translations(nats, spec.ports, endpoint.addresses)
            floating = [self._floating(key, one) for one in found.floating]
            ports = [self._take(key, taken, one, (one.protocol, one.host_port)) for one in found.ports]
            self.picture.endpoints[key] = replace(
                endpoint, floating=tuple(filter(None, floating)), port_mappings=tuple(filter(None, ports))
            )
            if found.problems:
                self.problems.add(key)

    def _floating(self, key, claim):
        """Whoever comes first by key in the whole cluster, if it is nobody's own address."""
        if self.floating.get(claim.outside, ("",))[0] == key:
            return claim
        self.problems.add(key)
        return None

    def _all_floating(self):
        """address -> (key, host) of who has it."""
        found = {}
        workloads = [peer for peer in self.peers if peer[4] and peer[4].kind == "WorkloadEndpoint"]
        for key, _, _, _, one in sorted(workloads, key=lambda peer: peer[0], reverse=True):
            nats = resolving.floating(self.resources[key].spec, self.cluster.settings_at(one.host))
            for claim in translations(nats, (), one.addresses).floating:
                found[claim.outside] = key, one.host
        hosts = {address for node in self._nodes().values() for address in node.addresses}
        return {
            outside: (key, host)
            for outside, (key, host) in found.items()
            if outside not in hosts and not any(outside in own for other, _, _, own, _ in workloads if other != key)
        }

    def _nodes(self):
        return {
            keys.name_of(key): records.read_node(key, self.content[key])
            for key, one in self.resources.items()
            if one.kind == "Node"
        }

    def _take(self, key, taken, claim, what):
        for other, theirs in taken:
            if what == theirs and self._overlap(
                getattr(other, "host_address", None), getattr(claim, "host_address", None)
            ):
                self.problems.add(key)
                return None
        taken.append((claim, what))
        return claim

    @staticmethod
    def _overlap(one, other) -> bool:
        return not (one and other) or one == other or (one.family == other.family and 0 in (one.value, other.value))

    def _outgoing(self):
        pools = [one.spec for one in self.resources.values() if one.kind == "IPPool"]
        objects = [self.resources.get(KINDS["FelixConfiguration"].key(name)) for name in (f"node.{HOST}", "default")]
        found = nat_settings.settings([one.spec for one in objects if one])
        inside = [pool.cidr for pool in pools]
        if found.spares_hosts:
            nodes = [
                records.read_node(key, self.content[key]) for key, one in self.resources.items() if one.kind == "Node"
            ]
            inside += [str(address) for node in nodes for address in node.addresses]
        sources = [pool.cidr for pool in pools if pool.nat_outgoing]
        if not pools:
            return wanted.OutgoingNat()
        return wanted.OutgoingNat(
            sources=tuple(sorted({Cidr.parse(text) for text in sources})),
            inside=tuple(sorted({Cidr.parse(text) for text in inside})),
            ports=found.ports,
            addresses=(found.address,) if found.address else (),
            interface=found.interface,
        )

    def _host_endpoints(self) -> None:
        known = [name for host, name in self.cluster.interfaces if host == HOST]
        named = [found.interface for found in self.cluster.host_endpoints.get(HOST, ()) if found.interface]
        for interface in {*known, *named}:
            found = self.cluster.host_endpoint(HOST, interface, every=interface == EVERY_INTERFACE)
            if found is None:
                continue
            key = KINDS["HostEndpoint"].key(found.name)
            lists = self._lists(found, LISTS)
            if interface == EVERY_INTERFACE:
                lists["untracked_ingress"] = lists["untracked_egress"] = ()
                untracked = [one for one in self.cluster.enforced.policies if one.hook == "untracked"]
                if any(one.selector.matches(found.peer.labels) for one in untracked):
                    self.problems.add(key)
            profiles = tuple(dict.fromkeys(found.profiles))
            self.picture.host_endpoints[interface] = wanted.HostEndpoint(key, interface, profiles, **lists)

    # --- rules and sets ------------------------------------------------------------------------------------------------

    def _rules(self) -> None:
        self.wanted_sets = {}
        local = self._local()
        for policy in self.policies.policies:
            if any(policy.selector.matches(found.peer.labels) for _, found in local):
                self._add_policy(self._policy_key(policy), policy)
        for name in {name for _, found in local for name in found.profiles} & self.cluster.profiles.keys():
            profile = self.cluster.profiles[name]
            self.picture.profiles[name] = wanted.ProfileRules(
                name, wanted_rules(profile.ingress, self.wanted_sets), wanted_rules(profile.egress, self.wanted_sets)
            )
            self._note(keys.profile(name), self.picture.profiles[name])

    def _add_policy(self, key, policy) -> None:
        ingress = wanted_rules(policy.ingress or (), self.wanted_sets)
        self.picture.policies[key] = wanted.PolicyRules(
            key, ingress, wanted_rules(policy.egress or (), self.wanted_sets), policy.kind.startswith("Staged")
        )
        self._note(key, self.picture.policies[key])

    def _note(self, key, rules) -> None:
        if any(rule.problem for rule in (*rules.ingress, *rules.egress)):
            self.problems.add(key)

    def _sets(self) -> None:
        for set_id, one in self.wanted_sets.items():
            matching = [peer for peer in self.peers if one.selector.matches(peer[1])]
            if one.port:
                self.picture.port_sets[set_id] = {
                    (address, port.protocol, port.port)
                    for _, _, ports, addresses, _ in matching
                    for address in addresses
                    for port in ports
                    if (port.name, port.protocol) == (one.port, one.protocol)
                }
            else:
                self.picture.sets[set_id] = {member for _, _, _, addresses, _ in matching for member in addresses}
        owners = (*self.picture.profiles.values(), *self.picture.policies.values())
        assert self.picture.sets.keys() == {set_id for rules in owners for set_id in named_sets(rules)}
        assert self.picture.port_sets.keys() == {set_id for rules in owners for set_id in named_port_sets(rules)}

    # --- the rest ------------------------------------------------------------------------------------------------------

    def _settings(self):
        found = self.cluster.settings_at(HOST)
        return wanted.HostSettings(
            failsafe_inbound=tuple(wanted.OpenPort(one.protocol, one.port, one.net) for one in found.failsafe_inbound),
            failsafe_outbound=tuple(
                wanted.OpenPort(one.protocol, one.port, one.net) for one in found.failsafe_outbound
            ),
            endpoint_to_host=found.endpoint_to_host,
            vxlan_port=found.vxlan_port,
            vxlan_from_workloads=found.vxlan_from_workloads,
            ipip_from_workloads=found.ipip_from_workloads,
            log_prefix=found.log_prefix,
            mark=found.mark,
        )

    def _routes(self):
        nodes = self._nodes()
        for outside, (_, host) in self.floating.items():
            for address in nodes[host].addresses if host != HOST and host in nodes else ():
                if address.family == outside.family:
                    yield outside.cidr(), wanted.RemoteBlock(outside.cidr(), address)
        borrowed = {lent for block in self._blocks() for lent, _ in block.borrowed}
        for block in self._blocks():
            if block.cidr in borrowed:
                continue
            if block.host == HOST:
                yield block.cidr, wanted.LocalBlock(block.cidr)
            elif block.host in nodes:
                for address in nodes[block.host].addresses:
                    if address.family == block.cidr.family:
                        yield block.cidr, wanted.RemoteBlock(block.cidr, address)
        for block in self._blocks():
            for lent, host in block.borrowed:
                for address in nodes[host].addresses if host != HOST and host in nodes else ():
                    if address.family == lent.family:
                        yield lent, wanted.RemoteBlock(lent, address)

    def _blocks(self):
        for key, value in self.content.items():
            if key.startswith(keys.BLOCKS):
                try:
                    yield records.read_block(key, value)
                except (UserError, ValueError, RecursionError):
                    self.problems.add(key)

    def _problems(self) -> None:
        """What resolving has told. Rules that nobody here uses, and what concerns other hosts only, the graph does not tell."""
        for key, one in self.resources.items():
            if one.kind == "FelixConfiguration" and (
                one.metadata.name == "default" or one.metadata.name.startswith("node.")
            ):
                self.problems |= {key} if nat_settings.problems(one.spec) else set()
        for problem in self.cluster.problems:
            kind, _, rest = problem.subject.partition("/")
            namespace, _, name = rest.rpartition("/")
            key = KINDS[kind].key(name, namespace)
            resource = self.resources[key]
            elsewhere = kind in ("WorkloadEndpoint", "HostEndpoint") and resource.spec.node != HOST
            of_others = problem.text.startswith(("not in force: WorkloadEndpoint", "doNotTrack")) and elsewhere
            of_node = kind == "Node" and name != HOST
            of_rules = "whatever reaches it" in problem.text or problem.text.startswith("doNotTrack")
            if not (of_others or of_node or of_rules):
                self.problems.add(key)
