"""Three members with TLS and users, one cluster for a whole run; and a relay that cuts connections where a test wants them cut."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from etcd_server import MISSING, EtcdProcess, empty, free_port, installed, wait_until_up

PASSWORD = "correct horse"
_STEADY = ("--heartbeat-interval=50", "--election-timeout=500")  # a busy machine must not look like a dead leader


class Certificates:
    """An authority, and one certificate for servers and clients alike; without a common name, which etcd would take for a user."""

    def __init__(self, folder: Path, host: str = "127.0.0.1"):
        self.ca, self.cert, self.key = (folder / name for name in ("ca.pem", "cert.pem", "key.pem"))
        ca_key = folder / "ca-key.pem"
        _openssl("-out", self.ca, "-keyout", ca_key, "-subj", "/CN=oct-ca")
        issuer = ("-CA", self.ca, "-CAkey", ca_key, "-addext", "basicConstraints=CA:FALSE")
        subject = ("-subj", "/O=oct", "-addext", f"subjectAltName=IP:{host}")
        _openssl("-out", self.cert, "-keyout", self.key, *issuer, *subject)

    def options(self) -> tuple[str, ...]:
        mine = (f"--cert-file={self.cert}", f"--key-file={self.key}", f"--trusted-ca-file={self.ca}")
        peers = tuple(option.replace("--", "--peer-", 1) for option in mine)
        return (*mine, *peers, "--client-cert-auth", "--peer-client-cert-auth")

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.ca))
        context.load_cert_chain(self.cert, self.key)
        return context


def _openssl(*arguments: object) -> None:
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    subprocess.run([*command, *map(str, arguments)], check=True, capture_output=True)


class Cluster:
    """Users: `root`, and `agent`, who may do what is under `/`; both have the same password."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="oct-etcd-")
        folder = Path(self._folder.name)
        self.certificates = Certificates(folder)
        self.password = folder / "password"
        self.password.write_text(PASSWORD + "\n")
        # Else a login takes 0.1 s of a processor, and no member may be added for 5 s after a start.
        options = (*self.certificates.options(), "--bcrypt-cost=4", "--strict-reconfig-check=false", *_STEADY)
        self.members = [EtcdProcess(f"m{number}", "https", options) for number in range(3)]
        for member in self.members:
            self.start(member)
        wait_until_up(self.url(user=""), *self.members)
        self._add_users()

    def start(self, member: EtcdProcess) -> None:
        member.start(*(one.peer for one in self.members))

    def revive(self) -> None:
        """From the main thread: etcd ends with the thread that started it."""
        for member in self.members:
            if member.process.poll() is not None:
                self.start(member)

    def wait_until_up(self) -> None:
        for member in self.members:
            wait_until_up(self.url(member), *self.members)

    def url(self, *members: EtcdProcess, user: str = "agent", timeout_s: float = 5.0) -> str:
        files = self.certificates
        login = f"&user={user}&password-file={self.password}" if user else ""
        endpoints = ",".join(member.endpoint for member in members or self.members)
        return f"etcd://{endpoints}?ca={files.ca}&cert={files.cert}&key={files.key}&timeout={timeout_s}{login}"

    def leader(self) -> EtcdProcess:
        for member in self.members:
            status = self._call(member, "maintenance/status")
            if status["header"]["member_id"] == status["leader"]:
                return member
        raise AssertionError("no leader")

    def forget_tokens(self) -> None:
        """Whoever is logged in has to do so again."""
        token = self._token()
        self._call(self.members[0], "auth/disable", token=token)
        self._call(self.members[0], "auth/enable")

    @contextmanager
    def unstarted(self) -> Iterator[None]:
        """A fourth member that never starts: one without a vote, so that the others go on."""
        peer = [f"https://127.0.0.1:{free_port()}"]
        made = self._call(self.members[0], "cluster/member/add", token=self._token(), peerURLs=peer, isLearner=True)
        try:
            yield
        finally:
            self._call(self.members[0], "cluster/member/remove", token=self._token(), ID=made["member"]["ID"])

    def remove(self) -> None:
        for member in self.members:
            member.remove()
        self._folder.cleanup()

    def _add_users(self) -> None:
        first = self.members[0]
        for user in ("root", "agent"):
            self._call(first, "auth/user/add", name=user, password=PASSWORD)
            self._call(first, "auth/role/add", name=user)
            self._call(first, "auth/user/grant", user=user, role=user)
        permission = {"permType": "READWRITE", "key": _base64(b"/"), "range_end": _base64(b"0")}
        self._call(first, "auth/role/grant", name="agent", perm=permission)
        self._call(first, "auth/enable")

    def _token(self) -> str:
        return self._call(self.members[0], "auth/authenticate", name="root", password=PASSWORD)["token"]

    def _call(self, member: EtcdProcess, path: str, token: str = "", **fields: object):
        """By etcd's own HTTP gateway: another way in than the one under test."""
        request = urllib.request.Request(
            f"https://{member.endpoint}/v3/{path}",
            json.dumps(fields).encode(),
            {"Authorization": token} if token else {},
        )
        try:
            with urllib.request.urlopen(request, timeout=10, context=self.certificates.context()) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{path}: {error.read()}") from error


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class Shared:
    """The cluster of this run, started when it is first asked for: a new folder finds it empty."""

    def __init__(self):
        self._folder: Path | None = None
        self._cluster: Cluster | None = None

    def cluster(self, folder: Path) -> Cluster:
        if not installed():
            pytest.skip(MISSING)
        if self._cluster is None:
            self._cluster = Cluster()
        if folder != self._folder:
            self._folder = folder
            asyncio.run(empty(self._cluster.url(user="root")))
        return self._cluster

    def url(self, folder: Path) -> str:
        return self.cluster(folder).url(user="root")

    def remove(self) -> None:
        """The next folder starts it anew."""
        if self._cluster:
            self._cluster.remove()
        self._cluster = self._folder = None


CLUSTER = Shared()


class Relay:
    """Forwards TCP to `target`. `limit`: bytes of replies that a connection lives for; `mute`: replies are swallowed."""

    def __init__(self, target: str):
        self._host, _, self._port = target.rpartition(":")
        self._open: set[asyncio.StreamWriter] = set()
        self.limit: int | None = None
        self.mute = False
        self.cuts = 0

    async def __aenter__(self) -> Relay:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection(self._host, int(self._port))
        self._open |= {to_client, to_server}
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._forward(client, to_server))
                both.create_task(self._reply(server, to_client))
        except* (ConnectionError, _Cut):
            self.cuts += 1
        finally:
            self._open -= {to_client, to_server}
            for writer in (to_client, to_server):
                writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        raise _Cut

    async def _reply(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = self.limit
        while data := await reader.read(65536):
            if self.mute:
                continue
            writer.write(data if left is None else data[:left])
            await writer.drain()
            if left is not None and (left := left - len(data)) <= 0:
                break
        raise _Cut


class _Cut(Exception):
    pass
