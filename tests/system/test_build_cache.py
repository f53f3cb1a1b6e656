"""What takes long to make is made once; nothing half made, and not all that was ever made, stays."""

import os

import build_cache
import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(build_cache, "CACHE", tmp_path / "cache")
    return tmp_path / "cache"


def make(folder, content="made"):
    assert list(folder.iterdir()) == []
    (folder / "beside").touch()
    (folder / "file").write_text(content)
    return folder / "file"


def names(cache):
    return sorted(path.name for path in cache.iterdir())


def test_it_is_made_once(cache):
    first = build_cache.once("kind", "a", make, 2)
    assert build_cache.once("kind", "a", lambda _folder: pytest.fail("made again"), 2) == first
    assert (first.read_text(), names(cache)) == ("made", ["kind-a", "kind.lock"])


def test_what_failed_or_was_killed_leaves_nothing(cache):
    with pytest.raises(ZeroDivisionError):
        build_cache.once("kind", "a", lambda _folder: 1 / 0, 2)
    assert names(cache) == ["kind.lock"]
    (cache / "building-kind-killed").mkdir()
    build_cache.once("kind", "b", make, 2)
    assert names(cache) == ["kind-b", "kind.lock"]


def test_of_a_kind_the_latest_asked_for_are_kept_beside_the_new_one(cache):
    for age, name in enumerate("abc"):
        os.utime(build_cache.once("kind", name, make, 3), (age, age))
    build_cache.once("other", "a", make, 1)
    build_cache.once("kind", "a", make, 2)  # asked for again
    build_cache.once("kind", "d", make, 2)
    assert names(cache) == ["kind-a", "kind-c", "kind-d", "kind.lock", "other-a", "other.lock"]
