"""`ocicat apply`: resources as the files say, new or not."""

from __future__ import annotations

import click

from ocicat.cli.changing import OutcomeFormat, Way, change_files, each_option, outcome_options
from ocicat.cli.files import file_options
from ocicat.cli.naming import namespace_option
from ocicat.cli.opening import store_option
from ocicat.resources import Apply


@click.command()
@file_options(required=True)
@namespace_option
@outcome_options
@each_option
@store_option
def command(
    files: tuple[str, ...],
    recursive: bool,
    namespace: str,
    style: OutcomeFormat,
    dry_run: bool,
    each: bool,
    store: str,
) -> None:
    """Make resources what the files say: create what is missing, replace labels, annotations and spec of what is there.

    All files are one change: if anything in them is wrong, nothing is written. A file with a resourceVersion changes only
    that version.

    \b
    Example:
      ocicat apply -f policies/
      ocicat apply -f policy.yaml --dry-run
      cat policy.yaml | ocicat apply -f -
    """
    change_files(
        files,
        lambda one: Apply(document=one.document, where=one.manifest.where),
        Way(store, style, dry_run, each, may_create=True),
        recursive=recursive,
        namespace=namespace,
    )
