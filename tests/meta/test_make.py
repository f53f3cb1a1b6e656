"""`make lint` fails when any of its tools does, also one whose output goes through a pipe."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("ruff", "mypy", "lint-imports")


def lint(directory, failing=""):
    """With tools that do nothing, but for one that fails."""
    for tool in TOOLS:
        path = directory / tool
        path.write_text(f"#!/bin/sh\nexit {int(tool == failing)}\n")
        path.chmod(0o755)
    line = ["make", "--no-print-directory", "-C", str(ROOT), "-o", "setup-dev", "lint", f"BIN={directory}"]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=30)


def test_it_passes_when_all_of_them_do(tmp_path):
    assert lint(tmp_path).returncode == 0


@pytest.mark.parametrize("tool", TOOLS)
def test_it_fails_when_one_of_them_does(tmp_path, tool):
    assert lint(tmp_path, failing=tool).returncode != 0
