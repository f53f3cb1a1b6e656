"""What is wrong with what was asked for: told one line each, in the order of the files, and then the end."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from typing import NoReturn

import click

from ocicat.cli.files import Given
from ocicat.cli.talk import say
from ocicat.errors import OcicatError, UserError
from ocicat.resources.change import Rejection, Remark

Problem = OcicatError | Rejection
_PLACE = re.compile(r"(.*?):(\d+):")


def refuse(problems: Sequence[Problem], given: Sequence[Given] = (), *, whole: bool = True) -> NoReturn:
    """Tells every problem and ends the command: with 2 if anything is invalid. `whole`: nothing at all was done."""
    lines = _said(problems, given)
    if len(lines) > 1 or (whole and len(given) > 1):
        count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
        click.echo(f"{count}{', nothing was changed' if whole else ''}", err=True)
    codes = [problem.exit_code for problem in problems]
    sys.exit(UserError.exit_code if UserError.exit_code in codes else codes[0])


def note(remarks: Sequence[Remark], given: Sequence[Given] = ()) -> None:
    """Tells what has no effect in what was asked for."""
    _said(remarks, given)


def _said(problems: Sequence[Problem | Remark], given: Sequence[Given]) -> list[str]:
    lines = sorted(dict.fromkeys(_lines(problems, given)), key=_place)
    for line in lines:
        say(line)
    return lines


def _lines(problems: Sequence[Problem | Remark], given: Sequence[Given]) -> Iterator[str]:
    """With the line of the field at fault, where the object's alone is known."""
    manifests = {one.manifest.where: one.manifest for one in given}
    for problem in problems:
        if isinstance(problem, Rejection | Remark) and problem.field and problem.where in manifests:
            where = manifests[problem.where].where_of(problem.field)
            yield str(problem).replace(problem.where, where, 1)
        else:
            yield str(problem)


def _place(line: str) -> tuple[str, int]:
    """The file and the line in it that a problem begins with."""
    found = _PLACE.match(line)
    return (found[1], int(found[2])) if found else ("", 0)
