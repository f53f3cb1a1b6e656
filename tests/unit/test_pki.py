"""The small authority: what it issues is what openssl and TLS itself accept; what it refuses; what is found wrong."""

from __future__ import annotations

import errno
import os
import pwd
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ocicat.cli.commands.pki import command
from ocicat.errors import NotFound, Refused, UserError
from ocicat.model.base import replace
from ocicat.services.pki import findings, openssl
from ocicat.services.pki.authority import Authority
from ocicat.services.pki.findings import Seen
from ocicat.services.pki.request import Request, alternative_name, checked, request_text

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")

DAY_S = 86400.0
HOST = Request("h1", "server", ("h1.example.com", "10.0.0.1", "127.0.0.1", "fd00:0::1"), 90)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path / "ca")
    made.init()
    return made


def modes(directory: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()}


def abouts(directory: Path, *, days: float = 0.0, soon: float = 30, addresses: tuple[str, ...] = ()) -> list[str]:
    found = findings.findings(findings.look("h1", directory), time.time() + days * DAY_S, soon, addresses)
    return [one.about for one in found]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def test_what_is_issued_is_signed_names_its_addresses_and_hides_its_key(authority: Authority, tmp_path: Path) -> None:
    out = tmp_path / "h1"
    made = authority.issue(HOST, out)
    assert made.addresses == ("h1.example.com", "10.0.0.1", "127.0.0.1", "fd00::1")
    assert (made.for_servers, made.for_clients, made.is_authority) == (True, True, False)
    assert 89 < made.days_left(time.time()) <= 90
    assert "CN=" not in made.subject
    assert modes(out) == {"ca.crt": 0o644, "tls.crt": 0o644, "tls.key": 0o600, "tls.pem": 0o600}
    assert modes(authority.directory) == {"ca.crt": 0o644, "ca.key": 0o600, "issued": 0o700}
    done = subprocess.run(
        ["openssl", "verify", "-x509_strict", "-CAfile", out / "ca.crt", out / "tls.crt"],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done
    assert abouts(out, addresses=("10.0.0.1", "FD00::1", "H1.example.com")) == []


def test_tls_with_both_sides_certified(authority: Authority, tmp_path: Path) -> None:
    authority.issue(HOST, tmp_path / "h1")
    authority.issue(Request("agents", "client", user="agent"), tmp_path / "agents")
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tmp_path / "h1/ca.crt"))
    server.load_cert_chain(tmp_path / "h1/tls.pem")
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context(cafile=str(tmp_path / "agents/ca.crt"))
    client.load_cert_chain(tmp_path / "agents/tls.crt", tmp_path / "agents/tls.key")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with server.wrap_socket(connection, server_side=True) as wrapped:
                names = dict(pair for part in (wrapped.getpeercert() or {})["subject"] for pair in part)  # type: ignore[misc]
                wrapped.sendall(str(names["commonName"]).encode())

        thread = threading.Thread(target=serve)
        thread.start()
        with (
            socket.create_connection(listener.getsockname(), timeout=10) as plain,
            client.wrap_socket(plain, server_hostname="127.0.0.1") as wrapped,
        ):
            assert wrapped.recv(100) == b"agent"
        thread.join()


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request("h1", "server"), "names no address"),
        (Request("../x", "client"), "is not the name of a certificate"),
        (Request("a\n[x]", "client"), "is not the name of a certificate"),
        (Request("h1", "client", user="a/b"), "is not the name of a user"),
        (Request("h1", "server", ("10.0.0.1:2379",)), "neither an IP address nor a DNS name"),
        (Request("h1", "server", ("a,DNS:b",)), "neither an IP address nor a DNS name"),
        (Request("h1", "server", ("h1",), 0), "1 to 3650 days"),
        (Request("h1", "server", ("h1",), 99999), "1 to 3650 days"),
    ],
)
def test_what_no_certificate_is_made_of(request_: Request, words: str) -> None:
    with pytest.raises(UserError, match=words):
        checked(request_)


def test_names_of_openssl() -> None:
    assert alternative_name("fd00:0:0::1") == "IP:fd00::1"
    assert alternative_name("*.Example.com") == "DNS:*.example.com"


