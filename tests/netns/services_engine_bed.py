"""Real Docker engines on the hosts of `services_bed`, and images of etcd and ZooKeeper that behave as those of the projects do.

No registry is asked: an image is what `docker import` makes of this machine's own programs. That of ZooKeeper is laid out as the
official one is: its entry point changes from root to a user of its own, and writes /conf/zoo.cfg and /data/myid.
"""

import os
import re
import shutil
import subprocess
import tarfile
import zipfile
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path

from docker_bed import ENGINE, remove_cgroups
from services_bed import wait_for

from ocicat.services.zookeeper_config import FOR_TLS, JARS

ETCD, ZOOKEEPER = "etcd:test", "zookeeper:test"
WAYS = ("run", "docker-compose", "docker compose")
SCRIPT = Path("/usr/share/zookeeper/bin/zkServer.sh")
_PLUGINS = [
    Path(top, "docker/cli-plugins") for top in ("/usr/libexec", "/usr/lib", "/usr/local/lib", "/usr/local/libexec")
]
_HOME = "/apache-zookeeper"
_TOOLS = ("env", "dirname", "grep", "sed", "mkdir", "cat", "id", "chown", "sh")
_OWN = ("/conf", "/data", "/datalog", "/logs")
_UID = 1000
_ENTRY = """#!/bin/bash
set -e
if [ "$1" = zkServer.sh ] && [ "$(id -u)" = 0 ]; then
  chown -R zookeeper /data /datalog /logs
  exec setpriv --reuid=1000 --regid=1000 --clear-groups "$0" "$@"
fi
if [ ! -f /conf/zoo.cfg ]; then
  : ${ZOO_SERVERS:=server.1=localhost:2888:3888;2181}
  printf '%s\\n' dataDir=/data dataLogDir=/datalog tickTime=2000 "$ZOO_SERVERS" >> /conf/zoo.cfg
fi
[ -f /data/myid ] || echo "${ZOO_MY_ID:-1}" > /data/myid
exec "$@"
"""
_ENV = """ZOOCFGDIR=${ZOOCFGDIR:-/conf}
ZOOCFG=$ZOOCFGDIR/zoo.cfg
ZOO_LOG_DIR=${ZOO_LOG_DIR:-/logs}
JAVA=$JAVA_HOME/bin/java
CLASSPATH=$ZOOCFGDIR:@
SERVER_JVMFLAGS="-Xmx${ZK_SERVER_HEAP:-1000}m $SERVER_JVMFLAGS"
"""
_CHANGES = (
    "ENV PATH={home}/bin:/usr/bin:/bin JAVA_HOME={java} ZOOCFGDIR=/conf ZOO_LOG_DIR=/logs",
    "WORKDIR {home}",
    "VOLUME /data /datalog /logs",
    'ENTRYPOINT ["/docker-entrypoint.sh"]',
    'CMD ["zkServer.sh", "start-foreground"]',
)


def missing(*programs):
    """Why there can be no engine here; "" when there can."""
    absent = [name for name in ("dockerd", *programs) if not shutil.which(name)]
    return f"{absent[0]} is not installed" if absent else ""


@contextmanager
def engine(host):
    """One whose "host" is this host; its data goes with it."""
    name = f"{host.root.parent.name}-{host.name}"
    options = ["--data-root", str(host.root.parent / f"docker-{host.name}"), "--cgroup-parent", f"/{name}"]
    line = ["setpriv", "--pdeathsig", "KILL", *host.enter(), *ENGINE, *options]
    with (host.root.parent / f"engine-{host.name}.log").open("wb") as log:
        process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for(lambda: process.poll() is not None or host.run("docker", "version").status == 0, "the engine")
        yield
    finally:
        host.run("pkill", "-x", "dockerd")  # in this host's own namespace of processes
        process.wait(60)
        remove_cgroups(name)


def load_etcd(host):
    _load(host, ETCD, etcd_image(), [])


def load_zookeeper(host, name=ZOOKEEPER):
    _load(host, name, zookeeper_image(), [text.format(home=_HOME, java=_java()) for text in _CHANGES])


