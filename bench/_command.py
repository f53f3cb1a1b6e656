"""A benchmark on the command line: its options, what it cannot do without, and one line for what goes wrong."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ocicat.errors import OcicatError


@dataclass(frozen=True, slots=True)
class Option:
    """A number or a text, as its default is."""

    default: int | str
    meaning: str = ""


def main(
    doc: str | None,
    bench: Callable[[argparse.Namespace], bool | None],
    options: Mapping[str, Option],
    *,
    programs: Mapping[Path, str] | None = None,
) -> int:
    """The exit code: 1 where `bench` says False, 2 without root or one of the `programs` (each with the package that brings it)."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    for name, option in options.items():
        words = f"{option.meaning} [%(default)s]".strip()
        parser.add_argument(f"--{name}", type=type(option.default), default=option.default, help=words)
    arguments = parser.parse_args()
    missing = [f"{path} (apt-get install {package})" for path, package in (programs or {}).items() if not path.exists()]
    if os.geteuid() != 0:
        missing.insert(0, "root")
    if missing:
        print(f"this needs {' and '.join(missing)}", file=sys.stderr)
        return 2
    try:
        return 1 if bench(arguments) is False else 0
    except OcicatError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
