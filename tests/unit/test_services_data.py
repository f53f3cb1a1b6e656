"""The directory of a service: whose it may be, what no link in it leads to, and what outlives `down`."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from test_services_spec import service

from ocicat.errors import Refused, UserError
from ocicat.model.base import replace
from ocicat.services import data, setup
from ocicat.services.pki import openssl
from ocicat.services.pki.authority import Authority
from ocicat.services.pki.request import Request
from ocicat.services.setup import Asked
from ocicat.services.spec import Service, check_name, parse_members

OTHER = 12345
ALONE = parse_members("h1=10.0.0.1")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")


@pytest.fixture
def kept(tmp_path: Path) -> Service:
    tmp_path.chmod(0o755)
    user = f"{OTHER}:{OTHER}" if os.geteuid() == 0 else f"{os.getuid()}:{os.getgid()}"
    return service("zookeeper", data=str(tmp_path / "data"), user=user)


def owner(path: Path) -> int:
    return path.lstat().st_uid


@needs_root
def test_no_link_in_it_is_followed(kept: Service, tmp_path: Path) -> None:
    victim, at = tmp_path / "victim", Path(kept.data)
    victim.write_text("secret")
    victim.chmod(0o600)
    at.mkdir()
    os.chown(at, OTHER, OTHER)
    (at / "myid").symlink_to(victim)
    (at / "away").symlink_to(tmp_path)
    data.make(kept)
    assert (victim.read_text(), owner(victim), victim.stat().st_mode & 0o777) == ("secret", 0, 0o600)
    assert ((at / "myid").is_symlink(), (at / "myid").read_text(), owner(at / "myid")) == (False, "2\n", OTHER)
    os.link(victim, at / "another name")
    data.give(at, "54321:54321")
    assert [owner(path) for path in (at, at / "away", at / "myid")] == [54321] * 3
    assert (owner(victim), owner(tmp_path)) == (0, 0)


@needs_root
def test_what_was_made_by_root_is_given_to_the_user(kept: Service) -> None:
    at = Path(kept.data)
    (at / "version-2").mkdir(parents=True)
    (at / "version-2/log.1").write_text("x")
    (at / "lost+found").mkdir()
    data.make(kept)
    assert (owner(at), at.stat().st_mode & 0o777, owner(at / "version-2/log.1")) == (OTHER, 0o700, OTHER)
    assert owner(at / "lost+found") == 0


def test_a_file_is_written_through_nothing_that_lies_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openssl.secrets, "token_hex", lambda size: "known")
    (tmp_path / "victim").write_text("secret")
    (tmp_path / ".file.known").symlink_to(tmp_path / "victim")
    with pytest.raises(Refused, match="File exists"):
        openssl.write(tmp_path / "file", b"new", 0o644)
    openssl.write(tmp_path / "file", b"new", 0o644)
    assert ((tmp_path / "victim").read_text(), (tmp_path / "file").read_text()) == ("secret", "new")


def test_what_somebody_else_has_put_there_is_neither_used_nor_removed(kept: Service) -> None:
    at = Path(kept.data)
    data.check(kept)
    at.mkdir()
    (at / "lost+found").mkdir()  # a disk of its own
    data.check(kept)
    (at / "thesis").write_text("of years")
    with pytest.raises(Refused, match="holds what ocicat has not put there"):
        data.check(kept)
    with pytest.raises(Refused, match="is not removed"):
        data.remove(kept)
    assert (at / "thesis").read_text() == "of years"
    data.describe(kept)
    data.check(kept)
    assert data.described(kept.data) == kept
    aside = data.move_aside(kept)
    assert aside is not None
    strange = at.with_name("data.before-the-war")
    strange.mkdir()
    data.make(kept)
    assert data.remove(kept) == [at, aside, data.description(kept.data)]
    assert [path.name for path in at.parent.iterdir()] == [strange.name]


def test_nobody_else_may_put_another_directory_in_its_place(kept: Service, tmp_path: Path) -> None:
    tmp_path.chmod(0o775)
    with pytest.raises(Refused, match="others may write there"):
        data.check(kept)
    tmp_path.chmod(0o1777)  # what is not there yet somebody else could make
    with pytest.raises(Refused, match="others may write there"):
        data.check(kept)
    (tmp_path / "closed").mkdir(mode=0o755)
    data.check(replace(kept, data=str(tmp_path / "closed/data")))
    (tmp_path / "closed/data").symlink_to(tmp_path)
    with pytest.raises(Refused, match="is no directory"):
        data.check(replace(kept, data=str(tmp_path / "closed/data")))
    with pytest.raises(Refused, match="not for one service alone"):
        data.check(replace(kept, data="/srv"))


def test_what_others_could_have_written_is_not_believed(kept: Service, tmp_path: Path) -> None:
    data.describe(replace(kept, user="--root=/home/mallory"))
    tmp_path.chmod(0o777)
    for ask in (
        lambda: data.described(kept.data),
        lambda: setup.planned(Asked(service="zookeeper", members=kept.members, me="h2", data=kept.data)),
    ):
        with pytest.raises(Refused, match="others may write there"):
            ask()
    tmp_path.chmod(0o755)
    data.description(kept.data).unlink()
    os.mkfifo(data.description(kept.data))
    reader = threading.Thread(target=_refuses, args=(kept,), daemon=True)  # a pipe would be waited for
    reader.start()
    reader.join(20)
    assert not reader.is_alive()


def _refuses(kept: Service) -> None:
    with pytest.raises(Refused, match="is no file"):
        data.described(kept.data)


@pytest.mark.parametrize("path", ["rel/dir", "/", "/a/../b", "/a b", "/a\nclientPort=1", "/a:b", "/a$b", "/a%b", "//a"])
def test_a_path_means_the_same_to_all_who_read_it(path: str) -> None:
    with pytest.raises(UserError, match="not the absolute path"):
        setup.planned(Asked(service="etcd", members=ALONE, me="h1", data=path))


def test_a_path_and_a_user_that_are_good() -> None:
    assert setup.planned(Asked(service="etcd", members=ALONE, me="h1", data="/srv/etcd-1/")).data == "/srv/etcd-1"
    with pytest.raises(UserError, match="give the name of a user"):
        setup.planned(Asked(service="etcd", members=ALONE, me="h1", user="1000:1000"))
    assert check_name("h1.example.com") == "h1.example.com"
    with pytest.raises(UserError, match="no name of a member"):
        check_name("a,b c=")


@pytest.mark.parametrize("held", [("log",), ()])
@pytest.mark.parametrize("is_disk", [False, True])
def test_a_restoration_that_fails_leaves_what_was_there(
    kept: Service, is_disk: bool, held: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = Path(kept.data)
    monkeypatch.setattr(data, "_is_mount", lambda path: is_disk and path == at)
    at.mkdir()
    for name in held:
        (at / name).write_text("old")
    aside = data.move_aside(kept)
    made = data.fresh(kept)
    (made / "half").mkdir(parents=True)
    data.put_back(kept, aside)
    assert sorted(path.name for path in at.parent.rglob("*")) == ["data", *held, "myid"]


@pytest.mark.parametrize("is_disk", [False, True])
def test_data_that_is_restored_takes_the_place_of_what_was_there(
    kept: Service, is_disk: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = Path(kept.data)
    monkeypatch.setattr(data, "_is_mount", lambda path: is_disk and path == at)
    for entry in ("member", "lost+found"):
        (at / entry).mkdir(parents=True)
    data.describe(kept)
    aside = data.move_aside(kept)
    assert aside is not None
    assert (aside.parent == at) is is_disk
    made = data.fresh(kept)
    (made / "member/new").mkdir(parents=True)
    data.take_in(kept, made)
    data.make(kept)
    assert (at / "member/new").is_dir()
    assert (aside / "member").is_dir()
    assert owner(at / "member/new") == owner(at) == int(kept.user.split(":")[0])
    data.remove(kept)
    assert [path.name for path in at.parent.rglob("*")] == (["data", "lost+found"] if is_disk else [])


def test_files_that_go_meanwhile_have_no_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").write_bytes(b"x" * 10000)
    walked = [(str(tmp_path), [], ["there", "gone"])]
    monkeypatch.setattr(os, "walk", lambda top: walked)
    assert data.size_bytes(tmp_path) >= 10000


def test_all_files_of_a_certificate_are_looked_at_before_anything_is_done(tmp_path: Path) -> None:
    authority, out = Authority(tmp_path / "ca"), tmp_path / "h2"
    authority.init()
    authority.issue(Request("h2", "server", ("10.0.0.2",)), out)
    asked = service("zookeeper", tls=str(out))
    setup.check_tls(asked)
    both = (out / "tls.pem").read_bytes()
    authority.renew("h2")
    setup.check_tls(asked)
    openssl.write(out / "tls.pem", both, 0o600)
    with pytest.raises(Refused, match="which ZooKeeper reads, holds another certificate"):
        setup.check_tls(asked)
    (out / "tls.pem").unlink()
    with pytest.raises(Refused, match=r"tls\.pem cannot be read"):
        setup.check_tls(asked)


SECURE = service("zookeeper", tls="/t/h2", auth=True, secure_only=True)


@pytest.mark.parametrize(
    ("was", "now", "words"),
    [
        (service("etcd", members=ALONE, me="h1"), service("etcd"), "with other members: h1=10.0.0.1"),
        (service("etcd"), service("etcd", me="h1"), "with other name: h2"),
        (service("etcd"), service("etcd", tls="/t"), "without TLS"),
        (service("etcd", tls="/t"), service("etcd"), "set up with --tls /t"),
        (service("etcd", members=ALONE, me="h1", tls="/t"), service("etcd", members=ALONE, me="h1"), "--tls /t"),
        (SECURE, replace(SECURE, auth=False), "set up with --auth"),
        (SECURE, replace(SECURE, secure_only=False), "set up with --secure-only"),
        (SECURE, service("zookeeper"), "--tls /t/h2 --auth --secure-only"),
    ],
)
def test_what_must_not_change_over_data(was: Service, now: Service, words: str) -> None:
    with pytest.raises(Refused, match=words):
        setup.conflict(was, now)


def test_what_is_set_up_and_has_no_data_is_not_opened_by_an_option_that_was_forgotten() -> None:
    for now, words in ((service("zookeeper"), "is on this host, set up with --tls"), (_ALONE, "with other members")):
        with pytest.raises(Refused, match=words) as refused:
            setup.conflict(SECURE, now, has_data=False)
        assert "ocicat services down zookeeper" in refused.value.hint
        assert "--purge" not in refused.value.hint


_ALONE = service("zookeeper", members=ALONE, me="h1")


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (SECURE, replace(SECURE, tls="/elsewhere", heap_mb=64, how="docker")),
        (replace(SECURE, auth=False, secure_only=False), SECURE),
        (service("etcd", members=ALONE, me="h1"), service("etcd", members=ALONE, me="h1", tls="/t", auth=True)),
    ],
)
def test_what_may_change_over_data(was: Service, now: Service) -> None:
    setup.conflict(was, now)
