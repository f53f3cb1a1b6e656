"""`ocicat replace`: other contents for resources that are there."""

from __future__ import annotations

import click

from ocicat.cli.changing import OutcomeFormat, Way, change_files, each_option, outcome_options
from ocicat.cli.files import file_options
from ocicat.cli.naming import namespace_option
from ocicat.cli.opening import store_option
from ocicat.resources import Replace


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
    """Replace labels, annotations and spec of resources that exist. One that does not exist is an error.

    \b
    Example:
      ocicat replace -f policy.yaml
    """
    change_files(
        files,
        lambda one: Replace(document=one.document, where=one.manifest.where),
        Way(store, style, dry_run, each),
        recursive=recursive,
        namespace=namespace,
    )
