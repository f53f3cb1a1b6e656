"""Settings that a command changes: planned, recorded, interrupted anywhere, and taken back."""

import pytest

from ocicat.changes import settings
from ocicat.changes.files import Tree
from ocicat.changes.settings import Change, Entry, Record, Undone, Wish
from ocicat.errors import Refused


class Killed(BaseException):
    pass


class Values:
    """A running system: values by name; those whose name begins with "own" are ours alone."""

    def __init__(self, **values):
        self.values = values
        self.left = None  # writes until it is killed
        self.stuck = set()  # names of those that can be neither read nor written

    def __call__(self, name):
        return _Value(self, name)


class _Value:
    def __init__(self, system, name):
        self._system, self._name = system, name
        self.own = name.startswith("own")

    def read(self):
        self._refuse("gone")
        return self._system.values.get(self._name)

    def _refuse(self, how):
        if self._system.stuck & {self._name, f"{how} {self._name}"}:
            raise Refused(f"{self._name} is stuck")

    def write(self, value):
        self._refuse("stuck")
        if self._system.left == 0:
            raise Killed
        if self._system.left:
            self._system.left -= 1
        self._system.values[self._name] = value


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "var/lib/ocicat").mkdir(parents=True)
    return Tree(tmp_path, "host prepare")


WISHES = (Wish("forward", "1"), Wish("own-rules", "a\nb"), Wish("mtu", "1500"))


def before():
    return Values(forward="0", mtu="1500", **{"own-rules": ""})


def carry_out(tree, system, wishes):
    known = settings.load(tree)
    planned = settings.changes(system, known, wishes)
    settings.apply(tree, system, known, planned, wishes)
    return planned


def test_what_is_as_wished_is_not_changed_and_not_taken_back(tree):
    system = before()
    assert [change.name for change in carry_out(tree, system, WISHES)] == ["forward", "own-rules"]
    assert system.values == {"forward": "1", "own-rules": "a\nb", "mtu": "1500"}
    system.values["mtu"] = "9000"
    settings.undo(tree, system, settings.load(tree))
    assert system.values == {"forward": "0", "own-rules": "", "mtu": "9000"}


def test_again_there_is_nothing_to_do(tree):
    system = before()
    carry_out(tree, system, WISHES)
    assert carry_out(tree, system, WISHES) == []


def test_what_is_wished_no_more_is_taken_back(tree):
    system = before()
    carry_out(tree, system, WISHES)
    assert carry_out(tree, system, WISHES[1:]) == [Change("forward", "1", "0")]
    assert settings.load(tree) == Record((Entry("own-rules", "", "a\nb"),))


def test_what_somebody_has_changed_since_is_left_unless_it_is_ours_alone(tree):
    system = before()
    carry_out(tree, system, WISHES)
    system.values |= {"forward": "2", "own-rules": "a"}
    undone = settings.undo(tree, system, settings.load(tree))
    assert (undone.made, undone.left) == ((Change("own-rules", "a", ""),), ("forward",))
    assert [entry.name for entry in settings.load(tree).entries] == ["forward"]


def test_what_is_not_there_any_more_needs_nothing(tree):
    system = before()
    carry_out(tree, system, WISHES)
    del system.values["own-rules"], system.values["forward"]
    assert settings.undo(tree, system, settings.load(tree)) == Undone()
    assert settings.load(tree) == Record()


@pytest.mark.parametrize("how", ["gone", "stuck"])
def test_what_cannot_be_put_back_keeps_nothing_else_and_is_tried_again(tree, how):
    system, first = before(), before().values
    carry_out(tree, system, WISHES)
    system.stuck = {f"{how} own-rules"}
    undone = settings.undo(tree, system, settings.load(tree))
    assert undone.failed == {"own-rules": "own-rules: own-rules is stuck"}
    assert system.values == first | {"own-rules": "a\nb"}
    assert settings.load(tree) == Record((Entry("own-rules", "", "a\nb"),))
    system.stuck = set()
    assert settings.undo(tree, system, settings.load(tree)).made == (Change("own-rules", "a\nb", ""),)
    assert (system.values, settings.load(tree)) == (first, Record())


@pytest.mark.parametrize("writes", range(2))
@pytest.mark.parametrize("then", ["again", "undo"])
def test_killed_anywhere_it_is_completed_or_taken_back(tree, writes, then):
    system, first = before(), before().values
    system.left = writes
    with pytest.raises(Killed):
        carry_out(tree, system, WISHES)
    system.left = None
    if then == "again":
        carry_out(tree, system, WISHES)
        assert system.values == {"forward": "1", "own-rules": "a\nb", "mtu": "1500"}
    settings.undo(tree, system, settings.load(tree))
    assert system.values == first
    assert not tree.at(settings.path(tree)).exists()


def test_the_diff_has_the_lines_that_go_and_come():
    shown = settings.diff([Change("rules", "a\nb", "b\nc"), Change("forward", "0", "1")])
    assert shown == "rules\n-a\n+c\nforward\n-0\n+1\n"
