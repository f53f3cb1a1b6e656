"""What a core service of this host is: who belongs to it, how it is run, where its things lie. Pure.

1. The same members, in any order, give the same cluster on every host.
2. Ports are those that everybody knows: clients, firewalls and `ocicat host prepare` need not be told.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Literal

from ocicat.errors import UserError
from ocicat.model.base import Struct
from ocicat.services.pki.request import alternative_name

ServiceName = Literal["etcd", "zookeeper"]
How = Literal["systemd", "supervised", "docker"]

SERVICES: tuple[ServiceName, ...] = ("zookeeper", "etcd")
CONFIGURATION = "/etc/ocicat/services"
RUN = "/run/ocicat/services"
LOGS = "/var/log/ocicat"

CLIENT_PORTS = {"etcd": 2379, "zookeeper": 2181}
PEER_PORTS = {"etcd": (2380,), "zookeeper": (2888, 3888)}
SECURE_CLIENT_PORT = 2281  # of ZooKeeper, with TLS; etcd has one port for both
USERS = {"etcd": "etcd", "zookeeper": "zookeeper"}
PROGRAMS = {"etcd": "/usr/bin/etcd", "zookeeper": "/usr/bin/java"}
IMAGES = {"etcd": "quay.io/coreos/etcd:v3.5.21", "zookeeper": "docker.io/library/zookeeper:3.8"}
HEAP_MB = 512
LARGEST = 7  # more members make writing slower and nothing safer

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", re.ASCII)
_DIRECTORY = re.compile(r"(/[A-Za-z0-9._@+-]+)+", re.ASCII)  # it stands in files of four syntaxes


class Member(Struct, frozen=True):
    """`address`: an IP address, or a name that every host resolves."""

    name: str
    address: str

    @property
    def host(self) -> str:
        """As it stands in a URL."""
        return f"[{self.address}]" if ":" in self.address else self.address


class Service(Struct, frozen=True, kw_only=True):
    """What `up` was told. `me`: the member on this host. `tls`: the directory of a certificate, empty for plain text.

    `secure_only`: no port for clients without TLS (ZooKeeper). `auth`: users and passwords are asked for.
    `user`: as whom it runs; `program`: etcd, or java; `image`: of a container.
    """

    service: ServiceName
    how: How
    me: str
    members: tuple[Member, ...]
    data: str
    user: str
    program: str
    image: str = ""
    tls: str = ""
    secure_only: bool = False
    auth: bool = False
    heap_mb: int = HEAP_MB

    @property
    def member(self) -> Member:
        return next(one for one in self.members if one.name == self.me)

    @property
    def number(self) -> int:
        """Of this host's member, from 1 on."""
        return self.members.index(self.member) + 1

    @property
    def quorum(self) -> int:
        return len(self.members) // 2 + 1

    @property
    def unit(self) -> str:
        """Of systemd; without its ending, the name of a container."""
        return f"ocicat-{self.service}"

    @property
    def log(self) -> str:
        return f"{LOGS}/{self.service}.log"

    @property
    def client_port(self) -> int:
        """The one to ask this service at."""
        return SECURE_CLIENT_PORT if self.secure_only else CLIENT_PORTS[self.service]

    def endpoint(self, member: Member) -> str:
        return f"{member.host}:{self.client_port}"

    @property
    def tls_directory(self) -> str:
        """Of the copy of the certificate that the service reads."""
        return f"{CONFIGURATION}/{self.service}.tls"

    def tls_file(self, name: str) -> str:
        return f"{self.tls_directory}/{name}"

    def given(self, name: str) -> str:
        """A file of the certificate as it was given."""
        return f"{self.tls}/{name}"

    def password_file(self, user: str) -> str:
        return f"{CONFIGURATION}/{self.service}-{user}.password"


def description(service: ServiceName) -> str:
    """Where it is written down what `up` was told."""
    return f"{CONFIGURATION}/{service}.json"


def data_directory(service: ServiceName) -> str:
    return f"/var/lib/ocicat-{service}"


def check_directory(path: str) -> str:
    """Of data: the same for whoever reads it, wherever he stands. UserError."""
    if not _DIRECTORY.fullmatch(path) or {".", ".."} & set(path.split("/")):
        raise UserError(
            f"--data {path!r}: not the absolute path of a directory", hint="of letters, digits and . _ @ + -"
        )
    return path


def check_name(name: str) -> str:
    """Of a member. UserError."""
    if not _NAME.fullmatch(name):
        raise UserError(f"--name {name!r}: no name of a member", hint="use letters, digits and . _ -")
    return name


def parse_members(text: str) -> tuple[Member, ...]:
    """`h1=10.0.0.1,h2=10.0.0.2,h3=10.0.0.3`, by name. A name alone is its own address."""
    found = [_member(part.strip()) for part in text.split(",")]
    for what, values in (("name", [one.name for one in found]), ("address", [one.address for one in found])):
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice:
            raise UserError(f"--members: two members have the {what} {twice}")
    if len(found) > LARGEST or len(found) == 2:
        raise UserError(
            f"--members: {len(found)} members", hint="use 1, 3 or 5: two cannot lose one, and many make writes slow"
        )
    return tuple(sorted(found, key=lambda one: one.name))


def own_member(members: Sequence[Member], *, given: str, host: str, local: Sequence[str]) -> str:
    """The name of the member on this host: the one given, the one with an address of ours (`local`), or with our name."""
    names = [one.name for one in members]
    if given:
        if given not in names:
            raise UserError(f"--name {given}: no such member", hint=f"the members are {', '.join(names)}")
        return given
    at_home = [one.name for one in members if one.address in local]
    if len(at_home) == 1:
        return at_home[0]
    if host in names:
        return host
    raise UserError("none of the members is this host", hint=f"say which with --name: {', '.join(names)}")


def _member(text: str) -> Member:
    name, equals, address = text.partition("=")
    if not _NAME.fullmatch(name):
        raise UserError(f"--members: {text!r} is not NAME=ADDRESS", hint="use h1=10.0.0.1,h2=10.0.0.2,h3=10.0.0.3")
    address = address if equals else name
    try:
        kind, _, value = alternative_name(address.strip("[]")).partition(":")
    except UserError as error:
        raise UserError(f"--members: {error.message}", hint="no port: those of the service are used") from error
    if kind == "IP" and ip_address(value).is_unspecified:
        raise UserError(f"--members: {address} is no address that others reach", hint="give the host's own")
    return Member(name, value)
