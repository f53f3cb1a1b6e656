"""A host's preparation carried out: killed anywhere, confirmed or not, and taken back to the byte."""

import fcntl
import os
import stat
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from test_changes_settings import Killed, Values

from ocicat.changes.files import Item, State, Tree
from ocicat.changes.settings import Wish
from ocicat.errors import NotFound, Refused
from ocicat.host import alone, prepare, watching
from ocicat.host.prepare import Planned
from ocicat.supervise import proc

HOSTS = b"127.0.0.1 localhost\n10.0.0.9 mine"
FIRST = Planned(
    (
        Item("/etc/hosts", State("block", b"10.0.0.2 h2\n")),
        Item("/etc/ocicat/host-boot", State("file", b"#!/bin/sh\n", 0o755)),
        Item("/etc/ocicat/link", State("link", b"/etc/hosts")),
    ),
    (Wish("own-rules", "a"), Wish("forward", "1")),
)
SECOND = Planned(
    (Item("/etc/hosts", State("block", b"10.0.0.3 h3\n")),), (Wish("own-rules", "a\nb"), Wish("mtu", "9000"))
)


class Killable(Tree):
    """Ends everything before its n-th change."""

    left = None

    def put(self, path, state):
        if self.left == 0:
            raise Killed
        if self.left is not None:
            self.left -= 1
        super().put(path, state)

    def remove_block(self, path):
        left, self.left = self.left, None
        super().remove_block(path)
        self.left = left


@pytest.fixture
def tree(tmp_path):
    tree = Killable(tmp_path, prepare.OWNER)
    tree.put("/etc/hosts", State("file", HOSTS, 0o640))
    (tmp_path / "var/lib").mkdir(parents=True)
    return tree


@pytest.fixture
def system():
    return Values(forward="0", mtu="1500", **{"own-rules": ""})


@pytest.fixture(autouse=True)
def watchers(monkeypatch):
    """All that are started. None outlives its test."""
    found, started = [], watching.started

    @contextmanager
    def noted(tree):
        with started(tree) as watcher:
            found.append(watcher.identity)
            yield watcher

    monkeypatch.setattr(watching, "started", noted)
    yield found
    proc.end(found, grace_s=0)


def files(tree):
    """All that there is after a boot: content and mode, or where a link leads."""
    found = {}
    for path in sorted(tree.root.rglob("*")):
        if path.relative_to(tree.root).parts[0] == "run":
            continue
        link = path.readlink() if path.is_symlink() else None
        found[str(path)] = link or (path.stat().st_mode, path.read_bytes() if path.is_file() else None)
    return found


def everything(tree, system):
    return files(tree), dict(system.values)


def test_prepared_again_changes_nothing_and_undone_all_is_as_before(tree, system):
    before = everything(tree, system)
    assert prepare.apply(tree, system, FIRST)
    after = everything(tree, system)
    assert not prepare.apply(tree, system, FIRST)
    assert everything(tree, system) == after
    assert prepare.undo(tree, system)[1] == []
    assert everything(tree, system) == before


def test_asked_for_something_else_what_was_asked_for_before_goes(tree, system):
    before = everything(tree, system)
    prepare.apply(tree, system, FIRST)
    prepare.apply(tree, system, SECOND)
    assert system.values == {"forward": "0", "mtu": "9000", "own-rules": "a\nb"}
    assert not tree.at("/etc/ocicat").exists() or not tree.names("/etc/ocicat")
    prepare.undo(tree, system)
    assert everything(tree, system) == before


@pytest.mark.parametrize("then", ["again", "otherwise", "undo"])
@pytest.mark.parametrize("count", range(7))
def test_killed_before_any_change_of_a_file_it_is_completed_or_undone(tree, system, count, then):
    before = everything(tree, system)
    tree.left = count
    with pytest.raises(Killed):
        prepare.apply(tree, system, FIRST)
    settle(tree, system, then)
    assert everything(tree, system) == before


@pytest.mark.parametrize("then", ["again", "otherwise", "undo"])
@pytest.mark.parametrize("count", range(2))
def test_killed_before_any_change_of_a_setting_it_is_completed_or_undone(tree, system, count, then):
    before = everything(tree, system)
    system.left = count
    with pytest.raises(Killed):
        prepare.apply(tree, system, FIRST)
    settle(tree, system, then)
    assert everything(tree, system) == before


