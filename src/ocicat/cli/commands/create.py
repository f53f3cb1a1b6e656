"""`ocicat create`: new resources from files."""

from __future__ import annotations

import click

from ocicat.cli.changing import OutcomeFormat, Way, change_files, each_option, outcome_options
from ocicat.cli.files import file_options
from ocicat.cli.naming import namespace_option
from ocicat.cli.opening import store_option
from ocicat.resources import Create


@click.command()
@file_options(required=True)
@namespace_option
@click.option("--skip-exists", is_flag=True, help="What is there already stays as it is, and is no error.")
@outcome_options
@each_option
@store_option
def command(
    files: tuple[str, ...],
    recursive: bool,
    namespace: str,
    skip_exists: bool,
    style: OutcomeFormat,
    dry_run: bool,
    each: bool,
    store: str,
) -> None:
    """Create resources. One that exists already is a conflict, and then nothing is created.

    \b
    Example:
      ocicat create -f pools.yaml
      ocicat create -f policies/ --recursive --dry-run
    """
    change_files(
        files,
        lambda one: Create(document=one.document, where=one.manifest.where, skip_existing=skip_exists),
        Way(store, style, dry_run, each, may_create=True),
        recursive=recursive,
        namespace=namespace,
    )
