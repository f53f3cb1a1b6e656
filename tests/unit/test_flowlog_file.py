"""A file of bounded size, and somebody who reads it meanwhile."""

from __future__ import annotations

import pytest

from ocicat.agent.flowlog.file import Tail, append, written
from ocicat.errors import NotFound, Refused


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log" / "flows.log"


def lines(*numbers):
    return [b"%08d\n" % number for number in numbers]  # 9 bytes each


def numbers(found):
    return [int(line) for line in found]


def test_it_is_made_with_its_directory_and_not_for_everybody(path):
    append(path, lines(1))
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.read_bytes() == b"00000001\n"


def test_it_never_takes_more_than_its_share(path):
    for number in range(40):
        append(path, lines(number), most_bytes=30, kept=2)
    assert [one.name for one in written(path)] == ["flows.log.2", "flows.log.1", "flows.log"]
    assert all(one.stat().st_size <= 30 for one in written(path))
    assert content(path) == list(range(33, 40))


def test_many_lines_at_once_go_over_as_many_files(path):
    append(path, lines(*range(10)), most_bytes=30, kept=9)
    assert content(path) == list(range(10))
    assert len(written(path)) == 4


def test_files_are_in_order_beyond_nine(path):
    append(path, lines(*range(40)), most_bytes=30, kept=12)
    assert content(path) == list(range(3, 40))


def test_a_torn_line_does_not_spoil_the_next(path):
    append(path, lines(1))
    with path.open("ab") as file:
        file.write(b"0000")
    append(path, lines(2))
    assert path.read_bytes() == b"00000001\n0000\n00000002\n"


def test_what_cannot_be_written_is_said(path):
    path.parent.mkdir()
    path.mkdir()
    with pytest.raises(Refused, match=r"cannot write .*flows\.log"):
        append(path, lines(1))


def test_a_file_that_was_moved_away_begins_anew(path):
    append(path, lines(1))
    path.rename(path.with_name("mine"))
    append(path, lines(2))
    assert path.read_bytes() == b"00000002\n"


def content(path):
    return numbers(b"".join(one.read_bytes() for one in written(path)).splitlines())


# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_reader_sees_every_line_once_over_rotations(path):
    append(path, lines(*range(5)), most_bytes=30, kept=9)
    tail, seen = Tail(path), []
    for first in range(5, 60, 7):
        seen += numbers(tail.lines())
        append(path, lines(*range(first, first + 7)), most_bytes=30, kept=9)
    seen += numbers(tail.lines())
    assert seen == list(range(61))
    assert numbers(tail.lines()) == []


def test_a_line_is_told_when_it_is_whole(path):
    append(path, lines(1))
    tail = Tail(path)
    assert numbers(tail.lines()) == [1]
    with path.open("ab") as file:
        file.write(b"0000")
        file.flush()
        assert list(tail.lines()) == []
        file.write(b"0002\n")
    assert numbers(tail.lines()) == [2]


def test_a_reader_that_fell_behind_goes_on_with_what_is_left(path):
    append(path, lines(1))
    tail = Tail(path)
    assert numbers(tail.lines()) == [1]
    path.unlink()
    assert list(tail.lines()) == []
    for number in range(2, 40):
        append(path, lines(number), most_bytes=30, kept=1)
    left = numbers(tail.lines())
    assert left[-1] == 39
    assert left == sorted(set(left))


def test_without_a_file_it_says_what_to_do(path):
    with pytest.raises(NotFound, match="flowLogsLocalReporter: Enabled"):
        list(Tail(path).lines())
