"""How the library is obtained: once, whole, and with a clear word when it is not. The download is a stand-in."""

from __future__ import annotations

import hashlib
import threading

import pytest

from ocicat.errors import Refused, Unavailable
from ocicat.lab.mesos import library
from ocicat.lab.mesos.native import verify

ORIGINAL = b"the released library"
PATCHED = b"the patched library."


class Downloads:
    """Stands in for pip: writes what it is told to, and counts."""

    def __init__(self):
        self.count = 0
        self.content = ORIGINAL

    def __call__(self, scratch):
        self.count += 1
        path = scratch / "unpacked.so"
        path.write_bytes(self.content)
        return path


@pytest.fixture
def downloads(monkeypatch):
    stand_in = Downloads()
    monkeypatch.setattr(library, "download", stand_in)
    monkeypatch.setattr(library, "patch", lambda image: image.__setitem__(slice(None), PATCHED))
    monkeypatch.setattr(library, "SIZE_BYTES", len(PATCHED))
    monkeypatch.setattr(library, "ORIGINAL_SHA256", hashlib.sha256(ORIGINAL).hexdigest())
    monkeypatch.setattr(library, "PATCHED_SHA256", hashlib.sha256(PATCHED).hexdigest())
    return stand_in


def silent(_):
    pass


def left_in(cache):
    return sorted(path.name for path in cache.iterdir() if path.name != ".lock")


def test_the_library_is_made_once(tmp_path, downloads):
    cache = tmp_path / "made" / "too"
    paths = {library.ensure(cache, silent) for _ in range(3)}
    assert paths == {library.library_path(cache)}
    assert library.library_path(cache).read_bytes() == PATCHED
    assert downloads.count == 1


def test_several_at_once_download_once(tmp_path, downloads):
    threads = [threading.Thread(target=library.ensure, args=(tmp_path, silent)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert downloads.count == 1


def test_another_content_is_refused_and_nothing_stays(tmp_path, downloads):
    downloads.content = b"something else"
    with pytest.raises(Refused, match="SHA-256"):
        library.ensure(tmp_path, silent)
    assert left_in(tmp_path) == []


def test_a_file_of_another_size_is_made_again(tmp_path, downloads):
    library.library_path(tmp_path).write_bytes(b"cut")
    assert library.ensure(tmp_path, silent).read_bytes() == PATCHED


def test_what_a_killed_download_left_is_removed(tmp_path, downloads):
    (tmp_path / "download-old").mkdir()
    (tmp_path / "download-old" / "half.so").write_bytes(b"half")
    library.ensure(tmp_path, silent)
    assert left_in(tmp_path) == [library.library_path(tmp_path).name]


def test_a_full_disk_is_refused_before_the_download(tmp_path, downloads, monkeypatch):
    monkeypatch.setattr(library, "_ROOM_BYTES", 1 << 62)
    with pytest.raises(Refused, match="no room"):
        library.ensure(tmp_path, silent)
    assert downloads.count == 0


def test_a_cache_that_cannot_be_made_says_what_to_set(tmp_path, downloads):
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="OCICAT_CACHE"):
        library.ensure(tmp_path / "file" / "cache", silent)


def test_the_cache_can_be_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("OCICAT_CACHE", str(tmp_path))
    assert library.default_cache() == tmp_path
    monkeypatch.delenv("OCICAT_CACHE")
    assert str(library.default_cache()) == "/var/cache/ocicat"


@pytest.mark.parametrize("failing", [library.DOWNLOADER, library.REQUIREMENT])
@pytest.mark.parametrize(
    ("stderr", "kind", "words"),
    [
        ("WARNING: x\nERROR: Could not find a version\nhint", Unavailable, "Could not find a version"),
        ("", Unavailable, "pip said nothing"),
        ("OSError: [Errno 28] No space left on device", Refused, "no room"),
    ],
)
def test_a_download_that_fails_says_why(monkeypatch, tmp_path, stderr, kind, words, failing):
    def pip(command, **_):
        return library.subprocess.CompletedProcess(command, int(command[-1] == failing), "", stderr)

    monkeypatch.setattr(library.subprocess, "run", pip)
    with pytest.raises(kind, match=words):
        library.download(tmp_path)


def test_only_what_was_unpacked_counts_not_how_pip_ended(monkeypatch, tmp_path):
    def pip(command, env, **_):
        if command[-1] == library.REQUIREMENT:
            assert env["PYTHONPATH"] == str(tmp_path / "pip")
            (tmp_path / "deep" / "down").mkdir(parents=True)
            (tmp_path / "deep" / "down" / "_scheduler.so").write_bytes(ORIGINAL)
        return library.subprocess.CompletedProcess(command, int(command[-1] == library.REQUIREMENT), "", "no project")

    monkeypatch.setattr(library.subprocess, "run", pip)
    assert library.download(tmp_path).read_bytes() == ORIGINAL


def test_a_file_that_is_not_the_library_is_not_loaded(tmp_path):
    (tmp_path / "other.so").write_bytes(b"\x7fELF")
    with pytest.raises(Refused, match="not libmesos"):
        verify(str(tmp_path / "other.so"))
    with pytest.raises(Refused, match="No such file"):
        verify(str(tmp_path / "none.so"))
