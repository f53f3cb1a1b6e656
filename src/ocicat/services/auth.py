"""Users and passwords of a service: made once for the whole cluster, the same file on every host.

1. A password is in a file that root alone reads, and nowhere else: not in a configuration, not on a command line, not printed.
2. The first member's host makes it; it is carried to the others.
"""

from __future__ import annotations

import importlib.util
import secrets
import stat
from pathlib import Path

from ocicat.errors import Refused, UserError
from ocicat.services import etcd_config, zookeeper_config
from ocicat.services.etcd_api import Etcd, NotAllowed
from ocicat.services.pki.openssl import SECRET, write
from ocicat.services.spec import Service

_LENGTH_BYTES = 24


def users(service: Service) -> tuple[str, ...]:
    """Who has a password, if anybody has."""
    return (etcd_config.ROOT, etcd_config.USER) if service.service == "etcd" else (zookeeper_config.USER,)


def check(service: Service) -> None:
    """Refused: a password is missing on this host, and cannot be made here."""
    if not service.auth:
        return
    if service.service == "zookeeper" and not importlib.util.find_spec("kazoo"):
        raise UserError("--auth for zookeeper: kazoo is not installed", hint="pip install 'ocicat[zk]'")
    first = service.members[0]
    for file in missing(service):
        if service.me != first.name:
            raise Refused(
                f"--auth: {file} is not on this host",
                hint=f"start the member {first.name} first, which makes it, and copy it from there",
            )


def missing(service: Service) -> list[str]:
    """The files of passwords that are not there yet."""
    files = [service.password_file(user) for user in users(service)] if service.auth else []
    return [file for file in files if not Path(file).exists()]


def make_passwords(service: Service) -> list[str]:
    """Those that are missing. Their files."""
    made = missing(service)
    for file in made:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        write(Path(file), f"{secrets.token_urlsafe(_LENGTH_BYTES)}\n".encode(), SECRET)
    return made


def password(service: Service, user: str) -> str:
    """Refused: it cannot be read, or others can read it."""
    file = Path(service.password_file(user))
    try:
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            raise Refused(f"{file} is readable by others than its owner", hint=f"chmod 600 {file}")
        return file.read_text().removesuffix("\n")
    except OSError as error:
        raise Refused(f"{file} cannot be read: {error.strerror}", hint="run it as root, where the file is") from error


def log_in(service: Service, member: Etcd) -> None:
    """As root of etcd, where users are asked for. Refused: not with this password."""
    if service.auth:
        member.log_in(etcd_config.ROOT, password(service, etcd_config.ROOT))


def secure_etcd(service: Service, member: Etcd) -> bool:
    """Users are required from now on. False: they were. `root` may do everything, `ocicat` what agents and tools have to."""
    root = password(service, etcd_config.ROOT)
    if member.log_in(etcd_config.ROOT, root):
        return False
    try:
        member.add_user(etcd_config.ROOT, root, etcd_config.ROOT)
        member.add_user(etcd_config.USER, password(service, etcd_config.USER), etcd_config.USER)
        member.allow(etcd_config.USER, etcd_config.PREFIX)
        member.require_users()
    except NotAllowed:  # another member's host, which does the same, was faster
        if member.log_in(etcd_config.ROOT, root):
            return False
        raise
    return True
