"""Every setting there is, once. The default file, variables, options, `ocicat config` and the documentation come from here. Pure.

Settings of the section `felix` are fields of FelixConfiguration: `felix` has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ocicat.errors import Bug
from ocicat.settings.felix import FELIX, PREFIX, SECTION, VARIABLES
from ocicat.settings.setting import Setting, Value

LEVELS = ("debug", "info", "warning", "error")
STYLES = ("text", "json")
_DAY_S = 86400
_WEEK_S = 7 * _DAY_S

_STORE = (
    Setting(
        key="store.url",
        shape="text",
        default="sqlite:///var/lib/ocicat/store.db",
        does="URL of the datastore. An embedded one is one host's; a cluster has an etcd.",
        example="etcd://10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379?ca=/etc/ocicat/pki/ca.crt",
        variable="OCICAT_STORE",
        option="--store",
        metavar="URL",
    ),
)
_HOST = (
    Setting(
        key="host.name",
        shape="text",
        default="",
        default_says="none: it must be given",
        does="This host's name, as Mesos knows it. Endpoints and blocks of addresses are kept under it.",
        example="h1.example.com",
        variable="OCICAT_HOST",
        option="--host",
        needed=True,
    ),
    Setting(
        key="host.address",
        shape="text",
        default="",
        default_says="none: it must be given",
        does="Its own address, and the length of the subnet in which the other hosts are.",
        example="10.0.0.11/24",
        variable="OCICAT_ADDRESS",
        option="--address",
        needed=True,
    ),
    Setting(
        key="host.address6",
        shape="text",
        default="",
        default_says="none: containers with IPv6 addresses are reached on this host only",
        does="The same of IPv6.",
        example="2001:db8::11/64",
        variable="OCICAT_ADDRESS6",
        option="--address6",
    ),
)
_AGENT = (
    Setting(
        key="agent.socket",
        shape="text",
        default="/run/ocicat/agent.sock",
        does="Where the CNI plugin finds this agent.",
        example="/run/ocicat/agent.sock",
        variable="OCICAT_SOCKET",
        option="--socket",
        metavar="PATH",
    ),
    Setting(
        key="agent.host_root",
        shape="text",
        default="/",
        does="Where the host's files are seen by the agent: one in a container, with the host's process numbers, finds them at"
        " /proc/1/root, and opens containers' network namespaces there.",
        example="/proc/1/root",
        variable="OCICAT_HOST_ROOT",
        option="--host-root",
        metavar="PATH",
    ),
    Setting(
        key="agent.mtu",
        shape="whole",
        default=0,
        default_says="that of the interface which has host.address",
        does="MTU of the containers that come from now on; those that are there keep theirs.",
        example=1450,
        unit="bytes",
        variable="OCICAT_MTU",
        option="--mtu",
    ),
    Setting(
        key="agent.add_timeout_s",
        shape="number",
        default=20.0,
        does="How long a container may wait for its network before it is refused and everything undone.",
        example=20.0,
        unit="seconds",
        low=0.1,
        high=600,
        variable="OCICAT_ADD_TIMEOUT",
    ),
    Setting(
        key="agent.resync_interval_s",
        shape="number",
        default=90.0,
        does="How often the kernel is read back even when nobody was heard to change it.",
        example=90.0,
        unit="seconds",
        low=0.1,
        high=_DAY_S,
        variable="OCICAT_RESYNC_INTERVAL",
    ),
)
_MESOS = (
    Setting(
        key="mesos.agent_ports",
        shape="wholes",
        default=(5051,),
        does="Where this host's Mesos agent listens: its tasks reach these ports whatever policy says.",
        example=(5051,),
        variable="OCICAT_AGENT_PORT",
        option="--agent-port",
        metavar="PORT",
    ),
    Setting(
        key="mesos.agent",
        shape="text",
        default="",
        default_says="host.address, at the first of mesos.agent_ports",
        does="Where this host's Mesos agent tells who lives in its containers; off: do not ask.",
        example="10.1.0.11:5051",
        variable="OCICAT_MESOS_AGENT",
        option="--mesos-agent",
        metavar="HOST:PORT",
    ),
    Setting(
        key="mesos.credential",
        shape="text",
        default="",
        default_says="none",
        does="A file for a Mesos agent that asks who we are: NAME SECRET, or Mesos's own JSON.",
        example="/etc/ocicat/mesos.credential",
        variable="OCICAT_MESOS_CREDENTIAL",
        option="--mesos-credential",
        metavar="FILE",
        secret_file=True,
    ),
    Setting(
        key="mesos.master",
        shape="text",
        default="",
        default_says="none; for commands 127.0.0.1:5050",
        does="The Mesos master: whose tasks have names (dns.listen), and where commands run tasks.",
        example="zk://10.0.0.1:2181,10.0.0.2:2181,10.0.0.3:2181/mesos",
        variable="OCICAT_MASTER",
        option="--mesos-master",
        metavar="MASTER",
    ),
    Setting(
        key="mesos.framework",
        shape="text",
        default="ocicat",
        does="For commands: name of the framework that keeps applications running.",
        example="ocicat",
        variable="OCICAT_FRAMEWORK",
    ),
)
_DOCKER = (
    Setting(
        key="docker.plugin",
        shape="text",
        default="",
        default_says="Docker is not served",
        does="Serve Docker's engine on this socket, as its network and address driver; the file's name is the driver's.",
        example="/run/docker/plugins/ocicat.sock",
        variable="OCICAT_DOCKER_PLUGIN",
        option="--docker-plugin",
        metavar="[SOCKET]",
        bare="/run/docker/plugins/ocicat.sock",
    ),
    Setting(
        key="docker.engine",
        shape="text",
        default="/var/run/docker.sock",
        does="Where Docker's engine tells the names of its networks and the labels of its containers.",
        example="/var/run/docker.sock",
        variable="OCICAT_DOCKER_ENGINE",
        option="--docker-engine",
        metavar="SOCKET",
    ),
)
_DNS = (
    Setting(
        key="dns.listen",
        shape="texts",
        default=(),
        default_says="no names are served",
        does="Serve the names of Mesos tasks at these addresses of this host; needs mesos.master.",
        example=("10.0.0.11",),
        variable="OCICAT_DNS",
        option="--dns",
        metavar="ADDRESS[:PORT]",
    ),
    Setting(
        key="dns.zone",
        shape="text",
        default="mesos",
        does="The domain of these names.",
        example="mesos",
        variable="OCICAT_DNS_ZONE",
        option="--dns-zone",
    ),
    Setting(
        key="dns.upstream",
        shape="texts",
        default=(),
        default_says="nobody: other names are refused",
        does="Who knows other names, asked in this order.",
        example=("10.0.0.2",),
        variable="OCICAT_DNS_UPSTREAM",
        option="--dns-upstream",
        metavar="ADDRESS[:PORT]",
    ),
    Setting(
        key="dns.only",
        shape="texts",
        default=(),
        default_says="of all",
        choices=("reachable", "visible"),
        does="Tell askers only of tasks that policy lets them reach, or that are meant for them.",
        example=("reachable",),
        variable="OCICAT_DNS_ONLY",
        option="--dns-only",
    ),
    Setting(
        key="dns.ttl_s",
        shape="whole",
        default=5,
        does="How long answers may be kept.",
        example=5,
        unit="seconds",
        low=0,
        high=_WEEK_S,
        variable="OCICAT_DNS_TTL",
        option="--dns-ttl",
    ),
    Setting(
        key="dns.rfc952",
        shape="switch",
        default=False,
        does="Names of 24 characters at most, that begin with a letter.",
        example=True,
        variable="OCICAT_DNS_RFC952",
        option="--dns-rfc952",
    ),
    Setting(
        key="dns.server",
        shape="text",
        default="",
        default_says="the first of /etc/resolv.conf",
        does="For commands: whom `ocicat dns query` asks.",
        example="10.0.0.11",
        variable="OCICAT_DNS_SERVER",
    ),
)
_LOGS = (
    Setting(
        key="flows.log",
        shape="text",
        default="/var/log/ocicat/flows.log",
        does="Where flows are written, while they are logged (felix.flowLogsLocalReporter).",
        example="/var/log/ocicat/flows.log",
        variable="OCICAT_FLOW_LOG",
        option="--flow-log",
        metavar="PATH",
    ),
    Setting(
        key="log.level",
        shape="text",
        default="info",
        choices=LEVELS,
        does="What is less important is not logged.",
        example="debug",
        variable="OCICAT_LOG_LEVEL",
        option="--log-level",
        felix="logSeverityScreen",
        live=True,
    ),
    Setting(
        key="log.style",
        shape="text",
        default="text",
        choices=STYLES,
        does="For people or for collectors.",
        example="json",
        variable="OCICAT_LOG_STYLE",
        option="--log-style",
        live=True,
    ),
)

SETTINGS = (*_STORE, *_HOST, *_AGENT, *_MESOS, *_DOCKER, *_DNS, *_LOGS, *FELIX)
BY_KEY: Mapping[str, Setting] = MappingProxyType({one.key: one for one in SETTINGS})
BY_OPTION: Mapping[str, Setting] = MappingProxyType({one.option: one for one in SETTINGS if one.option})

_FELIX_TOO = [one for one in SETTINGS if one.felix and one.section != SECTION]
FELIX_KEYS: Mapping[str, Setting] = MappingProxyType({f"{PREFIX}{one.felix}": one for one in _FELIX_TOO})
"""Settings of our own that Felix has too, by Felix's name for them: its words are understood in the file."""
FELIX_VARIABLES: Mapping[str, Setting] = MappingProxyType(
    {f"{VARIABLES}{one.felix.upper()}": one for one in _FELIX_TOO}
)
"""And in the environment."""

SECTIONS: Mapping[str, str] = MappingProxyType(
    {
        "store": "Where the cluster's state is kept. Commands use it too.",
        "host": "Who this host is.",
        "agent": "The agent's own process.",
        "mesos": "The Mesos agent of this host, and the master.",
        "docker": "Docker's engine on this host.",
        "dns": "Names of Mesos tasks.",
        "flows": "Flow logs.",
        "log": "The agent's own log.",
        "felix": "Fields of FelixConfiguration, for this host: they go before the datastore's.",
    }
)


def default_of(key: str) -> Value:
    return setting(key).default


def default_text(key: str) -> str:
    found = default_of(key)
    if not isinstance(found, str):
        raise Bug(f"{key}: is no text")
    return found


def setting(key: str) -> Setting:
    found = BY_KEY.get(key)
    if found is None:
        raise Bug(f"{key}: is no setting")
    return found
