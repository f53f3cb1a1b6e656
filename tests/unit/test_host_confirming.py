"""Who confirms on a terminal: a line that is entered once it is asked for, and not a terminal that hangs up."""

import os
import pty
import subprocess
import sys

import pytest

from ocicat.cli.commands import host_prepare as command
from ocicat.host.prepare import Changes, Planned
from ocicat.host.preparing.everything import Plan

# The real question; in place of a run that waits: one that always does.
ASKING = """
from types import SimpleNamespace
from ocicat.cli.commands import host_prepare as command
left = iter(range(20))
command.host.journal = lambda tree: SimpleNamespace(changes=None)
command.host.waits = lambda found: next(left, None) is not None
command.host.confirm = lambda tree: print("kept", flush=True)
command.finder = lambda tree: None
input("typed ahead? ")
print("first", flush=True)
import time, select, sys
select.select([sys.stdin], [], [], 10)
command._wait(None, None, None, 60)
"""


@pytest.mark.parametrize("end", ["enter", "hang-up", "typed-ahead"])
def test_only_a_line_that_is_entered_after_the_question_confirms(end):
    mine, its = pty.openpty()
    line = [sys.executable, "-c", ASKING]
    with subprocess.Popen(line, stdin=its, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        os.close(its)
        os.write(mine, b"yes\nand more\n")
        said = ""
        while "press Enter" not in said:
            said += (more := program.stderr.readline())
            assert more, said
        if end == "enter":
            os.write(mine, b"\n")
        if end == "hang-up":
            os.close(mine)
        out, err = program.communicate(timeout=60)
        if end != "hang-up":
            os.close(mine)
    assert ("kept" in out) is (end == "enter")
    assert ("the terminal has gone" in err) is (end == "hang-up")
    assert (program.returncode == 0) is (end == "enter")


@pytest.mark.parametrize("behind_s", [0.0, 30.0])
def test_a_clock_that_was_stepped_is_something_that_changed(behind_s, monkeypatch, capsys):
    """The clock itself is stepped in a machine of its own: tests/kernels."""
    stepped = []
    monkeypatch.setattr(command.hosting, "need_root", lambda: None)
    monkeypatch.setattr(command.everything, "plan", lambda *_: Plan(Planned(), step_s=behind_s))
    monkeypatch.setattr(command.host, "changes", lambda *_: Changes())
    monkeypatch.setattr(command.host, "apply", lambda *_: Changes())
    monkeypatch.setattr(command.host, "journal", lambda _: None)
    monkeypatch.setattr(command.clock, "step", stepped.append)
    command.prepare.main(["--role", "agent", "--set-clock"], standalone_mode=False)
    assert stepped == ([behind_s] if behind_s else [])
    assert ("nothing to change" in capsys.readouterr().err) is not bool(behind_s)
