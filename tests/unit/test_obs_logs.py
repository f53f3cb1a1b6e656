"""One record, one line, whatever names it holds; times that a collector can place."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from ocicat.obs import logs


@pytest.fixture(autouse=True)
def root():
    """The root logger as it was."""
    found = logging.getLogger()
    before = found.handlers[:], found.level
    yield found
    found.handlers[:] = before[0]
    found.setLevel(before[1])


def record(text, *args, trace=None):
    return logging.LogRecord("ocicat.agent", logging.ERROR, "x.py", 1, text, args, trace)


def formatted(style, *args, **kwargs):
    logs.set_up("info", style)
    return logging.getLogger().handlers[0].format(record(*args, **kwargs))


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_name_with_line_breaks_cannot_pass_for_a_record_of_its_own(style):
    line = formatted(style, "container %s", "x\r\n12:00:00 INFO all is well")
    assert len(line.splitlines()) == 1
    assert r"x\r\n12:00:00" in line


def test_json_has_the_trace_inside_and_its_time_in_utc():
    try:
        raise KeyError("x")
    except KeyError:
        fields = json.loads(formatted("json", "failed", trace=sys.exc_info()))
    assert sorted(fields) == ["level", "logger", "message", "time", "trace"]
    assert fields["time"].endswith("Z")
    assert "KeyError: 'x'" in fields["trace"]


def test_less_important_records_are_left_out():
    logs.set_up("warning", "text")
    assert not logging.getLogger("ocicat").isEnabledFor(logging.INFO)


def test_setting_up_again_replaces_the_first(root):
    logs.set_up("info", "text")
    logs.set_up("info", "json")
    assert len(root.handlers) == 1