def test_nothing_that_is_there_is_overwritten(authority: Authority, tmp_path: Path) -> None:
    key = authority.key.read_bytes()
    with pytest.raises(Refused, match="there is an authority"):
        authority.init()
    authority.issue(HOST, tmp_path / "h1")
    with pytest.raises(Refused, match="was issued already"):
        authority.issue(HOST, tmp_path / "other")
    with pytest.raises(Refused, match=r"tls\.key exists"):
        authority.issue(Request("h2", "client"), tmp_path / "h1")
    assert authority.key.read_bytes() == key
    with pytest.raises(NotFound, match="there is no authority"):
        Authority(tmp_path / "nowhere").issue(HOST, tmp_path / "x")
    with pytest.raises(UserError, match="no user nosuchuser"):
        authority.issue(Request("h3", "client"), tmp_path / "h3", owner="nosuchuser")
    assert not (tmp_path / "h3").exists()


@pytest.mark.parametrize("was_there", [False, True])
def test_who_is_interrupted_leaves_nothing_and_the_name_is_free(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, was_there: bool
) -> None:
    out, replaced = tmp_path / "h1", Path.replace
    if was_there:
        out.mkdir()
        (out / "kept").touch()

    def interrupted(self: Path, target: Path) -> Path:
        if target.name == "tls.pem":
            raise KeyboardInterrupt
        return replaced(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        authority.issue(HOST, out)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.rglob("h1/*")] == (["kept"] if was_there else [])
    assert out.exists() is was_there
    assert list((authority.directory / "issued").iterdir()) == []
    authority.issue(HOST, out)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "make room there, and run it again"),
        (errno.EDQUOT, "make room there, and run it again"),
        (errno.EACCES, "run it as root"),
        (errno.EPERM, "run it as root"),
        (errno.EROFS, "choose another directory"),
        (errno.ENOTDIR, "choose another directory"),
        (errno.EIO, "choose another directory"),
    ],
)
def test_what_to_do_fits_what_failed(number: int, words: str) -> None:
    assert openssl.mend(OSError(number, "x")) == words


def test_a_file_is_no_directory_to_write_in(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Refused, match=r"file/x cannot be written: Not a directory \(choose another directory\)"):
        openssl.write(tmp_path / "file/x", b"", 0o600)


def test_a_renewed_one_has_its_key_and_its_names(authority: Authority, tmp_path: Path) -> None:
    out = tmp_path / "h1"
    old, key = authority.issue(HOST, out), (out / "tls.key").read_bytes()
    new = authority.renew("h1")
    assert (new.addresses, (out / "tls.key").read_bytes()) == (old.addresses, key)
    assert new.serial != old.serial
    assert (out / "tls.pem").read_bytes() == key + (out / "tls.crt").read_bytes()
    authority.renew("h1", new_key=True)
    assert (out / "tls.key").read_bytes() != key
    assert abouts(out) == []
    shutil.rmtree(out)  # carried to its host
    authority.renew("h1")
    assert abouts(out) == []
    with pytest.raises(NotFound, match="no certificate h9"):
        authority.renew("h9")


def test_what_is_found_wrong(authority: Authority, tmp_path: Path) -> None:
    out = tmp_path / "h1"
    authority.issue(HOST, out)
    assert abouts(out, days=89) == ["expiry"]
    assert abouts(out, days=59, soon=30) == []
    assert abouts(out, days=91) == ["expiry"]
    assert abouts(out, days=-1) == ["clock"]
    assert abouts(out, addresses=("10.0.0.9",)) == ["address"]
    (out / "tls.key").chmod(0o640)
    assert abouts(out) == ["mode"]
    (out / "tls.key").chmod(0o600)
    openssl.write(out / "tls.key", openssl.new_key(), 0o600)
    assert abouts(out) == ["key"]
    (out / "tls.key").unlink()
    assert abouts(out) == ["key"]
    stranger = Authority(tmp_path / "stranger")
    stranger.init()
    shutil.copy(stranger.certificate, out / "ca.crt")
    assert "authority" in abouts(out)
    (out / "tls.crt").write_text("nothing")
    with pytest.raises(UserError, match="holds no certificate"):
        findings.look("h1", out)


