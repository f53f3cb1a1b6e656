"""Questions with answers known beforehand, each with its reason: what the oracle itself is held to.

All happen on one host, h1, with the interfaces eth0 and eth1 and two workloads: `web` (10.0.0.1, fd00::1, namespace red, cali1)
and `db` (10.0.0.2, fd00::2, namespace blue, cali2), both with the profile `open` that allows everything.
"""

from __future__ import annotations

from dataclasses import dataclass

from cluster import NUMBERS, WITH_PORTS, Cluster, Hop, Host, Json, Outside, Packet, Place, TheHost, Workload

API = "projectcalico.org/v3"
HOST = Host("h1", {"eth0": ("192.168.0.1", "fd00:ff::1"), "eth1": ("198.51.100.1", "2001:db8::1")})
ALLOW, DENY, PASS, LOG = ({"action": action} for action in ("Allow", "Deny", "Pass", "Log"))

INTERFACES = {"web": "cali1", "db": "cali2", "host": "", "eth0": "eth0", "eth1": "eth1", "nobody": "cali9"}
PLACES: dict[str, Place] = {
    "web": Workload("red", "h1-mesos-web-eth0"),
    "db": Workload("blue", "h1-mesos-db-eth0"),
    "host": TheHost("h1"),
    **{interface: Outside("h1", interface) for interface in ("eth0", "eth1", "cali9")},
}
OWN = {
    "web": ("10.0.0.1", "fd00::1"),
    "db": ("10.0.0.2", "fd00::2"),
    "host": ("192.168.0.1", "fd00:ff::1"),
    "eth0": ("192.168.0.9", "fd00:ff::9"),
    "eth1": ("198.51.100.9", "2001:db8::9"),
    "nobody": ("10.0.0.9", "fd00::9"),
}


@dataclass(frozen=True, slots=True)
class Case:
    """`expected`: "" if the packet comes through, "untracked" if without tracking, else the stage that drops it and why."""

    reason: str
    expected: str
    cluster: Cluster
    packet: Packet


def resource(kind: str, name: str, spec: Json, **metadata: object) -> Json:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name, **metadata}, "spec": spec}


def workload(which: str, **changes: object) -> Json:
    labels = {"role": which, **changes.pop("labels", {})}
    spec = {
        "orchestrator": "mesos", "workload": which, "node": "h1", "endpoint": "eth0", "interfaceName": INTERFACES[which],
        "ipNetworks": [f"{OWN[which][0]}/32", f"{OWN[which][1]}/128"], "profiles": ["open"], **changes,
    }  # fmt: skip
    return resource("WorkloadEndpoint", PLACES[which].name, spec, namespace=PLACES[which].namespace, labels=labels)


def host_endpoint(name: str = "hep", interface: str = "eth0", **changes: object) -> Json:
    labels = changes.pop("labels", {"host": "yes"})
    return resource("HostEndpoint", name, {"node": "h1", "interfaceName": interface, **changes}, labels=labels)


def profile(name: str, **spec: object) -> Json:
    return resource("Profile", name, spec)


def tier(name: str, order: float | None = None, default: str = "Deny") -> Json:
    return resource("Tier", name, {"order": order, "defaultAction": default})


def everywhere(name: str = "p", **spec: object) -> Json:
    """A GlobalNetworkPolicy."""
    return resource("GlobalNetworkPolicy", name, spec)


def in_red(name: str = "p", **spec: object) -> Json:
    """A NetworkPolicy in the namespace of `web`."""
    return resource("NetworkPolicy", name, spec, namespace="red")


def felix(name: str = "default", **spec: object) -> Json:
    return resource("FelixConfiguration", name, spec)


