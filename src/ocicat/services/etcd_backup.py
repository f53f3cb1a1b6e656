"""A copy of etcd's data, verified, and a member made of one.

1. A copy is verified by what it is for: a member is made of it, started where nobody reaches it, and asked. Its revision, its keys
   and their values have to be those of the cluster at that revision.
2. A member that is made of a copy belongs to a new cluster, which no member of the former one takes for its own.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path

from ocicat.errors import Refused
from ocicat.services import auth, health
from ocicat.services.copies import CHECK_S, Copy, written
from ocicat.services.etcd_api import Content, Etcd
from ocicat.services.etcd_config import ROOT, initial_cluster, peer_url
from ocicat.services.pki.openssl import mend
from ocicat.services.scratch import HOST, Scratch, scratch
from ocicat.services.spec import Service

_TOOLS = ("etcdutl", "etcdctl")
_CLIENTS, _PEERS = f"http://{HOST}:2379", f"http://{HOST}:2380"
_NAME = "copy"
_LONGEST_S = 600.0
_SHOWN = 16  # digits of a digest
_DIGEST_BYTES = 32  # at the end of a snapshot


def backup(service: Service, file: Path, *, verify: bool) -> Copy:
    """Of the member of this host."""
    member = health.etcd(service, service.member, health.WORK_S)
    auth.log_in(service, member)
    if verify:
        tool(service)
    with written(file) as (part, output):
        size = member.snapshot(output)
        output.flush()
        copied = content_of(service, part) if verify else None
        if copied:
            compare(copied, member)
    base = Copy(service="etcd", member=service.me, file=str(file), size_bytes=size)
    if copied is None:
        return base
    return Copy(
        service="etcd",
        member=service.me,
        file=str(file),
        size_bytes=size,
        revision=copied.revision,
        keys=copied.keys,
        digest=copied.digest,
        is_verified=True,
    )


def content_of(service: Service, file: Path) -> Content:
    """Of the file, from a member that was made of it for this. Refused: it is no copy of etcd's data."""
    with scratch() as place:
        _start(service, file, place)
        member = Etcd(HOST, 2379, place.way)
        status = place.until(member.status, CHECK_S)
        if service.auth:
            place.until(lambda: member.log_in(ROOT, auth.password(service, ROOT)), CHECK_S)
        return member.content(int(status.header.revision))


def compare(copied: Content, member: Etcd) -> None:
    """Refused: the member has something else at that revision."""
    present = member.content(copied.revision)
    if present != copied:
        raise Refused(
            f"the copy differs from etcd {member.endpoint} at revision {copied.revision}: "
            f"{copied.keys} keys with digest {copied.digest[:_SHOWN]}, not {present.keys} with {present.digest[:_SHOWN]}"
        )


def restore(service: Service, file: Path, data: Path) -> None:
    """The data of this host's member, at `data`, of a cluster with the members that are set up. Refused: as `content_of`."""
    url = peer_url(service, service.member)
    _restore(service, file, data, service.me, initial_cluster(service), url)


def tool(service: Service) -> str:
    """The program that makes data of a copy: beside etcd, or anywhere. Refused: there is none."""
    beside = [str(Path(service.program).with_name(name)) for name in _TOOLS]
    found = next((path for name in (*beside, *_TOOLS) if (path := shutil.which(name))), None)
    if not found or not shutil.which(service.program):
        raise Refused(
            "etcd and etcdctl are needed on this host to work with copies",
            hint="apt-get install etcd-server etcd-client",
        )
    return found


def _start(service: Service, file: Path, place: Scratch) -> None:
    data = place.folder / "data"
    _restore(service, file, data, _NAME, f"{_NAME}={_PEERS}", _PEERS)
    settings = {
        "name": _NAME,
        "data-dir": str(data),
        "listen-client-urls": _CLIENTS,
        "advertise-client-urls": _CLIENTS,
        "listen-peer-urls": _PEERS,
        "initial-advertise-peer-urls": _PEERS,
        "initial-cluster": f"{_NAME}={_PEERS}",
        "log-level": "error",
    }
    place.start([service.program, *(f"--{name}={value}" for name, value in settings.items())])


def _restore(service: Service, file: Path, data: Path, name: str, cluster: str, url: str) -> None:
    line = [tool(service), "snapshot", "restore", str(file), f"--data-dir={data}", f"--name={name}"]
    line += [f"--initial-cluster={cluster}", f"--initial-advertise-peer-urls={url}"]
    line += [f"--initial-cluster-token={_token(file)}"]
    environment = {**os.environ, "ETCDCTL_API": "3"}
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=_LONGEST_S, check=False, env=environment)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refused(f"{line[0]}: {error}") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        if os.strerror(errno.ENOSPC).lower() in done.stderr.lower():
            raise Refused(f"{data.parent} cannot be written: {os.strerror(errno.ENOSPC)}", hint="make room there")
        raise Refused(f"{file} is no copy of etcd's data: {said[-1] if said else 'it cannot be restored'}")


def _token(file: Path) -> str:
    """The same for all members that are made of this copy, and another one than that of the cluster it is of."""
    try:
        with file.open("rb") as opened:
            size = opened.seek(0, os.SEEK_END)
            opened.seek(max(0, size - _DIGEST_BYTES))
            return f"restored-{size}-{opened.read().hex()[:16]}"
    except OSError as error:
        raise Refused(f"{file} cannot be read: {error.strerror}", hint=mend(error)) from error
