"""`ocicat delete`: resources go, by name or as files name them."""

from __future__ import annotations

import click

from ocicat.cli.changing import OutcomeFormat, Way, change_files, each_option, make, outcome_options
from ocicat.cli.files import file_options
from ocicat.cli.naming import asked, namespace_option
from ocicat.cli.opening import store_option
from ocicat.errors import UserError
from ocicat.resources import Delete, deletion


@click.command()
@click.argument("words", nargs=-1, metavar="[KIND NAME... | KIND/NAME...]")
@file_options(required=False)
@namespace_option
@click.option(
    "-s",
    "--ignore-not-found",
    "--skip-not-exists",
    "skip_missing",
    is_flag=True,
    help="What is not there is no error.",
)
@click.option("--force", is_flag=True, help="Although something still uses it.")
@outcome_options
@each_option
@store_option
def command(
    words: tuple[str, ...],
    files: tuple[str, ...],
    recursive: bool,
    namespace: str,
    skip_missing: bool,
    force: bool,
    style: OutcomeFormat,
    dry_run: bool,
    each: bool,
    store: str,
) -> None:
    """Delete resources, by name or as files name them. A resourceVersion in a file must be the present one.

    \b
    Example:
      ocicat delete policy web db -n shop
      ocicat delete tier/old globalnetworkpolicy/old.web
      ocicat delete -f policies/ --ignore-not-found
    """
    way = Way(store, style, dry_run, each)
    if bool(words) == bool(files):
        raise UserError("name what to delete, or give files with -f", hint="for example `ocicat delete ippool NAME`")
    if files:
        change_files(
            files,
            lambda one: deletion(one.document, force=force, skip_missing=skip_missing, where=one.manifest.where),
            way,
            recursive=recursive,
            namespace=namespace,
        )
        return
    named = asked(words, namespace)
    if any(not one.name for one in named):
        raise UserError(f"{words[0]}: name which to delete", hint=f"`ocicat get {words[0]}` shows them")
    make(
        [
            Delete(kind=one.kind, name=one.name, namespace=one.namespace, force=force, skip_missing=skip_missing)
            for one in named
        ],
        way,
    )