def case(
    reason: str,
    expected: str,
    *resources: Json,
    way: str = "web db",
    family: int = 4,
    protocol: str | int = "TCP",
    **fields: object,
) -> Case:
    """`way`: from whom to whom. A resource given replaces the one of the same name that is always there."""
    sender, receiver = way.split()
    number = NUMBERS[protocol] if isinstance(protocol, str) else protocol
    ports = number in WITH_PORTS
    packet = Packet(
        family,
        fields.get("source", OWN[sender][family == 6]),
        fields.get("destination", OWN[receiver][family == 6]),
        number,
        fields.get("source_port", 40000) if ports else None,
        fields.get("port", 80) if ports else None,
        fields.get("icmp_type"),
        fields.get("icmp_code", 0) if "icmp_type" in fields else None,
        PLACES.get(sender, PLACES["cali9"]),
        PLACES.get(receiver, PLACES["cali9"]),
        (Hop("h1", INTERFACES[sender], INTERFACES[receiver], fields.get("translated")),),
    )
    always = (workload("web"), workload("db"), profile("open", ingress=[ALLOW], egress=[ALLOW]))
    given = {(one["kind"], one["metadata"]["name"]) for one in resources}
    kept = [one for one in always if (one["kind"], one["metadata"]["name"]) not in given]
    return Case(reason, expected, Cluster((*kept, *resources), (HOST,)), packet)


def to_db(**rule: object) -> Json:
    """A policy on `db` whose only rule allows what is given; all else meets the end of the tier."""
    return everywhere(selector="role == 'db'", ingress=[{**ALLOW, **rule}])


END = "workload-ingress end-of-tier default"
EMPTY = everywhere(selector="role == 'db'", types=["Ingress"])
BEFORE_NAT = {"selector": "has(host)", "preDNAT": True, "applyOnForward": True}
MAPPED = {"way": "eth0 db", "destination": "192.168.0.1", "port": 8080, "translated": ("10.0.0.2", 80)}
ICMP = {"protocol": "ICMP", "icmp_type": 8}

