"""`ocicat validate`: are files right, without any datastore."""

from __future__ import annotations

import click

from ocicat.cli.changing import documents, validated
from ocicat.cli.files import file_options, read_files
from ocicat.cli.naming import namespace_option
from ocicat.cli.printing import name_of, print_lines
from ocicat.cli.problems import Problem, note, refuse
from ocicat.resources import remarks_only


@click.command()
@file_options(required=True)
@namespace_option
def command(files: tuple[str, ...], recursive: bool, namespace: str) -> None:
    """Check files: the form of every field, the rules between fields, and what is not supported. No datastore is needed.

    What only the datastore can tell (that pools overlap, that a tier is missing) is checked by --dry-run of the other commands.

    \b
    Example:
      ocicat validate -f policies/ --recursive
    """
    found = read_files(files, recursive=recursive, namespace=namespace)
    problems: list[Problem] = [*found.errors, *validated(found.given)]
    note(remarks_only(documents(found.given)), found.given)
    if problems:
        refuse(problems, found.given, whole=False)
    print_lines(f"{name_of(one.document)} valid" for one in found.given)