def settle(tree, system, then):
    tree.left = system.left = None
    if then == "again":
        prepare.apply(tree, system, FIRST)
        assert not prepare.changes(tree, system, FIRST)
        assert prepare.journal(tree) is None
    if then == "otherwise":
        prepare.apply(tree, system, SECOND)
        assert not prepare.changes(tree, system, SECOND)
    assert prepare.undo(tree, system)[1] == []


@pytest.mark.parametrize("count", range(5))
def test_undo_killed_anywhere_is_completed_by_undo(tree, system, count):
    before = everything(tree, system)
    prepare.apply(tree, system, FIRST)
    tree.left = count
    with pytest.raises(Killed):
        prepare.undo(tree, system)
    tree.left = None
    prepare.undo(tree, system)
    assert everything(tree, system) == before


def test_what_somebody_has_edited_since_is_left(tree, system):
    prepare.apply(tree, system, FIRST)
    tree.put("/etc/ocicat/host-boot", State("file", b"mine", 0o755))
    system.values["forward"] = "2"
    assert prepare.undo(tree, system)[1] == ["/etc/ocicat/host-boot", "forward"]
    assert (tree.text("/etc/ocicat/host-boot"), system.values["forward"]) == ("mine", "2")


def test_nothing_waits_for_a_confirmation(tree, system):
    with pytest.raises(NotFound):
        prepare.confirm(tree)
    prepare.apply(tree, system, FIRST)
    with pytest.raises(NotFound):
        prepare.confirm(tree)


def test_until_it_is_confirmed_nothing_else_is_changed(tree, system):
    before = everything(tree, system)
    prepare.apply(tree, system, FIRST, confirm_s=600)
    with pytest.raises(Refused, match="confirmation"):
        prepare.apply(tree, system, SECOND)
    watcher = prepare.journal(tree).watcher
    prepare.confirm(tree)
    assert proc.wait_gone([watcher], timeout_s=30)
    assert prepare.apply(tree, system, SECOND)
    prepare.undo(tree, system)
    assert everything(tree, system) == before


def test_not_confirmed_it_goes_back_to_before_this_run_and_undo_to_before_the_first(tree, system):
    before = everything(tree, system)
    prepare.apply(tree, system, FIRST)
    first = everything(tree, system)
    prepare.apply(tree, system, SECOND, confirm_s=600)
    waiting = prepare.journal(tree)
    assert prepare.roll_back(tree, system, waiting.until_s)
    assert everything(tree, system) == first
    assert not prepare.roll_back(tree, system, waiting.until_s)
    assert proc.wait_gone([waiting.watcher], timeout_s=30)
    prepare.undo(tree, system)
    assert everything(tree, system) == before


def test_the_very_first_run_taken_back_leaves_nothing(tree, system):
    before = everything(tree, system)
    prepare.apply(tree, system, FIRST, confirm_s=600)
    waiting = prepare.journal(tree)
    assert prepare.roll_back(tree, system, waiting.until_s)
    assert everything(tree, system) == before
    assert proc.wait_gone([waiting.watcher], timeout_s=30)


def test_it_goes_back_by_itself(tree, watchers):
    """Files only: the process that goes back knows this machine's settings, and none of this test's."""
    before = files(tree)
    prepare.apply(tree, Values(), Planned(FIRST.items), confirm_s=0.5)
    assert proc.wait_gone(watchers, timeout_s=60)
    assert (len(watchers), files(tree)) == (1, before)


def test_who_goes_back_has_nothing_of_the_directory_it_is_started_in(tree, tmp_path, monkeypatch, watchers):
    package = tmp_path / "elsewhere/ocicat"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f"open({str(tmp_path / 'hijacked')!r}, 'w')\n")
    monkeypatch.chdir(package.parent)
    prepare.apply(tree, Values(), Planned(FIRST.items), confirm_s=600)
    assert prepare.waits(prepare.journal(tree))
    assert not (tmp_path / "hijacked").exists()
    assert str(Path(f"/proc/{watchers[0].pid}/cwd").readlink()) == "/"


def test_nothing_is_changed_where_nobody_would_go_back(tree, system, monkeypatch):
    before = everything(tree, system)
    monkeypatch.setattr(watching.sys, "executable", "/bin/false")
    with pytest.raises(Refused, match="does not start"):
        prepare.apply(tree, system, FIRST, confirm_s=600)
    assert everything(tree, system) == before


def test_killed_before_it_is_told_its_time_nothing_has_changed_and_nobody_waits(tree, system, watchers):
    before = everything(tree, system)
    tree.left = 0
    with pytest.raises(Killed):
        prepare.apply(tree, system, FIRST, confirm_s=600)
    assert proc.wait_gone(watchers, timeout_s=60)
    assert everything(tree, system) == before


