"""Setting up a service on its host: what is asked for, what is in the way, and the files; and all of it taken back.

1. Everything that is in the way is found before anything is changed.
2. Nothing that would change who belongs to a cluster is done to one that has data.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ocicat.changes import record
from ocicat.changes.files import Item, Tree
from ocicat.changes.record import Change
from ocicat.errors import NotFound, Refused, UserError
from ocicat.model.base import Struct, replace
from ocicat.model.codec import decode_json
from ocicat.services import auth, data, items, network, packages, running, tls
from ocicat.services.pki import findings as certificates
from ocicat.services.pki.authority import BOTH, CERTIFICATE
from ocicat.services.spec import (
    CLIENT_PORTS,
    CONFIGURATION,
    HEAP_MB,
    IMAGES,
    LOGS,
    PEER_PORTS,
    PROGRAMS,
    RUN,
    SECURE_CLIENT_PORT,
    USERS,
    How,
    Member,
    Service,
    ServiceName,
    check_directory,
    data_directory,
    description,
)

_HOST = Path("/")


class Asked(Struct, frozen=True, kw_only=True):
    """What `up` is told. `by`: "docker" or "native".

    It, `user`, `program`, `image`, `data` and `heap_mb` stay as they are on this host where they are empty, or have a default.
    The others have to be said again: `check` refuses to leave one out.
    """

    service: ServiceName
    members: tuple[Member, ...]
    me: str
    by: str = ""
    user: str = ""
    program: str = ""
    image: str = ""
    data: str = ""
    tls: str = ""
    secure_only: bool = False
    auth: bool = False
    heap_mb: int = 0


def tree(service: ServiceName) -> Tree:
    return Tree(_HOST, f"services {service}")


def load(service: ServiceName) -> Service:
    """As it was set up on this host. NotFound when it is not."""
    text = tree(service).text(description(service))
    if not text:
        raise NotFound(f"{service} is not set up on this host", hint=f"ocicat services up {service}")
    return decode_json(Service, text, what=description(service))


def find(service: ServiceName) -> Service | None:
    with suppress(NotFound):
        return load(service)
    return None


def former(service: ServiceName, directory: str = "") -> Service | None:
    """As it is set up on this host, or was when its data was used last."""
    return find(service) or data.described(directory or data_directory(service))


def planned(asked: Asked) -> Service:
    """UserError for what does not fit together."""
    name = asked.service
    directory = check_directory(asked.data.rstrip("/")) if asked.data else ""
    was = former(name, directory)
    by = asked.by or ("docker" if was and was.how == "docker" else "native")
    if asked.secure_only and (name != "zookeeper" or not asked.tls):
        raise UserError("--secure-only closes ZooKeeper's plain port: it needs --tls, and zookeeper alone")
    if asked.tls and not asked.tls.startswith("/"):
        raise UserError(
            f"--tls {asked.tls}: give an absolute path", hint="the directory that `ocicat pki issue` printed"
        )
    if ":" in asked.user and by != "docker":
        raise UserError(f"--user {asked.user}: give the name of a user", hint="numbers are for containers")
    if asked.image and by != "docker":
        raise UserError("--image: only with --with docker")
    if was and (was.how == "docker") != (by == "docker"):
        was = replace(was, user="", image="", program="")
    how: How = "docker" if by == "docker" else "systemd" if running.has_systemd() else "supervised"
    user = asked.user or (was.user if was else "") or _user(name, how)
    return Service(
        service=name,
        how=how,
        me=asked.me,
        members=asked.members,
        data=directory or (was.data if was else data_directory(name)),
        user=user,
        program=_program(asked.program or (was.program if was else "") or PROGRAMS[name]),
        image=(asked.image or (was.image if was else "") or IMAGES[name]) if how == "docker" else "",
        tls=asked.tls.rstrip("/"),
        secure_only=asked.secure_only,
        auth=asked.auth,
        heap_mb=asked.heap_mb or (was.heap_mb if was else HEAP_MB),
    )


def check(service: Service) -> None:
    """Refused or UserError for what is in the way; nothing has been changed."""
    check_asked(service)
    check_host(service)


def check_asked(service: Service) -> None:
    """Of `check`, what no package mends: it goes before any is installed."""
    if not packages.is_of_the_distribution(service) and not shutil.which(service.program):
        raise Refused(
            f"{service.service}: there is no program {service.program}", hint="name another one with --program"
        )
    check_tls(service)
    auth.check(service)
    _check_former(service)
    data.check(service, find(service.service))


def check_host(service: Service) -> None:
    """Of `check`, the rest: software, the user, the ports."""
    if absent := packages.missing(service):
        raise Refused(
            f"{service.service} needs software that is not installed: {', '.join(absent)}",
            hint=f"apt-get install {' '.join(absent)}, or --install to have that done",
        )
    if not running.has_user(service.user):
        raise Refused(
            f"this host has no user {service.user} for {service.service}",
            hint="--install makes it; or name another one with --user",
        )
    _check_ports(service)


def changes(service: Service) -> list[Change]:
    """Of files, that setting it up makes. Refused for what somebody has edited."""
    at = tree(service.service)
    return record.changes(at, record.load(at), _items(service))


def install(service: Service, certificate: tls.Files = ()) -> list[Change]:
    """The files, the copy of the certificate and the data directory. What has changed of the files.

    `certificate`: instead of what is given, so that one that was in use comes back.
    """
    at = tree(service.service)
    done = record.install(at, record.load(at), _items(service))
    tls.place(service, certificate)
    data.make(service)
    data.describe(service)
    return done


def removals(service: ServiceName) -> tuple[list[Change], list[str]]:
    """What `uninstall` changes, and the paths that it leaves because somebody has edited them."""
    at = tree(service)
    return record.removals(at, record.load(at))


def uninstall(service: Service) -> tuple[list[Change], list[str]]:
    """The service, stopped before, is not set up any more. Its data stays."""
    at = tree(service.service)
    tls.remove(service)
    return record.uninstall(at, record.load(at), last=description(service.service))


def purge(service: Service) -> list[str]:
    """Data, log and passwords. What was removed."""
    gone = [str(path) for path in data.remove(service)]
    logs = sorted(Path(LOGS).glob(f"{Path(service.log).name}*"))  # those that were rotated, too
    for path in (*logs, *(Path(service.password_file(user)) for user in auth.users(service))):
        if path.exists():
            path.unlink()
            gone.append(str(path))
    tidy(service)
    return gone


def tidy(service: Service) -> None:
    """The directories that nobody needs any more."""
    for directory in (LOGS, RUN, str(Path(RUN).parent), CONFIGURATION, str(Path(CONFIGURATION).parent)):
        tree(service.service).remove_if_empty(directory)


def _items(service: Service) -> list[Item]:
    user = running.engine_user(service.user) if service.how == "docker" else ""
    return items.items(service, user)


def _user(name: ServiceName, how: How) -> str:
    return USERS[name] if how != "docker" or running.has_user(USERS[name]) else "root"


def _program(given: str) -> str:
    """By its path: what starts it later may look elsewhere."""
    return shutil.which(given) or given


def check_tls(service: Service) -> None:
    """Refused: others would refuse the certificate, the service could not read the key, or a file is missing."""
    if not service.tls:
        return
    seen = certificates.look(Path(service.tls).name, Path(service.tls))
    found = certificates.findings(seen, time.time(), 0, [service.member.address])
    if found:
        raise Refused(f"--tls: {found[0].problem}", hint=found[0].mend)
    if not seen.certificate.for_servers:
        raise Refused(f"--tls: {seen.certificate.path} is not for servers", hint="issue one without --client")
    tls.given(service)
    if service.service == "zookeeper" and not tls.is_of_one_issue(service):
        raise Refused(
            f"--tls: {service.given(BOTH)}, which ZooKeeper reads, holds another certificate than {CERTIFICATE}",
            hint="put all the files of one issue there",
        )


def _check_former(service: Service) -> None:
    """Of what is set up, and of the data that is there: also of a service that was taken down."""
    was = find(service.service)
    if was and was.data != service.data and data.holds_something(was):
        raise Refused(
            f"{service.service} is set up on this host with other data: {was.data}",
            hint="say the same --data as before; ocicat services down --purge removes what is there",
        )
    known, has_data = data.described(service.data) or was, data.holds_something(service)
    if known and (was or has_data):
        conflict(known, service, has_data=has_data)


def conflict(was: Service, service: Service, *, has_data: bool = True) -> None:
    """Refused: who belongs to a cluster would change, or it would talk in the open. Pure."""
    name = f"{service.service} is on this host"
    if has_data:
        name = f"{service.data} holds data of {service.service}"
    anew = _anew(service) if has_data else f"ocicat services down {service.service} goes before another one"
    for what, old, new in (
        ("members", _named(was.members), _named(service.members)),
        ("name", was.me, service.me),
    ):
        if old != new:
            raise Refused(f"{name} with other {what}: {old}", hint=anew)
    lost = [
        option
        for option, old, new in (
            (f"--tls {was.tls}", was.tls, service.tls),
            ("--auth", was.auth, service.auth),
            ("--secure-only", was.secure_only, service.secure_only),
        )
        if old and not new
    ]
    if lost:
        raise Refused(f"{name}, set up with {' '.join(lost)}", hint=f"say that again; {anew}")
    if service.tls and not was.tls and len(service.members) > 1:
        raise Refused(f"{name}, whose members talk to each other without TLS", hint=f"leave out --tls; {anew}")


def _anew(service: Service) -> str:
    """The way to another cluster."""
    name = service.service
    return (
        f"another cluster is made after ocicat services down {name} --purge on every host, with a backup restored into it;"
        f" where {name} is not set up any more, move {service.data} away"
    )


def _named(members: Sequence[Member]) -> str:
    return ",".join(f"{one.name}={one.address}" for one in members)


def _check_ports(service: Service) -> None:
    """Somebody else's server there would be taken for ours."""
    was = find(service.service)
    if was and running.look(was).is_running:
        return
    ports = [*PEER_PORTS[service.service], service.client_port, CLIENT_PORTS[service.service]]
    if service.tls and service.service == "zookeeper":
        ports.append(SECURE_CLIENT_PORT)
    taken = next((port for port in ports if network.is_taken(service.member.address, port)), None)
    if taken:
        raise Refused(
            f"port {taken} of {service.member.address} is taken by another program",
            hint=f"ss -ltnp 'sport = :{taken}' says which; end it first",
        )
