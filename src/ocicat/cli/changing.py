"""What every command that changes resources does: reads the files, makes the changes, says what became of each object.

On standard output a line for each object, or the objects as YAML or JSON; on standard error every problem, and what has no effect,
one line each, with its file and line, and how many there were of what. All or nothing, unless `--each`.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from difflib import unified_diff
from typing import Literal, TypeVar

import click

from ocicat.cli.files import Given, Input, read_files
from ocicat.cli.naming import label
from ocicat.cli.opening import with_store
from ocicat.cli.printing import Group, list_of, print_lines, print_raw
from ocicat.cli.problems import Problem, note, refuse
from ocicat.errors import NotFound
from ocicat.model.base import Struct
from ocicat.model.manifest import ordered, yaml_text
from ocicat.model.v3.document import Document, merge_metadata
from ocicat.resources import Apply, Change, Create, Outcome, Rejected, Rejection, commit, commit_each, validate_only
from ocicat.store.base import Datastore
from ocicat.store.memory import URL as MEMORY

F = TypeVar("F", bound=Callable[..., None])

Results = tuple[Outcome | Rejection, ...]
Write = Callable[[Datastore], Awaitable[Results]]
OutcomeFormat = Literal["line", "name", "json", "yaml"]
SLOW = 500  # objects; with more, people are told that something happens


class Way(Struct, frozen=True):
    """How changes are made and told."""

    store: str
    style: OutcomeFormat
    dry_run: bool
    each: bool = False
    may_create: bool = False  # the datastore itself, if there is none


def outcome_options(function: F) -> F:
    """`--dry-run` and `-o`."""
    dry_run = click.option("--dry-run", is_flag=True, help="Write nothing; show what would change as a diff.")
    style = click.option(
        "-o",
        "--output",
        "style",
        type=click.Choice(["line", "name", "json", "yaml"]),
        default="line",
        show_default=True,
        help="What to print of each object: what became of it, its name, or itself.",
    )
    return dry_run(style(function))


each_option = click.option(
    "--each", is_flag=True, help="Write what can be written, and report the rest. Without it: all or nothing."
)


def change_files(
    files: tuple[str, ...],
    change_of: Callable[[Given], Change],
    way: Way,
    *,
    recursive: bool,
    namespace: str,
) -> None:
    """Makes a change of every resource in the files. Errors: as `read_files`; ends the command with 1 to 5 after other problems."""
    found = read_files(files, recursive=recursive, namespace=namespace)
    if found.errors and not way.each:
        problems: list[Problem] = [*found.errors, *validated(found.given)]
        refuse(problems, found.given)
    make([change_of(one) for one in found.given], way, found)


def make(changes: Sequence[Change], way: Way, found: Input | None = None) -> None:
    """Makes the changes and tells about them. `found`: what they were made from. Ends the command if there was a problem."""
    found = found or Input(())
    if len(changes) > SLOW and sys.stderr.isatty():
        click.echo(f"checking {len(changes)} objects ...", err=True)

    async def write(store: Datastore) -> Results:
        if way.each:
            return await commit_each(store, changes, dry_run=way.dry_run)
        return await commit(store, changes, dry_run=way.dry_run)

    try:
        results = _written(changes, way, write)
    except Rejected as error:
        refuse(error.rejections, found.given)
    rejections: list[Problem] = [*found.errors, *(result for result in results if isinstance(result, Rejection))]
    outcomes = [result for result in results if isinstance(result, Outcome)]
    _tell(outcomes, way)
    note([remark for outcome in outcomes for remark in outcome.remarks], found.given)
    if rejections:
        refuse(rejections, found.given, whole=False)


def _written(changes: Sequence[Change], way: Way, write: Write) -> Results:
    """A datastore that does not exist is made if `way` says so, for objects that are right; a dry run takes an empty one."""
    try:
        return with_store(way.store, write)
    except NotFound:
        if not way.may_create:
            raise
    if way.dry_run:
        return with_store(MEMORY, write)
    wrong = validate_only([(one.document, one.where) for one in changes if isinstance(one, Create | Apply)])
    if wrong and not way.each:
        raise Rejected(wrong)
    return with_store(way.store, write, create=True)


def validated(given: Sequence[Given]) -> tuple[Rejection, ...]:
    return validate_only(documents(given))


def documents(given: Sequence[Given]) -> list[tuple[Document, str]]:
    """Each with its file and line."""
    return [(one.document, one.manifest.where) for one in given]


def _tell(outcomes: Sequence[Outcome], way: Way) -> None:
    match way.style:
        case "json" | "yaml":
            _print_objects(outcomes, way.style)
        case "name":
            print_lines(map(_label, outcomes))
        case _:
            print_lines(line for outcome in outcomes for line in _story(outcome, dry_run=way.dry_run))
    for line in (line for outcome in outcomes for line in outcome.also):
        click.echo(line, err=True)
    if len(outcomes) > 1 or way.dry_run:
        counted = Counter(outcome.action for outcome in outcomes)
        summary = ", ".join(f"{number} {action}" for action, number in counted.items())
        click.echo(summary + (" (dry run: nothing was written)" if way.dry_run else ""), err=True)


def _print_objects(outcomes: Sequence[Outcome], style: Literal["json", "yaml"]) -> None:
    """The objects as they are now; those that were deleted as they were."""
    documents = [document for one in outcomes if (document := one.after or one.before) is not None]
    raws = [ordered(document.raw) for document in documents]
    if len(raws) == 1:
        print_raw(style, raws[0])
    elif documents and len({document.kind.name for document in documents}) == 1:
        group = Group(documents[0].kind, tuple(documents))
        print_raw(style, list_of(group.kind, group.documents, group.revision))
    else:
        print_raw(style, raws)


def _label(outcome: Outcome) -> str:
    return label(outcome.kind, outcome.namespace, outcome.name)


def _story(outcome: Outcome, *, dry_run: bool) -> Iterator[str]:
    yield f"{_label(outcome)} {outcome.action}{' (dry run)' if dry_run else ''}"
    if dry_run:
        yield from diff(outcome)


def diff(outcome: Outcome) -> Iterator[str]:
    """The object's YAML before and after, as `diff -u` would show it."""
    if outcome.before is outcome.after:
        return
    name = _label(outcome)
    made = outcome.before is None
    before, after = (_compared(document, made=made) for document in (outcome.before, outcome.after))
    for line in unified_diff(before, after, f"{name} (present)", f"{name} (new)", lineterm=""):
        yield line.rstrip("\n")


def _compared(document: Document | None, *, made: bool) -> list[str]:
    """What the datastore adds by itself is no change of anybody's."""
    if document is None:
        return []
    own = ("resourceVersion", "uid", "creationTimestamp") if made else ("resourceVersion",)
    return yaml_text(ordered(merge_metadata(document.raw, **dict.fromkeys(own)))).splitlines()
