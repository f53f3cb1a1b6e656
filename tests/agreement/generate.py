"""Random small clusters in which everything meets everything: a function of the seed alone.

Promises:
1. `cluster(seed)` is the same for the same seed, in every process. Every resource in it passes `ocicat.validate`.
2. Everything that policy can say occurs: `features` names what a cluster holds, and a test counts them.

Few label values, networks that cut between the endpoints' addresses, and few ports, so that rules seldom miss everything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

from cluster import Cluster, Host, Json

from ocicat.model.names import WorkloadEndpointIds

API = "projectcalico.org/v3"
NAMESPACES = ("red", "blue")
LABELS = {"role": ("web", "db"), "env": ("prod", "dev"), "app": ("web-1", "web-2", "db-1")}
ACCOUNTS = ("robot", "admin")
PROFILES = ("kns.red", "kns.blue", "ksa.red.robot", "open", "picky")
DEFAULT_ALLOW, LOST = "projectcalico-default-allow", "lost"
"""The one that is always there and the one that nobody makes."""

NETS = {
    4: (
        "10.0.0.0/29", "10.0.0.4/30", "10.0.0.0/16", "10.0.0.2/32", "10.0.0.3/32", "10.0.1.0/24", "192.168.0.0/24",
        "192.168.0.1/32", "198.51.100.0/25", "198.51.100.128/25", "203.0.113.7/32", "128.0.0.0/1",
    ),
    6: (
        "fd00::/125", "fd00::4/126", "fd00::/64", "fd00::2/128", "fd00::3/128", "fd00:1::/64", "fd00:ff::/64",
        "fd00:ff::1/128", "2001:db8::/65", "2001:db8:0:0:8000::/65", "2001:db8:7::7/128", "2000::/3",
    ),
}  # fmt: skip
SET_NETS = (*NETS[4], *NETS[6], "10.0.0.1", "fd00::1", "10.0.0.77/24")
"""A set may also hold bare addresses, and prefixes whose host bits are not zero."""

PORTS = (
    "80", "8080", "53", "22", "1000:2000", "80:90", "2000:2010", "65535", "1:79", "80:80", "http", "dns", "none-such", "http",
    "dns",
)  # fmt: skip
MANY_PORTS = tuple(str(port) for port in range(21, 91, 3))
"""More than iptables takes in one rule."""

PROTOCOLS = (
    *(None,) * 10, *("TCP",) * 6, *("UDP", "SCTP", "ICMP", "ICMPv6") * 2, "UDPLite", 6, 47, "17", 1, 58, 132, 136, 255,
)  # fmt: skip
ICMP_FAMILY = {"ICMP": 4, 1: 4, "ICMPv6": 6, 58: 6}
WITH_PORTS = ("TCP", "UDP", "SCTP", 6, "17", 132)
TOLD_BY_VALUE = (".action", ".protocol", ".notProtocol", ".types", ".stagedAction")
"""The fields whose values are features of their own."""

PORT_NAMES = ("http", "dns")
ORDERS = (None, None, 10, 10, 20, 10.5, -1, 0, -0.0, 1e300)


def cluster(seed: int) -> Cluster:
    return Generator(Random(seed)).cluster()


def features(made: Cluster) -> Counter[str]:
    """Every kind, and every field of every kind by its path, with how often it says something."""
    return Counter(path for resource in made.resources for path in _paths(resource["spec"], str(resource["kind"])))


def _paths(value: object, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        yield path
        for name, inner in value.items():
            yield from _paths(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from _paths(inner, path)
    else:
        yield f"{path}={value}" if path.endswith(TOLD_BY_VALUE) else path


@dataclass(slots=True)
class Generator:
    random: Random
    made: list[Json] = field(default_factory=list)
    tiers: list[str] = field(default_factory=lambda: ["default"])
    spoofing: bool = False

    def cluster(self) -> Cluster:
        hosts = [self.host(number) for number in range(1, self.random.randint(2, 3) + 1)]
        self.settings(hosts)
        self.profiles()
        self.make_tiers()
        address = 0
        for host in hosts:
            for _ in range(self.random.randint(1, 3)):
                address += 1
                self.workload(host, address)
        for host in hosts:
            self.host_endpoints(host)
        self.sets()
        many = 20 if self.chance(0.06) else 7  # as many rules in one tier as are looked up and not walked
        for number in range(self.random.randint(1, many)):
            self.policy(number)
        return Cluster(tuple(self.made), tuple(hosts))

    # --- chance -----------------------------------------------------------------------------------------------------

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def some(self, values: tuple[str, ...], low: int = 1, high: int = 2) -> list[str]:
        """Each once, in random order."""
        shuffled = list(dict.fromkeys(self.random.sample(values, len(values))))
        return shuffled[: self.random.randint(low, min(high, len(shuffled)))]

    def add(self, kind: str, name: str, spec: Json, **metadata: object) -> None:
        given = {key: value for key, value in metadata.items() if value}
        self.made.append({"apiVersion": API, "kind": kind, "metadata": {"name": name, **given}, "spec": spec})

    def labels(self) -> dict[str, str]:
        return {name: self.random.choice(values) for name, values in LABELS.items() if self.chance(0.6)}

    def optional(self, share: float, make: Callable[[], Json]) -> Json:
        return make() if self.chance(share) else {}

    # --- hosts and what is on them ----------------------------------------------------------------------------------

    def host(self, number: int) -> Host:
        interfaces = {"eth0": (f"192.168.0.{number}", f"fd00:ff::{number}")}
        if self.chance(0.6):
            interfaces["eth1"] = (f"198.51.100.{number}", f"2001:db8::{number}")
        return Host(f"h{number}", interfaces)

    def settings(self, hosts: list[Host]) -> None:
        self.spoofing = self.chance(0.5)
        if self.spoofing or self.chance(0.4):
            any_source = {"workloadSourceSpoofing": "Any"} if self.spoofing else {}
            self.add("FelixConfiguration", "default", self.felix() | any_source)
        if self.chance(0.3):
            self.add("FelixConfiguration", f"node.{self.random.choice(hosts).name}", self.felix())

    def felix(self) -> Json:
        choose = self.random.choice
        spec = {
            "defaultEndpointToHostAction": choose(("Drop", "Accept", "Return")),
            "failsafeInboundHostPorts": self.failsafe(),
            "failsafeOutboundHostPorts": self.failsafe(),
            "allowVXLANPacketsFromWorkloads": choose((True, False)),
            "allowIPIPPacketsFromWorkloads": choose((True, False)),
            "vxlanPort": choose((4789, 8472)),
        }
        return {name: value for name, value in spec.items() if self.chance(0.6)}

    def failsafe(self) -> list[Json]:
        ports = [{"protocol": "TCP", "port": 22}, {"protocol": "udp", "port": 53}, {"protocol": "TCP", "port": 80}]
        nets = [{"protocol": "TCP", "port": 1000, "net": net} for net in ("198.51.100.0/25", "2001:db8::/65")]
        return self.random.sample([*ports, *nets], self.random.randint(0, 3))

    def workload(self, host: Host, number: int) -> None:
        namespace = self.random.choice(NAMESPACES)
        ids = WorkloadEndpointIds(node=host.name, orchestrator="mesos", workload=f"task{number}", endpoint="eth0")
        spec: Json = {
            "orchestrator": ids.orchestrator, "workload": ids.workload, "node": ids.node, "endpoint": ids.endpoint,
            "interfaceName": f"cali{number}", "ipNetworks": self.addresses(number),
        }  # fmt: skip
        spec |= self.optional(0.85, lambda: {"profiles": self.profile_names()})
        spec |= self.optional(0.9, lambda: {"ports": self.named_ports()})
        spec |= self.optional(0.4, lambda: {"serviceAccountName": self.random.choice(ACCOUNTS)})
        if self.chance(0.2 if self.spoofing else 0.01):
            spec["allowSpoofedSourcePrefixes"] = ["203.0.113.0/24", "2001:db8:7::/48"]
        stored = {"projectcalico.org/namespace": namespace, "projectcalico.org/orchestrator": "mesos"}
        claims = self.optional(0.15, lambda: {"pcns.team": "core", "pcsa.level": "high"})
        self.add(
            "WorkloadEndpoint", ids.name(), spec, namespace=namespace, labels={**self.labels(), **stored, **claims}
        )

    def profile_names(self) -> list[str]:
        names = self.some((*PROFILES, "open", "open"), 1, 3)
        extra = [name for name, share in ((DEFAULT_ALLOW, 0.12), (LOST, 0.06)) if self.chance(share)]
        return extra + names if self.chance(0.3) else names + extra

    def addresses(self, number: int) -> list[str]:
        """Of both families mostly; several now and then, and rarely none yet."""
        both = [f"10.0.0.{number}/32", f"fd00::{number:x}/128"]
        if self.chance(0.02):
            return []
        second = [f"10.0.1.{number}/32", f"fd00:1::{number:x}/128"] if self.chance(0.1) else []
        return self.random.choice((both, both, both[:1], both[1:])) + second

    def named_ports(self) -> list[Json]:
        ports = [
            ("http", "TCP", 80),
            ("http", "TCP", 8080),
            ("dns", "UDP", 53),
            ("dns", "TCP", 53),
            ("http", "SCTP", 80),
        ]
        chosen = self.random.sample(ports, self.random.randint(1, 3))
        return [{"name": name, "protocol": protocol, "port": port} for name, protocol, port in chosen]

    def host_endpoints(self, host: Host) -> None:
        shapes: list[Json] = [{"interfaceName": interface} for interface in host.interfaces] + [{"interfaceName": "*"}]
        shapes += [{"expectedIPs": self.some(addresses)} for addresses in host.interfaces.values()]
        for number, shape in enumerate(self.random.sample(shapes, self.random.choice((0, 1, 2, 2)))):
            spec: Json = {"node": host.name, **shape}
            if "expectedIPs" not in spec and self.chance(0.8):
                spec["expectedIPs"] = [address for own in host.interfaces.values() for address in own]
            spec |= self.optional(0.5, lambda: {"profiles": self.profile_names()})
            spec |= self.optional(0.9, lambda: {"ports": self.named_ports()})
            claims = self.optional(0.04, lambda: {"projectcalico.org/namespace": "red", "pcns.team": "core"})
            self.add("HostEndpoint", f"{host.name}-{number}", spec, labels={"host": "yes", **self.labels(), **claims})

    def profiles(self) -> None:
        for name in PROFILES:
            spec: Json = {}
            if name.startswith("kns."):
                spec["labelsToApply"] = {"pcns.team": self.random.choice(("core", "web")), "env": "prod"}
            elif name.startswith("ksa."):
                spec["labelsToApply"] = {"pcsa.level": self.random.choice(("high", "low"))}
            elif self.chance(0.5):
                spec["labelsToApply"] = self.labels()
            if name == "open" or self.chance(0.4):
                spec |= {"ingress": [{"action": "Allow"}], "egress": [{"action": "Allow"}]}
            for direction in ("ingress", "egress"):
                spec[direction] = self.rules(0, 2) + spec.get(direction, [])
            self.add("Profile", name, spec)

    def sets(self) -> None:
        for number in range(self.random.randint(0, 2)):
            spec = {"nets": self.some(SET_NETS, 0, 4)}
            namespace = self.random.choice(NAMESPACES)
            self.add("NetworkSet", f"set{number}", spec, namespace=namespace, labels=self.labels())
        for number in range(self.random.randint(0, 2)):
            everything = self.optional(0.1, lambda: {"nets": ["0.0.0.0/0", "::/0"]})
            spec = {"nets": self.some(SET_NETS, 0, 4)} | everything
            self.add("GlobalNetworkSet", f"global{number}", spec, labels=self.labels())

    # --- policies ---------------------------------------------------------------------------------------------------

    def make_tiers(self) -> None:
        """Those that are always there need no resource."""
        if self.chance(0.9):
            self.add("Tier", "default", {"order": 1_000_000, "defaultAction": "Deny"})
        self.tiers += [name for name in ("kube-admin", "kube-baseline") if self.chance(0.08)]
        for name, order in (("first", 10), ("second", 10), ("after", 2_000_000), ("late", None)):
            if self.chance(0.4):
                default = self.random.choice(("Deny", "Pass", "Pass"))
                self.add("Tier", name, {"defaultAction": default, **({} if order is None else {"order": order})})
                self.tiers.append(name)

    def policy(self, number: int) -> None:
        kinds = ("NetworkPolicy", "GlobalNetworkPolicy", "GlobalNetworkPolicy")
        kind = ("Staged" if self.chance(0.15) else "") + self.random.choice(kinds)
        tier = self.random.choice(self.tiers)
        namespace = "" if "Global" in kind else self.random.choice(NAMESPACES)
        # Names that are each other's beginnings: the order among equals is not that of the names alone.
        name = self.random.choice((f"{tier}.p", f"{tier}.p-1", f"{tier}.p{number}"))
        if any((made["kind"], made["metadata"]["name"]) == (kind, name) for made in self.made):
            name = f"{tier}.p{number}x"
        spec = {"tier": tier, **self.policy_spec(is_global="Global" in kind)}
        if kind.startswith("Staged"):
            action = self.random.choice(("", "Set", "Set", "Learn", "Delete", "Ignore"))
            spec = {"tier": tier} if action == "Delete" else spec
            spec |= {"stagedAction": action} if action else {}
        self.add(kind, name, spec, namespace=namespace)

    def policy_spec(self, *, is_global: bool) -> Json:
        spec: Json = {}
        order = self.random.choice(ORDERS)
        if order is not None:
            spec["order"] = order
        spec |= self.optional(0.7, lambda: {"selector": self.policy_selector(is_global=is_global)})
        spec |= self.optional(0.1, lambda: {"serviceAccountSelector": self.account_selector()})
        if is_global:
            spec |= self.optional(0.15, lambda: {"namespaceSelector": self.namespace_selector()})
            spec |= self.host_policy()
        directions = self.random.choice((("ingress",), ("egress",), ("ingress", "egress")))
        if spec.get("preDNAT"):
            directions = ("ingress",)
        for direction in directions:
            spec[direction] = self.rules(0 if self.chance(0.15) else 1, 4)
        if self.chance(0.8) or spec.get("preDNAT"):
            spec["types"] = [direction.capitalize() for direction in directions]
        if self.chance(0.05) and not spec.get("preDNAT"):  # whatever rules there are
            spec["types"] = self.some(("Ingress", "Egress"))
        return spec

    def host_policy(self) -> Json:
        """Asked before routing or of what passes through: of interest to host endpoints only."""
        chosen = self.random.choice(("", "", "", "applyOnForward", "applyOnForward", "doNotTrack", "preDNAT"))
        spec: Json = {chosen: True, "applyOnForward": True} if chosen else {}
        if chosen in ("doNotTrack", "preDNAT") and self.chance(0.8):
            spec["selector"] = self.random.choice(("has(host)", "all()", "host == 'yes'"))
        return spec

    def policy_selector(self, *, is_global: bool) -> str:
        return self.random.choice(("has(host)", "all()")) if is_global and self.chance(0.35) else self.selector()

    def selector(self) -> str:
        first = self.comparison()
        if self.chance(0.08):  # of one level more
            return f"!!({self.selector()} || !({self.selector()})) && {first}"
        if self.chance(0.25):
            return f"{first} {self.random.choice(('&&', '||'))} {self.comparison()}"
        return f"!({first})" if self.chance(0.1) else first

    def comparison(self) -> str:
        label = self.random.choice(tuple(LABELS))
        value = self.random.choice(LABELS[label])
        forms = (
            f"{label} == '{value}'", f"{label} == '{value}'", f"{label} != '{value}'", f"has({label})", f"!has({label})",
            f"{label} in {{'{value}', 'other'}}", f"{label} not in {{'{value}'}}", f"{label} contains '{value[:2]}'",
            f"{label} starts with '{value[0]}'", f"{label} ends with '{value[-1]}'", "all()",
            "projectcalico.org/namespace == 'red'", "has(projectcalico.org/namespace)", "has(projectcalico.org/serviceaccount)",
            "projectcalico.org/orchestrator == 'mesos'",
        )  # fmt: skip
        return self.random.choice(forms)

    def namespace_selector(self) -> str:
        return self.random.choice(
            ("team == 'core'", "team != 'core'", "has(team)", "!has(team)", "all()", "team in {'web'}")
        )

    def account_selector(self) -> str:
        return self.random.choice(("level == 'high'", "level != 'high'", "has(level)", "all()"))

    # --- rules ------------------------------------------------------------------------------------------------------

    def rules(self, low: int, high: int) -> list[Json]:
        """Now and then the last one is for all that the others leave."""
        rules = [self.rule() for _ in range(self.random.randint(low, high))]
        return rules + (
            [{"action": self.random.choice(("Allow", "Allow", "Pass", "Deny"))}] if self.chance(0.3) else []
        )

    def rule(self) -> Json:
        family = self.random.choice((4, 6))
        rule: Json = {"action": self.random.choice(("Allow", "Allow", "Allow", "Deny", "Deny", "Pass", "Log"))}
        protocol = self.random.choice(PROTOCOLS)
        if protocol is not None:
            rule["protocol"] = protocol
        if self.chance(0.2 if protocol is None else 0.05):
            rule["notProtocol"] = self.random.choice(("TCP", "UDP", "UDP", "SCTP", 47, "ICMP", "ICMPv6", 6, 255))
        if protocol in ICMP_FAMILY:
            family = ICMP_FAMILY[protocol]
            rule |= self.optional(0.8, lambda: {self.random.choice(("icmp", "icmp", "notICMP")): self.icmp(family)})
        elif protocol is None and "notProtocol" not in rule and self.chance(0.05):
            rule["notICMP"] = self.icmp(family)
        family = ICMP_FAMILY.get(rule.get("notProtocol"), family)
        if self.chance(0.15) and ICMP_FAMILY.get(protocol, family) == family:
            rule["ipVersion"] = family
        for side in ("source", "destination"):
            rule |= self.optional(0.4, lambda side=side: {side: self.entity(family, protocol)})
        return rule

    def icmp(self, family: int) -> Json:
        kind = self.random.choice((8, 0, 3, 254) if family == 4 else (128, 129, 1, 135, 135, 254))
        return {"type": kind, **self.optional(0.8, lambda: {"code": self.random.choice((0, 0, 1, 255))})}

    def entity(self, family: int, protocol: str | int | None) -> Json:
        """One condition or two: the more there are, the less each of them decides."""
        makers: dict[str, tuple[int, Callable[[], object]]] = {
            "selector": (4, self.selector),
            "notSelector": (2, self.comparison),
            "namespaceSelector": (3, lambda: self.random.choice((self.namespace_selector(), "global()", "all()"))),
            "serviceAccounts": (3, self.accounts),
            "nets": (3, lambda: self.some(NETS[family], 1, 3)),
            "notNets": (2, lambda: self.some(NETS[family], 1, 2)),
        }
        if protocol in WITH_PORTS:
            makers |= {"ports": (8, lambda: self.ports(PORTS)), "notPorts": (6, lambda: self.ports(PORTS))}
        elif protocol is None:
            makers |= {"ports": (2, lambda: self.some(PORT_NAMES)), "notPorts": (1, lambda: self.some(PORT_NAMES))}
        weights = [weight for weight, _ in makers.values()]
        chosen = self.random.choices(tuple(makers), weights, k=self.random.choice((1, 1, 2)))
        return {name: makers[name][1]() for name in dict.fromkeys(chosen)}

    def accounts(self) -> Json:
        if self.chance(0.05):
            return {}
        names = self.optional(0.4, lambda: {"names": self.some(ACCOUNTS)})
        return names | self.optional(0.6, lambda: {"selector": self.account_selector()})

    def ports(self, values: tuple[str, ...]) -> list[str | int]:
        if self.chance(0.04):
            return [int(port) for port in self.some(MANY_PORTS, 16, 24)] + self.some(PORT_NAMES, 0, 1)
        written = self.some(PORT_NAMES) if self.chance(0.4) else self.some(values, 1, 3)
        return [int(port) if port.isdigit() and self.chance(0.7) else port for port in written]
