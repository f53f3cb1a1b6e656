"""Files put there and taken back: who may read them meanwhile, and which one goes last."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ocicat.changes import record
from ocicat.changes.files import Item, State, Tree

FIRST, LAST, OTHER = "/etc/x/a.conf", "/etc/x/what-it-is.json", "/etc/x/z.conf"
ITEMS = [Item(path, State("file", f"{path}\n".encode())) for path in (LAST, FIRST, OTHER)]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    made = Tree(tmp_path, "test")
    record.install(made, record.load(made), ITEMS)
    return made


def uninstall(tree: Tree) -> tuple[list[str], list[str]]:
    planned, edited = record.uninstall(tree, record.load(tree), last=LAST)
    return [one.path for one in planned], edited


def test_what_says_what_there_is_goes_last(tree: Tree) -> None:
    gone, edited = uninstall(tree)
    assert (sorted(gone[:-1]), gone[-1], edited) == ([FIRST, OTHER], LAST, [])
    assert list(tree.root.rglob("*.*")) == []


@pytest.mark.parametrize("mended", [True, False], ids=["put back", "removed"])
def test_while_something_edited_is_left_it_stays_and_goes_with_it(tree: Tree, mended: bool) -> None:
    tree.at(FIRST).write_text("edited\n")
    assert uninstall(tree) == ([OTHER], [FIRST])
    assert tree.at(LAST).exists()
    assert uninstall(tree) == ([], [FIRST])
    if mended:
        tree.at(FIRST).write_text(f"{FIRST}\n")
    else:
        tree.at(FIRST).unlink()
    assert uninstall(tree) == ([FIRST, LAST] if mended else [LAST], [])
    assert [path for path in tree.root.rglob("*") if path.is_file()] == []


def test_a_file_is_its_owners_alone_until_it_has_its_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    mode_of = os.fchmod

    def watched(fd: int, mode: int) -> None:
        seen.append((stat.S_IMODE(os.fstat(fd).st_mode), mode))
        mode_of(fd, mode)

    monkeypatch.setattr(os, "fchmod", watched)
    Tree(tmp_path, "test").put("/secret", State("file", b"s", 0o640))
    assert seen == [(0o600, 0o640)]
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o640


def test_nothing_is_written_through_a_link_that_was_left_there(tmp_path: Path) -> None:
    (tmp_path / f".file.{os.getpid()}").symlink_to(tmp_path / "victim")
    (tmp_path / "victim").write_text("v")
    Tree(tmp_path, "test").put("/file", State("file", b"new"))
    assert ((tmp_path / "victim").read_text(), (tmp_path / "file").read_text()) == ("v", "new")
