"""Modules run by the interpreter that runs this one. Pure."""

from __future__ import annotations

import sys


def module_line(module: str, *arguments: str) -> list[str]:
    """The command line of `python -m MODULE ARGUMENTS`; a file in the working directory is never taken for a module."""
    return [sys.executable, "-P", "-m", module, *arguments]