def test_who_may_not_read_the_key_is_told_that(authority: Authority, tmp_path: Path) -> None:
    authority.issue(HOST, tmp_path / "h1")
    seen = findings.look("h1", tmp_path / "h1")
    found = findings.findings(replace(seen, key_fits=None), time.time())
    assert ["cannot be read by who asks" in one.problem for one in found] == [True]


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can be somebody else")
def test_nobody_is_not_told_that_the_key_is_a_wrong_one(authority: Authority, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:  # nobody gets into the directories of pytest
        out = Path(folder, "h1")
        Path(folder).chmod(0o755)
        authority.issue(HOST, out)
        os.seteuid(65534)
        try:
            done = run("check", str(out))
        finally:
            os.seteuid(0)
    assert done.exit_code == 1, done
    assert "tls.key of h1 cannot be read by who asks" in done.stdout
    assert "is not the key" not in done.stdout


def test_nothing_lasts_longer_than_the_authority(tmp_path: Path) -> None:
    ca, out = ("--ca", str(tmp_path / "ca")), tmp_path / "h1"
    run("init", "--days", "40", *ca)
    made = run("issue", "h1", "--address", "10.0.0.1", "--out", str(out), *ca)
    assert "no longer than the authority itself" in made.stderr
    assert "no longer" not in run("issue", "h2", "--client", "--days", "20", "--out", str(tmp_path / "h2"), *ca).stderr
    authority = openssl.read(out / "ca.crt")
    assert authority.not_after - 2 * DAY_S < openssl.read(out / "tls.crt").not_after <= authority.not_after


def test_an_authority_that_has_ended_issues_nothing(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = time.time() + 3651 * DAY_S
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(Refused, match="ended on"):
        authority.issue(HOST, tmp_path / "h1")


def test_the_end_of_the_authority_is_the_end_of_what_it_issued(tmp_path: Path) -> None:
    authority, out = Authority(tmp_path / "ca"), tmp_path / "h1"
    authority.init(days=40)
    authority.issue(HOST, out)
    key = out / "tls.key"  # of a time, or a tool, that looked at the certificate alone
    longer = openssl.signed(key.read_bytes(), request_text(HOST), 300, authority.certificate, authority.key)
    (out / "tls.crt").write_bytes(longer)
    now = time.time()
    assert abouts(out) == []
    assert abouts(out, days=20) == ["expiry"]
    assert 39 < findings.look("h1", out).days_left(now) <= 40
    found = findings.findings(findings.look("h1", out), now + 41 * DAY_S)
    assert [one.problem.startswith("the authority of h1 ended on") for one in found] == [True]
    told = run("check", "--soon", "50", "--ca", str(tmp_path / "ca")).stdout  # of itself, and not of each again
    assert told.count("ends on") == 1
    assert "the authority ends on" in told


def test_the_owner_of_a_key_is_remembered(authority: Authority, tmp_path: Path) -> None:
    owner = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    authority.issue(HOST, tmp_path / "h1", owner)
    shutil.rmtree(tmp_path / "h1")  # carried to its host
    assert authority.issued()[0].owner == owner
    authority.renew("h1")
    assert (tmp_path / "h1/tls.key").owner() == owner


def test_the_authority_ends_too(authority: Authority) -> None:
    seen = Seen(name="the authority", certificate=openssl.read(authority.certificate))
    assert seen.certificate.is_authority
    found = findings.findings(seen, time.time() + 3640 * DAY_S)
    assert [one.about for one in found] == ["expiry"]
    assert "new authority" in found[0].mend


def test_the_commands(tmp_path: Path) -> None:
    ca, out = ("--ca", str(tmp_path / "ca")), str(tmp_path / "h1")
    assert run("init", *ca).exit_code == 0
    made = run("issue", "h1", "--address", "10.0.0.1", "--days", "20", "--out", out, *ca)
    assert made.stdout == f"{out}\n"
    shown = run("show", *ca).stdout
    assert [line.split()[0] for line in shown.splitlines()] == ["NAME", "(authority)", "h1"]
    assert "10.0.0.1" in shown
    assert run("check", *ca).exit_code == 1
    assert run("check", "--soon", "10", *ca).exit_code == 0
    assert run("check", out, "--soon", "10", "--address", "10.0.0.2").exit_code == 1
    assert "nothing is due" in run("renew", "--all", "--soon", "10", *ca).stderr
    before = openssl.read(Path(out, "tls.crt"))
    assert run("renew", "--all", *ca).stdout == f"{out}\n"
    assert openssl.read(Path(out, "tls.crt")).serial != before.serial
    assert isinstance(run("renew", *ca).exception, UserError)
    assert run("show", f"{out}/tls.crt", "-o", "json").stdout.count('"10.0.0.1"') == 1