def test_going_back_what_cannot_be_put_back_stays_recorded_and_all_else_goes(tree, system):
    before = everything(tree, system)
    prepare.apply(tree, system, FIRST, confirm_s=600)
    waiting = prepare.journal(tree)
    system.stuck = {"stuck own-rules"}
    assert prepare.roll_back(tree, system, waiting.until_s)
    assert prepare.still(tree, system, FIRST, waiting.changes) == ["own-rules"]
    assert (system.values["forward"], tree.at("/etc/ocicat").exists()) == ("0", False)
    assert prepare.undo(tree, system).failed == ["own-rules: own-rules is stuck"]
    system.stuck = set()
    assert prepare.undo(tree, system).failed == []
    assert everything(tree, system) == before


def test_what_is_another_s_by_now_is_neither_wished_nor_put_back(tree, system):
    prepare.apply(tree, system, FIRST)
    later = Planned(FIRST.items, FIRST.wishes[:1], forgotten=("forward",))
    assert not prepare.apply(tree, system, later)
    prepare.undo(tree, system)
    assert system.values["forward"] == "1"


def test_one_at_a_time_and_only_its_owner_can_lock(tree, system):
    prepare.apply(tree, system, FIRST)
    path = tree.at(alone.PATH)
    with alone.alone(tree):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with pytest.raises(Refused, match=f"process {os.getpid()} has been"), alone.alone(tree, 0.01):
            pass
    assert not path.parent.exists()
    everybody_s = os.open(tree.root, os.O_RDONLY)
    try:
        fcntl.flock(everybody_s, fcntl.LOCK_EX)
        assert prepare.undo(tree, system).made
    finally:
        os.close(everybody_s)


def test_what_one_removes_another_does_not_hold(tree, monkeypatch):
    """Somebody waits for the lock of a run that ends, and its file goes: the lock of no file is nobody's."""
    path, opened = tree.at(alone.PATH), os.open
    path.parent.mkdir(parents=True)

    def removed_meanwhile(*args, **more):
        monkeypatch.undo()
        lock = opened(*args, **more)
        path.unlink()
        return lock

    monkeypatch.setattr(alone.os, "open", removed_meanwhile)
    with alone.alone(tree, 5):
        assert path.read_text() == f"{os.getpid()}\n"
    assert path.parent.exists()  # it was there before


@pytest.mark.parametrize("moment", ["before it is opened", "while it is made"])
def test_a_directory_that_goes_while_somebody_waits_is_made_again(tree, monkeypatch, moment):
    path, opened, is_dir = tree.at(alone.PATH), os.open, Path.is_dir

    def removed_meanwhile(*args, **more):
        monkeypatch.undo()
        path.parent.rmdir()
        return (opened if moment == "before it is opened" else is_dir)(*args, **more)

    if moment == "while it is made":
        path.parent.mkdir(parents=True)
        monkeypatch.setattr(Path, "is_dir", removed_meanwhile)
    else:
        monkeypatch.setattr(alone.os, "open", removed_meanwhile)
    with alone.alone(tree, 0):
        assert path.read_text() == f"{os.getpid()}\n"
    assert not path.parent.exists()


def test_a_directory_that_cannot_be_made_is_told(tree):
    tree.put("/run/ocicat", State("file", b""))
    with pytest.raises(Refused, match=r"host\.lock: File exists"), alone.alone(tree, 0):
        pass


def test_who_is_told_is_who_holds_it_and_what_is_another_s_stays(tree):
    path = tree.at(alone.PATH)
    path.parent.mkdir(parents=True)
    path.write_text("1234567890\n")  # of one that was killed
    with alone.alone(tree):
        assert path.read_text() == f"{os.getpid()}\n"
        path.unlink()
        path.write_text("another's")
    assert path.read_text() == "another's"


def test_killed_while_it_waits_it_can_be_prepared_again(tree, system):
    prepare.apply(tree, system, FIRST, confirm_s=600)
    watcher = prepare.journal(tree).watcher
    proc.end([watcher], grace_s=0)
    with pytest.raises(Refused, match="interrupted"):
        prepare.confirm(tree)
    prepare.apply(tree, system, FIRST)
    assert prepare.journal(tree) is None


def test_the_time_left_is_told(tree, system):
    prepare.apply(tree, system, FIRST, confirm_s=600)
    found = prepare.journal(tree)
    assert 500 < found.until_s - time.monotonic() <= 600
    prepare.undo(tree, system)
    assert proc.wait_gone([found.watcher], timeout_s=30)
