"""ZooKeeper's configuration file, its command line, and what its clients are told. Pure.

1. What is acknowledged is on disk (`forceSync`), old snapshots go by themselves, and a JVM without memory ends rather than limps.
2. With TLS the members talk TLS to each other, and clients may on a port of its own. The plain port stays beside it unless it is
   unwanted, because the client of Mesos knows no TLS.

Source: ZooKeeper 3.8 administrator's guide; unknown names in the file become system properties `zookeeper.NAME`.
"""

from __future__ import annotations

from ipaddress import ip_address

from ocicat.services.pki.authority import AUTHORITY, BOTH
from ocicat.services.spec import CLIENT_PORTS, CONFIGURATION, PEER_PORTS, SECURE_CLIENT_PORT, Member, Service

PATH = f"{CONFIGURATION}/zookeeper.cfg"
JARS = ("/usr/share/java/zookeeper.jar", "/usr/share/java/slf4j-simple.jar")
FOR_TLS = ("/usr/share/java/netty-codec.jar", "/usr/share/java/netty-resolver.jar")  # Debian's manifest forgets them
MAIN = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd/HH:mm:ss.SSS",
)

MESOS = "/mesos"
USER = "mesos"
"""Who may write below `MESOS`, where passwords are asked for."""

JVM = ("-XX:+ExitOnOutOfMemoryError", "-XX:-UsePerfData", "-Djava.net.preferIPv4Stack=false")
_PLAIN, _SECURE = CLIENT_PORTS["zookeeper"], SECURE_CLIENT_PORT
_QUORUM, _ELECTION = PEER_PORTS["zookeeper"]
_ALWAYS = (
    "tickTime=2000",
    "initLimit=30",
    "syncLimit=10",
    "forceSync=yes",
    "maxClientCnxns=500",
    "autopurge.snapRetainCount=5",
    "autopurge.purgeInterval=12",
    "admin.enableServer=false",
    "4lw.commands.whitelist=srvr,mntr,ruok",
)


def text(service: Service) -> str:
    """The file."""
    me = service.member
    lines = [
        f"# Written by `ocicat services up zookeeper`, for the member {me.name}.",
        f"dataDir={service.data}",
        *_ALWAYS,
    ]
    if not service.secure_only:
        lines += [f"clientPort={_PLAIN}", *_bound("clientPortAddress", me)]
    if service.tls:
        lines += _security(service)
    if len(service.members) > 1:
        lines += [server_line(number, one) for number, one in enumerate(service.members, start=1)]
    return "\n".join([*lines, ""])


def server_line(number: int, member: Member, peer_port: int = _QUORUM, election_port: int = _ELECTION) -> str:
    return f"server.{number}={member.host}:{peer_port}:{election_port}"


def argv(service: Service) -> tuple[str, ...]:
    """The server in the foreground."""
    return (*java(service.program, service.heap_mb), MAIN, PATH)


def java(program: str, heap_mb: int, *more: str) -> tuple[str, ...]:
    """Everything before the name of the class."""
    return (program, f"-Xmx{heap_mb}m", *more, *JVM, *LOGGING, "-cp", ":".join((*JARS, *FOR_TLS)))


def mesos_url(service: Service) -> str:
    """For Mesos's --zk (not with `secure_only`: it knows no TLS) and others; the password is put in by who reads its file."""
    endpoints = ",".join(service.endpoint(one) for one in service.members)
    return f"zk://{USER}:PASSWORD@{endpoints}{MESOS}" if service.auth else f"zk://{endpoints}{MESOS}"


def _bound(name: str, member: Member) -> list[str]:
    """To its address; to all of them where it has a name."""
    try:
        ip_address(member.address)
    except ValueError:
        return []
    return [f"{name}={member.address}"]


def _security(service: Service) -> list[str]:
    """Both sides show a certificate of our authority."""
    lines = [
        "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory",
        f"secureClientPort={_SECURE}",
        *_bound("secureClientPortAddress", service.member),
        "sslQuorum=true",
    ]
    for prefix in ("ssl", "ssl.quorum"):
        lines += [
            f"{prefix}.keyStore.location={service.tls_file(BOTH)}",
            f"{prefix}.keyStore.type=PEM",
            f"{prefix}.trustStore.location={service.tls_file(AUTHORITY)}",
            f"{prefix}.trustStore.type=PEM",
            f"{prefix}.clientAuth=need",
        ]
    return lines
