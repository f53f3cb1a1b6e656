"""A copy of ZooKeeper's data, made while it runs, verified; and data made of one.

1. Snapshots are copied before logs. A snapshot is of many moments at once; the log that follows it makes it whole, and has to reach
   at least as far as the snapshot does.
2. A copy is verified by what it is for: a server is started on it, where nobody reaches it. It has to know every transaction that
   was acknowledged before the copy began, and where nothing was written meanwhile, as many nodes as there are.

Source: ZooKeeper administrator's guide, "Data File Management".
"""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
import zlib
from pathlib import Path
from typing import BinaryIO

from ocicat.errors import Refused
from ocicat.model.base import replace
from ocicat.services import network, zookeeper_api
from ocicat.services.copies import CHECK_S, Copy, Output, writing, written
from ocicat.services.pki.openssl import mend
from ocicat.services.scratch import HOST, Scratch, scratch
from ocicat.services.spec import CLIENT_PORTS, PROGRAMS, Service
from ocicat.services.zookeeper_api import Status
from ocicat.services.zookeeper_config import JARS, MAIN, java

_VERSION = "version-2"  # of the format: where snapshots and logs are
_KINDS = ("snapshot.", "log.")
_HEAP_MB = 256
_COUNTER = 0xFFFFFFFF  # of a transaction's number; above it is that of the leader
_QUICK = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")  # for a server that lives for seconds
_ANSWER_S = 2.0
_NO_COPY = (gzip.BadGzipFile, tarfile.TarError, EOFError, zlib.error, ValueError, LookupError)  # of any bytes at all


def backup(service: Service, file: Path, *, verify: bool) -> Copy:
    """Of the member of this host."""
    if verify:
        check_tools(service)
    way = network.access(service)

    def now() -> Status:
        return zookeeper_api.status(service.member.address, service.client_port, way)

    before = now()
    with written(file) as (part, output):
        _copy(Path(service.data, _VERSION), output)
        output.flush()
        size = output.tell()
        after = now()
        found = content_of(service, part) if verify else None
        if found:
            check(found, before, after)
    return Copy(
        service="zookeeper",
        member=service.me,
        file=str(file),
        size_bytes=size,
        revision=found.zxid if found else 0,
        keys=found.nodes if found else 0,
        is_verified=found is not None,
    )


def check(copied: Status, before: Status, after: Status) -> None:
    """Refused: something is missing in the copy. Pure. A leader's first transaction, number 0, is none: it is in no log."""
    if copied.zxid < before.zxid and before.zxid & _COUNTER:
        raise Refused(f"the copy ends at transaction {copied.zxid:#x}, before {before.zxid:#x}, which was acknowledged")
    if before.zxid == after.zxid and copied.nodes != after.nodes:
        raise Refused(f"the copy holds {copied.nodes} nodes, and ZooKeeper {after.nodes}")


def content_of(service: Service, file: Path) -> Status:
    """What a server says that was started on the copy. Refused: there is none that could be."""
    with scratch() as place:
        restore(file, place.folder / "data")
        _start(service, place)
        port, way = CLIENT_PORTS["zookeeper"], replace(place.way, timeout_s=_ANSWER_S)
        return place.until(lambda: zookeeper_api.status(HOST, port, way), CHECK_S)


def restore(file: Path, data: Path) -> None:
    """The content of a copy, into a directory. Refused: it is none, or one of the two cannot be used."""
    target = data / _VERSION
    try:
        with tarfile.open(file, "r:gz") as tar:
            members = [one for one in tar if one.isfile() and _is_data(one.name)]
            if not members:
                raise Refused(f"{file} is no copy of ZooKeeper's data: it holds neither snapshots nor logs")
            with writing(data):
                target.mkdir(parents=True, exist_ok=True)
            for one in members:
                source = tar.extractfile(one)
                assert source is not None, "a regular file has content"
                path = target / Path(one.name).name
                with source, io.BufferedWriter(Output(path, "w", path)) as output:
                    shutil.copyfileobj(source, output)
    except _NO_COPY as error:
        raise Refused(f"{file} is no copy of ZooKeeper's data: {error}") from error
    except OSError as error:
        raise Refused(f"{file} cannot be read: {error.strerror or error}", hint=mend(error)) from error


def check_tools(service: Service) -> None:
    """Refused: no server can be started on a copy here."""
    if not shutil.which(_java(service)) or not all(Path(jar).exists() for jar in JARS):
        raise Refused(
            "java and ZooKeeper are needed on this host to verify a copy",
            hint="apt-get install default-jre-headless libzookeeper-java, or --no-verify",
        )


def _java(service: Service) -> str:
    return service.program if service.how != "docker" else PROGRAMS["zookeeper"]


def _copy(source: Path, output: BinaryIO) -> None:
    """A file that is purged meanwhile is not needed any more."""
    if not source.is_dir():
        raise Refused(f"there is no data in {source}")
    with tarfile.open(fileobj=output, mode="w:gz", compresslevel=1) as tar:
        for kind in _KINDS:
            for path in sorted(source.glob(f"{kind}*")):
                _add(tar, path)


def _add(tar: tarfile.TarFile, path: Path) -> None:
    """As long as it was when it was opened: logs grow."""
    try:
        with path.open("rb") as opened:
            tar.addfile(tar.gettarinfo(arcname=f"{_VERSION}/{path.name}", fileobj=opened), opened)
    except FileNotFoundError:
        return
    except OSError as error:  # shorter, too: who follows another leader gives up what that one does not know
        raise Refused(f"{path} cannot be copied: {error.strerror or error}", hint="run it again") from error


def _is_data(name: str) -> bool:
    return Path(name).parent.name == _VERSION and Path(name).name.startswith(_KINDS)


def _start(service: Service, place: Scratch) -> None:
    config = place.folder / "zoo.cfg"
    lines = [f"dataDir={place.folder}/data", f"clientPort={CLIENT_PORTS['zookeeper']}", f"clientPortAddress={HOST}"]
    lines += ["tickTime=2000", "admin.enableServer=false", "4lw.commands.whitelist=srvr,mntr"]
    config.write_text("\n".join([*lines, ""]))
    place.start([*java(_java(service), _HEAP_MB, *_QUICK), MAIN, str(config)])
