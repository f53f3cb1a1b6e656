"""Files put there and taken back: who may read them meanwhile, and which one goes last."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from ocicat.changes import record
from ocicat.changes.files import Item, State, Tree
from ocicat.errors import Refused

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


@pytest.mark.parametrize("before", [b"", b"one=1\n", b"one=1"], ids=["no file", "a file", "without an end"])
def test_the_diff_of_a_block_is_that_of_its_file(tmp_path: Path, before: bytes) -> None:
    """`patch` makes of the one what we make."""
    path, made = "/etc/default/x", Tree(tmp_path / "made", "test")
    if before:
        made.put(path, State("file", before, 0o640))
    shutil.copytree(made.root, tmp_path / "patched", dirs_exist_ok=True) if before else (tmp_path / "patched").mkdir()
    for content in (b"A=1\n", b"A=2\nB=3\n", None):
        items = [Item(path, State("block", content))] if content else []
        planned = record.changes(made, record.load(made), items)
        text = record.diff(planned, made)
        record.install(made, record.load(made), items)
        patch = ["patch", "--quiet", "--strip=1", "--remove-empty-files", f"--directory={tmp_path / 'patched'}"]
        subprocess.run(patch, input=text, text=True, check=True)
        patched = Tree(tmp_path / "patched", "test")
        assert (patched.text(path), patched.is_file(path)) == (made.text(path), made.is_file(path))
    assert made.text(path).encode() == before


@pytest.mark.parametrize("before", [None, b"one=1\n"], ids=["to nothing", "to a file"])
def test_a_block_behind_a_link_is_shown_in_its_file_and_the_link_stays(tmp_path: Path, before: bytes | None) -> None:
    tree = Tree(tmp_path, "test")
    tree.put("/etc/hosts", State("link", b"hosts.real"))
    tree.put("/etc/hosts.real", State("file", before, 0o640) if before else None)
    items = [Item("/etc/hosts", State("block", b"A=1\n"))]
    made = record.diff(record.changes(tree, record.load(tree), items), tree)
    record.install(tree, record.load(tree), items)
    after = tree.text("/etc/hosts.real")
    assert [line[1:] for line in made.splitlines(keepends=True)[3:]] == after.splitlines(keepends=True)
    gone = record.diff(record.removals(tree, record.load(tree))[0], tree)
    assert "hosts.real" not in gone
    assert "-A=1\n" in gone
    record.uninstall(tree, record.load(tree))
    assert (tree.state("/etc/hosts"), tree.is_file("/etc/hosts.real")) == (
        State("link", b"hosts.real"),
        before is not None,
    )


def test_a_block_in_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    with pytest.raises(Refused, match="Is a directory"):
        Tree(tmp_path, "test").with_block("/etc", b"A=1\n")