def only(host, way, monkeypatch):
    """The host starts containers in this way, as if the tools before it were not installed. Why it cannot; "" when it can."""
    if way == "docker compose":
        return "" if host.run("docker", "compose", "version").status == 0 else "docker has no plugin compose"
    empty = host.root.parent / "no-plugins"
    empty.mkdir(exist_ok=True)
    monkeypatch.setenv("DOCKER_CONFIG", str(empty))
    for plugins in _PLUGINS:
        if plugins.is_dir():
            assert host.run("mount", "--bind", str(empty), str(plugins)).status == 0
    tool = shutil.which("docker-compose")
    if way == "run" and tool:
        assert host.run("mount", "--bind", "/dev/null", tool).status == 0
    return "docker-compose is not installed" if way == "docker-compose" and not tool else ""


@cache
def etcd_image():
    with _Root() as root:
        root.program(shutil.which("etcd"), "/usr/bin/etcd")
    return root.made.getvalue()


@cache
def zookeeper_image():
    jars = [Path(jar) for jar in (*JARS, *FOR_TLS)]
    manifest = zipfile.ZipFile(jars[0]).read("META-INF/MANIFEST.MF").decode().replace("\r\n ", "").replace("\n ", "")
    jars += [Path(word) for word in re.search(r"Class-Path: (.*)", manifest)[1].split()]
    with _Root() as root:
        for jar in filter(Path.exists, jars):  # the manifest names what other packages may bring
            root.tar.add(jar.resolve(), str(jar))
        _java_runtime(root)
        for name in ("bash", "setpriv"):
            root.program(shutil.which(name), f"/bin/{name}")
        root.program("/bin/busybox", "/bin/busybox")
        for name in _TOOLS:
            root.link(f"/usr/bin/{name}", "/bin/busybox")
        root.tar.add(SCRIPT, f"{_HOME}/bin/zkServer.sh")
        root.file(f"{_HOME}/bin/zkEnv.sh", _ENV.replace("@", ":".join(map(str, jars))))
        root.file("/docker-entrypoint.sh", _ENTRY, 0o755)
        root.file("/etc/passwd", f"root:x:0:0::/root:/bin/sh\nzookeeper:x:{_UID}:{_UID}::/:/bin/sh\n")
        for own in _OWN:
            root.directory(own, _UID)
        root.directory("/tmp", 0, 0o1777)
    return root.made.getvalue()


def _java():
    return Path(shutil.which("java")).resolve().parents[1]


def _java_runtime(root):
    """Without what is for compiling."""
    home = _java()
    for here, _, files in os.walk(home):
        if not here.startswith((f"{home}/jmods", f"{home}/include", f"{home}/man", f"{home}/legal")):
            for name in files:
                path = Path(here, name)
                if (
                    name not in ("src.zip", "ct.sym")
                    and path.exists()
                    and (path.parent.name != "bin" or name == "java")
                ):
                    root.tar.add(path.resolve(), str(path))
                    root.libraries |= _linked(path) if name.endswith(".so") or name == "java" else set()


def _linked(program):
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    return {word for word in said.split() if word.startswith("/")}


def _load(host, name, root, changes):
    line = [*host.enter(), "docker", "import", *(f"--change={text}" for text in changes), "-", name]
    subprocess.run(line, input=root, check=True, capture_output=True)


class _Root:
    """A root file system in a tar file; what its programs are linked with is put in at the end."""

    def __enter__(self):
        self.made, self.libraries = BytesIO(), set()
        self.tar = tarfile.open(fileobj=self.made, mode="w")
        return self

    def __exit__(self, *error):
        for path in sorted(self.libraries):
            if not path.startswith(str(_java()) if shutil.which("java") else "-"):
                self.tar.add(Path(path).resolve(), path)
        self.tar.close()

    def program(self, path, at):
        self.libraries |= _linked(path)
        self.tar.add(Path(path).resolve(), at)

    def file(self, at, text, mode=0o644):
        info = tarfile.TarInfo(at.lstrip("/"))
        info.size, info.mode = len(text.encode()), mode
        self.tar.addfile(info, BytesIO(text.encode()))

    def link(self, at, target):
        info = tarfile.TarInfo(at.lstrip("/"))
        info.type, info.linkname = tarfile.SYMTYPE, target
        self.tar.addfile(info)

    def directory(self, at, uid, mode=0o755):
        info = tarfile.TarInfo(at.lstrip("/"))
        info.type, info.mode, info.uid, info.gid = tarfile.DIRTYPE, mode, uid, uid
        self.tar.addfile(info)