CASES = [
    # Profiles: asked where no policy decides.
    case("without policy the profiles decide", ""),
    case("no profile: nothing allows", "workload-egress no-profile", workload("web", profiles=[])),
    case("a missing profile denies", "workload-egress missing-profile lost", workload("web", profiles=["lost"])),
    case("a profile before the missing one decides", "", workload("web", profiles=["open", "lost"])),
    case("a missing profile denies before those after it are asked", "workload-egress missing-profile lost",
         workload("web", profiles=["lost", "open"])),
    case("the default-allow profile is always there", "", workload("web", profiles=["projectcalico-default-allow"])),
    case("the first profile that decides wins", "workload-egress Profile /shut egress 0",
         profile("shut", egress=[DENY]), workload("web", profiles=["shut", "open"])),
    case("Pass in a profile leaves the packet to the next one", "", profile("pass", egress=[PASS, DENY]),
         workload("web", profiles=["pass", "open"])),
    # Tiers.
    case("a policy that applies ends its tier with Deny", END, EMPTY),
    case("Log decides nothing", END, everywhere(selector="role == 'db'", ingress=[LOG])),
    case("Allow ends everything", "", everywhere(selector="role == 'db'", ingress=[ALLOW, DENY])),
    case("Deny ends everything", "workload-ingress GlobalNetworkPolicy /p ingress 0",
         everywhere(selector="role == 'db'", ingress=[DENY, ALLOW])),
    case("Pass goes on to the profiles after the last tier", "",
         everywhere(selector="role == 'db'", ingress=[PASS, DENY])),
    case("Pass goes on to the next tier", END, tier("t", 1), everywhere("t.p", tier="t", ingress=[PASS]), EMPTY),
    case("Pass skips the rest of its tier", "", everywhere("p1", order=1, ingress=[PASS]),
         everywhere("p2", ingress=[DENY])),
    case("a tier with default action Pass leaves the packet to the next", "", tier("t", 1, "Pass"),
         everywhere("t.p", tier="t", types=["Ingress"])),
    case("a tier without a policy for the endpoint does nothing", "", tier("t", 1),
         everywhere("t.p", tier="t", selector="no == ''")),
    case("a policy for the other direction is no policy for this one", "",
         everywhere(selector="role == 'db'", types=["Egress"])),
    case("tiers by order", "workload-ingress end-of-tier a", tier("a", 1), tier("b", 2),
         everywhere("a.p", tier="a", types=["Ingress"]), everywhere("b.p", tier="b", types=["Ingress"])),
    case("a tier without order comes last", END, tier("a"), everywhere("a.p", tier="a", types=["Ingress"]), EMPTY),
    case("a tier that nobody made denies as any other", "workload-ingress end-of-tier gone",
         everywhere("gone.p", tier="gone", types=["Ingress"])),
    case("a tier that nobody made comes after one without an order", "workload-ingress end-of-tier z", tier("z"),
         everywhere("z.p", tier="z", types=["Ingress"]), everywhere("gone.p", tier="gone", types=["Ingress"])),
    case("tiers of equal order by name", "workload-ingress end-of-tier a", tier("b", 1), tier("a", 1),
         everywhere("a.p", tier="a", types=["Ingress"]), everywhere("b.p", tier="b", types=["Ingress"])),
    case("policies by order, none last", "workload-ingress GlobalNetworkPolicy /b ingress 0",
         everywhere("a", ingress=[ALLOW]), everywhere("b", order=5, ingress=[DENY])),
    case("policies of equal order by name/namespace/kind as one text: a-b is before a",
         "workload-egress GlobalNetworkPolicy /a-b egress 0", everywhere("a", egress=[ALLOW]),
         everywhere("a-b", egress=[DENY])),
    case("staged policies decide nothing", "", resource("StagedGlobalNetworkPolicy", "p", {"ingress": [DENY]})),
    case("a tier of staged policies alone has no end", "", tier("t", 1),
         resource("StagedGlobalNetworkPolicy", "t.p", {"tier": "t", "selector": "role == 'db'", "types": ["Ingress"]})),
    case("nor one whose other policies are for others", "", tier("t", 1),
         resource("StagedGlobalNetworkPolicy", "t.p", {"tier": "t", "types": ["Ingress"]}),
         everywhere("t.q", tier="t", selector="role == 'web'", types=["Ingress"])),
    case("of one name and order a global policy is before one of a namespace", "workload-egress GlobalNetworkPolicy /a egress 0",
         in_red("a", egress=[ALLOW]), everywhere("a", egress=[DENY])),
    case("order 0 is before none", "workload-ingress GlobalNetworkPolicy /b ingress 0",
         everywhere("a", ingress=[ALLOW]), everywhere("b", order=0, ingress=[DENY])),
    case("an order below 0 is before 0", "workload-ingress GlobalNetworkPolicy /b ingress 0",
         everywhere("a", order=0, ingress=[ALLOW]), everywhere("b", order=-0.5, ingress=[DENY])),
    # Types.
    case("without types and rules a policy is for ingress", END, everywhere(selector="role == 'db'")),
    case("with egress rules alone it is for egress alone", "", everywhere(selector="role == 'db'", egress=[DENY])),
    case("types before rules: ingress rules of an egress policy are not asked", "",
         everywhere(types=["Egress"], ingress=[DENY], egress=[ALLOW])),
    case("a type without rules ends its tier", "workload-egress end-of-tier default",
         everywhere(types=["Ingress", "Egress"], ingress=[ALLOW])),
    # Whom a policy selects.
    case("no selector selects all", "workload-egress end-of-tier default", everywhere(types=["Egress"])),
    case("an empty one, all of its namespace", "workload-egress end-of-tier default", in_red(selector="", types=["Egress"])),
    case("with all() as well", "workload-egress end-of-tier default", in_red(selector="all()", types=["Egress"])),
    case("a namespaced policy selects in its namespace only", "", in_red(selector="role == 'db'", ingress=[DENY])),
    case("a namespaced policy selects in its namespace", "workload-egress end-of-tier default",
         in_red(types=["Egress"])),
    case("an endpoint cannot claim another namespace", "",
         workload("db", labels={"projectcalico.org/namespace": "red"}),
         in_red(selector="role == 'db'", ingress=[DENY])),
    case("an endpoint cannot claim its namespace's labels", "", workload("db", labels={"pcns.team": "core"}),
         everywhere(namespaceSelector="team == 'core'", ingress=[DENY])),
    case("profiles bring the namespace's labels", "workload-ingress GlobalNetworkPolicy /p ingress 0",
         profile("kns.blue", labelsToApply={"pcns.team": "core"}), workload("db", profiles=["kns.blue"]),
         everywhere(namespaceSelector="team == 'core'", ingress=[DENY])),
    case("own labels go before a profile's", "",
         profile("open", labelsToApply={"role": "shut"}, ingress=[ALLOW], egress=[ALLOW]),
         everywhere(selector="role == 'shut'", ingress=[DENY])),
    case("the service account is a label", "workload-ingress GlobalNetworkPolicy /p ingress 0",
         workload("db", serviceAccountName="robot"),
         everywhere(selector="projectcalico.org/serviceaccount == 'robot'", ingress=[DENY])),
    # What a rule matches.
    case("selector: any endpoint that has the source address", "", to_db(source={"selector": "role == 'web'"})),
    case("selector: nobody known has the address", END, to_db(source={"selector": "all()"}), way="eth0 db"),
    case("an empty selector says nothing: strangers too", "", to_db(source={"selector": ""}), way="eth0 db"),
    case("no service accounts said says nothing", "", to_db(source={"serviceAccounts": {}}), way="eth0 db"),
    case("selector: a set that holds the address", "", to_db(source={"selector": "kind == 'office'"}),
         resource("GlobalNetworkSet", "s", {"nets": ["192.168.0.8/31"]}, labels={"kind": "office"}), way="eth0 db"),
    case("notSelector alone matches strangers", "", to_db(source={"notSelector": "all()"}), way="eth0 db"),
    case("notSelector alone excludes whoever it selects", END, to_db(source={"notSelector": "role == 'web'"})),
    case("selector and notSelector speak of one endpoint: a set around it does not exclude it", "",
         to_db(source={"selector": "role == 'web'", "notSelector": "kind == 'all'"}),
         resource("GlobalNetworkSet", "s", {"nets": ["10.0.0.0/8"]}, labels={"kind": "all", "role": "web"})),
    case("in a namespaced policy a selector means its own namespace", "workload-egress end-of-tier default",
         in_red(egress=[{**ALLOW, "destination": {"selector": "role == 'db'"}}])),
    case("in a namespaced policy notSelector alone means its own namespace too", "workload-egress end-of-tier default",
         in_red(egress=[{**ALLOW, "destination": {"notSelector": "role == 'nobody'"}}])),
    case("namespaceSelector all() means any namespace", "",
         in_red(egress=[{**ALLOW, "destination": {"namespaceSelector": "all()"}}])),
    case("all() is nobody without a namespace", "workload-egress end-of-tier default",
         host_endpoint(expectedIPs=["192.168.0.9"]),
         in_red(egress=[{**ALLOW, "destination": {"namespaceSelector": "all()"}}]), way="web eth0"),
    case("global() is whoever has no namespace", "", host_endpoint(expectedIPs=["192.168.0.9"]),
         in_red(egress=[{**ALLOW, "destination": {"namespaceSelector": "global()"}}]), way="web eth0"),
    case("a NetworkSet has its namespace's labels", "", profile("kns.red", labelsToApply={"pcns.team": "core"}),
         resource("NetworkSet", "s", {"nets": ["192.168.0.0/24"]}, namespace="red"),
         to_db(source={"namespaceSelector": "team == 'core'"}), way="eth0 db"),
    case("service accounts by name", "", workload("web", serviceAccountName="robot"),
         to_db(source={"serviceAccounts": {"names": ["robot"]}})),
    case("service accounts by name and by label: both", END, workload("web", serviceAccountName="robot"),
         to_db(source={"serviceAccounts": {"names": ["robot"], "selector": "level == 'high'"}})),
    case("nets", END, to_db(source={"nets": ["10.0.0.2/31"]})),
    case("notNets", END, to_db(source={"notNets": ["10.0.0.0/31"]})),
    case("nets and notNets: both", "", to_db(source={"nets": ["10.0.0.0/30"], "notNets": ["10.0.0.2/31"]})),
    case("a rule that names networks of one family says nothing about the other", END,
         to_db(source={"notNets": ["10.9.0.0/16"]}), family=6),
    case("ipVersion", END, to_db(ipVersion=6)),
    case("protocol by name and by number is the same", "", to_db(protocol=6, destination={"ports": [80]})),
    case("notProtocol", END, to_db(notProtocol="TCP")),
    case("notProtocol beside the protocol", "", to_db(protocol="TCP", notProtocol="UDP", destination={"ports": [80]})),
    case("and against it", END, to_db(protocol="TCP", notProtocol=6, destination={"ports": [80]})),
    case("a range holds both its ends", "", to_db(protocol="TCP", destination={"ports": ["70:80"]})),
    case("notPorts", END, to_db(protocol="TCP", destination={"notPorts": ["80:90"]})),
    case("source ports", "", to_db(protocol="TCP", source={"ports": [40000]})),
    case("a named port: of the endpoint that has the address", "",
         workload("db", ports=[{"name": "http", "protocol": "TCP", "port": 80}]),
         to_db(protocol="TCP", destination={"ports": ["http"]})),
    case("a named port: of that protocol", END,
         workload("db", ports=[{"name": "http", "protocol": "UDP", "port": 80}]),
         to_db(protocol="TCP", destination={"ports": ["http"]})),
    case("a named port without protocol means TCP", END,
         workload("db", ports=[{"name": "dns", "protocol": "UDP", "port": 53}]), to_db(destination={"ports": ["dns"]}),
         protocol="UDP", port=53),
    case("named and numeric ports: either", "", to_db(protocol="TCP", destination={"ports": ["http", 80]})),
    case("one name for several ports", "",
         workload("db", ports=[{"name": "http", "protocol": "TCP", "port": port} for port in (80, 8080)]),
         to_db(protocol="TCP", destination={"ports": ["http"]}), port=8080),
    case("one name for several protocols: that of the packet", END,
         workload("db", ports=[{"name": "p", "protocol": "TCP", "port": 80}, {"name": "p", "protocol": "UDP", "port": 81}]),
         to_db(protocol="UDP", destination={"ports": ["p"]}), protocol="UDP", port=80),
    case("a named port in notPorts, of another protocol", "",
         workload("db", ports=[{"name": "p", "protocol": "UDP", "port": 80}]),
         to_db(protocol="TCP", destination={"notPorts": ["p"]})),
    case("a named port of the source", "", workload("web", ports=[{"name": "p", "protocol": "TCP", "port": 40000}]),
         to_db(protocol="TCP", source={"ports": ["p"]})),
    case("of SCTP", "", workload("db", ports=[{"name": "p", "protocol": "SCTP", "port": 80}]),
         to_db(protocol="SCTP", destination={"ports": ["p"]}), protocol="SCTP"),
    case("a protocol without ports by its number", "", to_db(protocol=136), protocol="UDPLite"),
    case("more ports than iptables takes", END,
         to_db(protocol="TCP", destination={"ports": [*range(1000, 1040, 2), "2000:2010"]}), port=1001),
    case("a named port in notPorts", END, workload("db", ports=[{"name": "http", "protocol": "TCP", "port": 80}]),
         to_db(protocol="TCP", destination={"notPorts": ["http"]})),
    case("ICMP type and code", "", to_db(protocol="ICMP", icmp={"type": 8, "code": 0}), **ICMP),
    case("ICMP type 0, code 0", "", to_db(protocol="ICMP", icmp={"type": 0, "code": 0}), protocol="ICMP", icmp_type=0),
    case("and nothing else", END, to_db(protocol="ICMP", icmp={"type": 0, "code": 0}), **ICMP),
    case("notICMP of type 0", END, to_db(protocol="ICMP", notICMP={"type": 0}), protocol="ICMP", icmp_type=0),
    case("ICMPv6 type 1, code 0", "", to_db(protocol="ICMPv6", icmp={"type": 1, "code": 0}), protocol="ICMPv6", family=6,
         icmp_type=1),
    case("ICMP of another code", END, to_db(protocol="ICMP", icmp={"type": 8, "code": 1}), **ICMP),
    case("notICMP with a code excludes only that code", "", to_db(protocol="ICMP", notICMP={"type": 8, "code": 1}),
         **ICMP),
    case("notICMP without a code excludes all codes", END, to_db(protocol="ICMP", notICMP={"type": 8}), **ICMP),
    # Sources, tunnels, unknown interfaces.
    case("a workload's source address is its own", "source-check spoofed", source="10.0.0.7"),
    case("but for prefixes it may use where that is enabled", "", felix(workloadSourceSpoofing="Any"),
         workload("web", allowSpoofedSourcePrefixes=["10.0.0.0/29"]), source="10.0.0.7"),
    case("where it is not enabled the endpoint is not valid", "source-check unknown-interface",
         workload("web", allowSpoofedSourcePrefixes=["10.0.0.0/29"])),
    case("an interface of nobody is closed, from it", "source-check unknown-interface", way="nobody db"),
    case("an interface of nobody is closed, to it", "workload-ingress unknown-interface", way="web nobody"),
    case("a workload makes no VXLAN tunnels", "workload-egress encapsulated", protocol="UDP", port=4789),
    case("unless that is allowed", "", felix(allowVXLANPacketsFromWorkloads=True), protocol="UDP", port=4789),
    case("a workload makes no IPIP tunnels", "workload-egress encapsulated", protocol=4),
    # The host.
    case("to its own host a workload may not, by default", "workload-to-host endpoint-to-host", way="web host"),
    case("unless defaultEndpointToHostAction says so", "", felix(defaultEndpointToHostAction="Accept"),
         way="web host"),
    case("but not past its own policy", "workload-egress no-profile", felix(defaultEndpointToHostAction="Accept"),
         workload("web", profiles=[]), way="web host"),
    case("a host's own setting goes before the one for all", "", felix(defaultEndpointToHostAction="Drop"),
         felix("node.h1", defaultEndpointToHostAction="Return"), way="web host"),
    case("neighbour discovery is never policed", "", workload("web", profiles=[]), way="web host", family=6,
         protocol="ICMPv6", icmp_type=135),
    case("the host reaches its own workloads, whatever policy says", "", everywhere(ingress=[DENY]),
         host_endpoint(interface="*"), way="host db"),
    case("an interface without host endpoint is not policed", "", everywhere(selector="has(host)", ingress=[DENY]),
         way="eth0 host"),
    case("a host endpoint without policy and profile is closed", "host-ingress no-profile", host_endpoint(),
         way="eth0 host"),
    case("it governs its interface only", "", host_endpoint(), way="eth1 host"),
    case("but * governs all", "host-ingress no-profile", host_endpoint(interface="*"), way="eth1 host"),
    case("one that names the interface goes before *", "", host_endpoint(profiles=["open"]), host_endpoint("a", "*"),
         way="eth0 host"),
    case("one is found by its expected address", "host-ingress no-profile",
         resource("HostEndpoint", "a", {"node": "h1", "expectedIPs": ["198.51.100.1"]}), way="eth1 host"),
    case("of two the first by name governs", "", host_endpoint("b"), host_endpoint("a", profiles=["open"]),
         way="eth0 host"),
    case("failsafe ports stay open", "", host_endpoint(), way="eth0 host", port=22),
    case("failsafe ports of one network are open to it alone", "host-ingress no-profile",
         felix(failsafeInboundHostPorts=[{"protocol": "TCP", "port": 22, "net": "10.0.0.0/8"}]), host_endpoint(),
         way="eth0 host", port=22),
    case("no failsafe ports", "host-ingress no-profile", felix(failsafeInboundHostPorts=[]), host_endpoint(),
         way="eth0 host", port=22),
    case("failsafe ports are of a protocol", "host-ingress no-profile", host_endpoint(), way="eth0 host", protocol="UDP", port=22),
    case("failsafe ports of a network of IPv6", "",
         felix(failsafeInboundHostPorts=[{"protocol": "TCP", "port": 22, "net": "fd00:ff::/64"}]), host_endpoint(),
         way="eth0 host", port=22, family=6),
    case("a missing profile closes a host endpoint, too", "host-ingress missing-profile lost",
         host_endpoint(profiles=["lost", "open"]), way="eth0 host"),
    case("outbound failsafe ports", "", host_endpoint(), way="host eth0", protocol="UDP", port=53),
    case("egress of the host", "host-egress no-profile", host_endpoint(), way="host eth0"),
    # What passes through host endpoints.
    case("forwarded traffic passes a host endpoint that has no policy for it", "", host_endpoint(), way="eth0 db"),
    case("a policy without applyOnForward is not asked", "", host_endpoint(),
         everywhere(selector="has(host)", ingress=[DENY]), way="eth0 db"),
    case("one with it is", "forward-ingress GlobalNetworkPolicy /p ingress 0", host_endpoint(),
         everywhere(selector="has(host)", applyOnForward=True, ingress=[DENY]), way="eth0 db"),
    case("and ends its tier", "forward-ingress end-of-tier default", host_endpoint(),
         everywhere(selector="has(host)", applyOnForward=True, types=["Ingress"]), way="eth0 db"),
    case("for its own direction only", "", host_endpoint(),
         everywhere(selector="has(host)", applyOnForward=True, types=["Egress"]), way="eth0 db"),
    case("a tier that passes does, there too", "", host_endpoint(), tier("t", 1, "Pass"),
         everywhere("t.p", tier="t", selector="has(host)", applyOnForward=True, types=["Ingress"]), way="eth0 db"),
    case("what passed every tier is forwarded: no profile is asked", "", host_endpoint(),
         everywhere(selector="has(host)", applyOnForward=True, ingress=[PASS]), way="eth0 db"),
    case("there are no failsafe ports for what passes through", "forward-ingress end-of-tier default", host_endpoint(),
         everywhere(selector="has(host)", applyOnForward=True, types=["Ingress"]), way="eth0 db", port=22),
    case("what leaves through a host endpoint is its egress", "forward-egress end-of-tier default", host_endpoint(),
         everywhere(selector="has(host)", applyOnForward=True, types=["Egress"]), way="web eth0"),
    case("* also means what workloads send each other", "forward-ingress end-of-tier default",
         host_endpoint(interface="*"), everywhere(selector="has(host)", applyOnForward=True, types=["Ingress"])),
    # Before routing.
    case("preDNAT Deny", "pre-dnat GlobalNetworkPolicy /p ingress 0", host_endpoint(),
         everywhere(selector="has(host)", preDNAT=True, applyOnForward=True, ingress=[DENY]), way="eth0 db"),
    case("what preDNAT policy accepts, no other host policy is asked about", "", host_endpoint(),
         everywhere(selector="has(host)", preDNAT=True, applyOnForward=True, ingress=[ALLOW]), way="eth0 host"),
    case("but the workload's policy is", "workload-ingress no-profile", host_endpoint(), workload("db", profiles=[]),
         everywhere(selector="has(host)", preDNAT=True, applyOnForward=True, ingress=[ALLOW]), way="eth0 db"),
    case("what no preDNAT rule matches is left to the rest", "", host_endpoint(profiles=["open"]),
         everywhere(selector="has(host)", preDNAT=True, applyOnForward=True, types=["Ingress"]), way="eth0 host"),
    case("preDNAT policy does not touch failsafe ports", "", host_endpoint(),
         everywhere(selector="has(host)", preDNAT=True, applyOnForward=True, ingress=[DENY]), way="eth0 host",
         port=22),
    case("untracked Allow", "untracked", host_endpoint(),
         everywhere(selector="has(host)", doNotTrack=True, applyOnForward=True, ingress=[ALLOW]), way="eth0 host"),
    case("what untracked policy allows, no preDNAT policy is asked about", "untracked", host_endpoint(),
         everywhere("a", selector="has(host)", doNotTrack=True, applyOnForward=True, ingress=[ALLOW]),
         everywhere("b", selector="has(host)", preDNAT=True, applyOnForward=True, ingress=[DENY]), way="eth0 host"),
    case("what untracked policy passes, it is", "pre-dnat GlobalNetworkPolicy /b ingress 0", host_endpoint(),
         everywhere("a", selector="has(host)", doNotTrack=True, applyOnForward=True, ingress=[PASS]),
         everywhere("b", selector="has(host)", preDNAT=True, applyOnForward=True, ingress=[DENY]), way="eth0 host"),
    case("untracked Deny on the way out", "untracked-egress GlobalNetworkPolicy /p egress 0",
         host_endpoint(profiles=["open"]),
         everywhere(selector="has(host)", doNotTrack=True, applyOnForward=True, egress=[DENY]), way="host eth0"),
    case("untracked policy is not for *", "host-ingress no-profile", host_endpoint(interface="*"),
         everywhere(selector="has(host)", doNotTrack=True, applyOnForward=True, ingress=[ALLOW]), way="eth0 host"),
    case("nor for workloads", "", everywhere(doNotTrack=True, applyOnForward=True, ingress=[DENY], egress=[DENY])),
    case("replies of failsafe flows are not for untracked policy", "", host_endpoint(profiles=["open"]),
         everywhere(selector="has(host)", doNotTrack=True, applyOnForward=True, egress=[DENY]), way="host eth0",
         source_port=22),
    case("a host endpoint names ports of its expected addresses", "",
         host_endpoint(expectedIPs=["192.168.0.1"], ports=[{"name": "http", "protocol": "TCP", "port": 80}]),
         everywhere(selector="has(host)", ingress=[{**ALLOW, "protocol": "TCP", "destination": {"ports": ["http"]}}]),
         way="eth0 host"),
    case("and of no others", "host-ingress end-of-tier default",
         host_endpoint(expectedIPs=["198.51.100.1"], ports=[{"name": "http", "protocol": "TCP", "port": 80}]),
         everywhere(selector="has(host)", ingress=[{**ALLOW, "protocol": "TCP", "destination": {"ports": ["http"]}}]),
         way="eth0 host"),
    # Where a host changes the destination: 192.168.0.1:8080 is port 80 of `db`.
    case("preDNAT policy sees the destination as it was sent", "pre-dnat GlobalNetworkPolicy /p ingress 0",
         host_endpoint(), everywhere(**BEFORE_NAT, ingress=[{**DENY, "destination": {"nets": ["192.168.0.1/32"]}}]), **MAPPED),
    case("and not as it will be", "", host_endpoint(),
         everywhere(**BEFORE_NAT, ingress=[{**DENY, "destination": {"nets": ["10.0.0.2/32"]}}]), **MAPPED),
    case("the workload's policy sees it as it has become", "",
         to_db(protocol="TCP", destination={"nets": ["10.0.0.2/32"], "ports": [80]}), **MAPPED),
    case("and so does policy for what is forwarded", "forward-ingress GlobalNetworkPolicy /p ingress 0", host_endpoint(),
         everywhere(selector="has(host)", applyOnForward=True, ingress=[{**DENY, "destination": {"selector": "role == 'db'"}}]),
         **MAPPED),
]  # fmt: skip

STAGED = [
    ("Set makes a policy", False, [("StagedGlobalNetworkPolicy", {"ingress": [DENY]})]),
    ("so does nothing said", False, [("StagedGlobalNetworkPolicy", {"stagedAction": "Set", "egress": [DENY]})]),
    ("Set replaces the policy of its name", True,
     [("GlobalNetworkPolicy", {"ingress": [DENY]}), ("StagedGlobalNetworkPolicy", {"selector": "no == ''"})]),
    ("Delete removes it", True,
     [("GlobalNetworkPolicy", {"ingress": [DENY]}), ("StagedGlobalNetworkPolicy", {"stagedAction": "Delete"})]),
    ("Ignore changes nothing", True, [("StagedGlobalNetworkPolicy", {"stagedAction": "Ignore", "ingress": [DENY]})]),
]  # fmt: skip
"""What is staged, and whether `web` would then reach `db`."""
