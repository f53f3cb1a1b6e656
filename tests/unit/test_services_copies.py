"""A copy is written whole or not at all; what fails is told of what it failed at; and a copy that is none costs nobody his data."""

from __future__ import annotations

import errno
import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest
from test_services_spec import service

from ocicat.cli.commands import services_backup
from ocicat.errors import Refused
from ocicat.services import data, etcd_backup, running, upgrade, zookeeper_backup
from ocicat.services.copies import written
from ocicat.services.spec import Service

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")


@pytest.fixture
def kept(tmp_path: Path) -> Service:
    """With data."""
    tmp_path.chmod(0o755)
    made = service("zookeeper", how="supervised", data=str(tmp_path / "data"), user=f"{os.geteuid()}:{os.getegid()}")
    Path(made.data, "version-2").mkdir(parents=True)
    Path(made.data, "version-2/log.1").write_text("dear")
    data.make(made)
    return made


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def archive(path: Path, name: str = "version-2/log.1", headers: dict[str, str] | None = None) -> Path:
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo(name)
        info.size, info.pax_headers = 3, headers or {}
        tar.addfile(info, io.BytesIO(b"new"))
    return path


def test_a_copy_takes_its_place_when_it_is_whole(tmp_path: Path) -> None:
    with written(tmp_path / "copy") as (_, output):
        output.write(b"all")
        assert not (tmp_path / "copy").exists()
    assert (tmp_path / "copy").read_bytes() == b"all"
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600
    assert names(tmp_path) == ["copy"]
    with pytest.raises(Refused, match="exists"), written(tmp_path / "copy"):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(Refused, match=r"Not a directory \(choose another"), written(tmp_path / "file/copy"):
        pass


def test_who_fails_while_a_copy_is_written_says_so_itself(tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError), written(tmp_path / "copy"):
        raise ConnectionResetError(errno.ECONNRESET, "not the disk")
    assert names(tmp_path) == []


@needs_full
def test_a_full_disk_is_told_of_the_file_that_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open
    monkeypatch.setattr(os, "open", lambda path, flags, mode=0: opened(FULL, os.O_WRONLY))
    with (
        pytest.raises(Refused, match=f"^{tmp_path}/copy cannot be written: No space left.* .make room there"),
        written(tmp_path / "copy") as (_, output),
    ):
        output.write(b"all")
    copy = tmp_path / "data.tar.gz"
    monkeypatch.undo()
    archive(copy)
    (tmp_path / "new/version-2").mkdir(parents=True)
    (tmp_path / "new/version-2/log.1").symlink_to(FULL)
    with pytest.raises(Refused, match=r"new/version-2/log.1 cannot be written: No space left"):
        zookeeper_backup.restore(copy, tmp_path / "new")


def test_a_log_that_becomes_shorter_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "data/version-2/log.1"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"x" * 100000)
    found = tarfile.TarFile.gettarinfo

    def shortened(*args: object, **options: object) -> tarfile.TarInfo:
        made = found(*args, **options)  # type: ignore[arg-type]
        os.truncate(log, 10)
        return made

    monkeypatch.setattr(tarfile.TarFile, "gettarinfo", shortened)
    with (
        pytest.raises(Refused, match=r"log\.1 cannot be copied: .*end of data \(run it again\)"),
        written(tmp_path / "copy") as (_, output),
    ):
        zookeeper_backup._copy(log.parent, output)
    assert names(tmp_path) == ["data"]


@pytest.mark.parametrize(
    "headers", [{"GNU.sparse.map": "a,b"}, {"GNU.sparse.size": "x", "GNU.sparse.map": "0,1"}, {"GNU.sparse.major": "9"}]
)
def test_bytes_that_are_no_copy_leave_the_data_where_it_was(
    kept: Service, tmp_path: Path, headers: dict[str, str]
) -> None:
    copy = archive(tmp_path / "copy", "version-1/x", headers)
    with pytest.raises(Refused, match="is no copy of ZooKeeper's data"):
        services_backup._restore(kept, copy)
    assert Path(kept.data, "version-2/log.1").read_text() == "dear"
    assert names(tmp_path) == ["copy", "data"]


@pytest.mark.parametrize(
    "content",
    [b"", b"text", gzip.compress(b"text"), gzip.compress(b"x" * 2000)[:-9]],
    ids=["empty", "text", "no archive", "cut off"],
)
def test_no_bytes_at_all_are_a_surprise(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "copy").write_bytes(content)
    with pytest.raises(Refused, match="is no copy of ZooKeeper's data"):
        zookeeper_backup.restore(tmp_path / "copy", tmp_path / "new")


def test_who_is_interrupted_has_his_data_where_it_was(
    kept: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(file: Path, made: Path) -> None:
        made.mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(zookeeper_backup, "restore", interrupted)
    with pytest.raises(KeyboardInterrupt):
        services_backup._restore(kept, tmp_path / "copy")
    assert Path(kept.data, "version-2/log.1").read_text() == "dear"
    assert names(tmp_path) == ["data"]


def test_a_copy_of_etcd_that_is_too_short_has_a_name_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "copy").write_bytes(b"x")
    assert etcd_backup._token(tmp_path / "copy") == "restored-1-78"
    with pytest.raises(Refused, match="gone cannot be read: No such file"):
        etcd_backup._token(tmp_path / "gone")


def test_of_an_image_that_is_not_there_no_version_is_known_and_nothing_is_fetched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = tmp_path / "asked"
    engine = tmp_path / "docker"
    engine.write_text(f'#!/bin/sh\necho "$1" >> {asked}\necho "Error: No such image: new" >&2\nexit 1\n')
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    new = service("etcd", how="docker", image="new")
    assert upgrade.version_of(new) is None
    assert not running.has_image(new)
    assert set(asked.read_text().split()) == {"image"}


def test_a_log_is_read_from_where_it_was_started(
    kept: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "etcd.log"
    monkeypatch.setattr(Service, "log", property(lambda self: str(log)))
    monkeypatch.setattr(running, "RUN", str(tmp_path / "run"))
    log.write_text("panic: of a former start\n")
    assert running.log_end(kept) == "panic: of a former start"
    running._mark(kept)
    assert running.log_end(kept) == ""
    with log.open("a") as more:
        more.write("panic: of this one\n")
    assert running.log_end(kept) == "panic: of this one"
    log.write_text("rotated\n")
    assert running.log_end(kept) == "rotated"
