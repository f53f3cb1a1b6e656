"""`-f`: resources from files, directories and standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import click

from ocicat.cli.naming import DEFAULT_NAMESPACE
from ocicat.errors import UserError
from ocicat.model.base import Struct
from ocicat.model.manifest import Manifest, read
from ocicat.model.v3.document import Document, Malformed, parse
from ocicat.resources import placed

F = TypeVar("F", bound=Callable[..., None])

STDIN = "-"
_STDIN_NAME = "standard input"
_SUFFIXES = (".yaml", ".yml", ".json")


class Given(Struct, frozen=True):
    """A resource and where it was written."""

    document: Document
    manifest: Manifest


class Input(Struct, frozen=True):
    """What the files hold, in order. `errors`: what in them is no resource; an error in one document hides no other document."""

    given: tuple[Given, ...]
    errors: tuple[UserError, ...] = ()


def file_options(*, required: bool) -> Callable[[F], F]:
    """`-f` and `-R`."""

    def decorated(function: F) -> F:
        recursive = click.option("-R", "--recursive", is_flag=True, help="Directories with all directories in them.")
        files = click.option(
            "-f",
            "--filename",
            "files",
            multiple=True,
            required=required,
            metavar="FILE",
            help="YAML or JSON: a file, a directory, or - for standard input. May be given several times.",
        )
        return files(recursive(function))

    return decorated


def read_files(files: tuple[str, ...], *, recursive: bool, namespace: str) -> Input:
    """Every resource; those of a kind that lies in a namespace, and that say none, get `namespace`, or the default one.

    Errors: UserError: no such file, nothing in it, standard input twice.
    """
    if "" in files:
        raise UserError("-f '' names no file")
    if files.count(STDIN) > 1:
        raise UserError("-f - stands twice, and standard input can be read once")
    given: list[Given] = []
    errors: list[UserError] = []
    for name in files:
        before = len(given) + len(errors)
        for source, data in contents(name, recursive=recursive):
            _read(data, source, namespace, given, errors)
        if before == len(given) + len(errors):
            raise UserError(f"{_STDIN_NAME if name == STDIN else name}: holds no resource")
    return Input(tuple(given), tuple(errors))


def contents(name: str, *, recursive: bool) -> Iterator[tuple[str, bytes]]:
    """What is in a file, in the files of a directory, or in standard input ("-"): where it was read, and what."""
    try:
        if name == STDIN:
            yield _STDIN_NAME, _standard_input()
            return
        for path in _paths(name, recursive=recursive):
            yield str(path), path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name with a null in it
        what, reason = (error.filename, error.strerror) if isinstance(error, OSError) else (None, str(error))
        raise UserError(f"{str(what or name)!r} cannot be read: {reason}") from error


def _standard_input() -> bytes:
    if sys.stdin is None:
        raise UserError("standard input is closed")
    return sys.stdin.buffer.read()


def _paths(name: str, *, recursive: bool) -> list[Path]:
    """Errors: OSError: also of a directory in it that may not be read, because what is left out would be missed by nobody."""
    path = Path(name)
    if not path.is_dir():
        return [path]
    matching: list[Path] = []
    for directory, inner, files in os.walk(path, onerror=_fail):
        matching += (Path(directory, file) for file in files if file.endswith(_SUFFIXES))
        if not recursive:
            inner.clear()
    if not matching:
        hint = "" if recursive else "-R looks into the directories in it too"
        raise UserError(f"{name}: there is no *.yaml, *.yml or *.json in this directory", hint=hint)
    return sorted(matching)


def _fail(error: OSError) -> None:
    raise error


def _read(data: bytes, source: str, namespace: str, given: list[Given], errors: list[UserError]) -> None:
    try:
        manifests = read(data, source=source)
    except UserError as error:
        errors.append(error)
        return
    for manifest in manifests:
        for field, what in manifest.unclear:
            errors.append(UserError(f"{manifest.where_of(field)}: {field}: {what}"))
        if manifest.unclear:
            continue
        try:
            given.append(Given(_document(manifest, namespace), manifest))
        except UserError as error:
            errors.append(error)


def _document(manifest: Manifest, namespace: str) -> Document:
    try:
        document = parse(manifest.raw)
    except Malformed as error:
        raise UserError(f"{manifest.where_of(error.field)}: {error.message}", hint=error.hint) from error
    own = document.resource.metadata.namespace
    if document.kind.namespaced and own and namespace and own != namespace:
        where = manifest.where_of("metadata.namespace")
        raise UserError(f"{where}: metadata.namespace is {own!r}, and {namespace!r} with -n")
    return placed(document, namespace or DEFAULT_NAMESPACE)
