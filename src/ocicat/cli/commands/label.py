"""`ocicat label`: labels of one resource."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ocicat.cli.changing import OutcomeFormat, Way, make, outcome_options
from ocicat.cli.naming import asked_one, namespace_option
from ocicat.cli.opening import store_option
from ocicat.errors import UserError
from ocicat.model.manifest.place import HALF_PAIR
from ocicat.resources import Label


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="KIND NAME KEY=VALUE... KEY-...")
@click.option("--overwrite", is_flag=True, help="A label that is there may get another value.")
@click.option("--remove", is_flag=True, help="Take the labels away: KEY alone, as KEY- does without this option.")
@namespace_option
@outcome_options
@store_option
def command(
    words: tuple[str, ...],
    overwrite: bool,
    remove: bool,
    namespace: str,
    style: OutcomeFormat,
    dry_run: bool,
    store: str,
) -> None:
    """Set labels of a resource, or take them away.

    \b
    Example:
      ocicat label node h1 rack=r7 zone-
      ocicat label hostendpoint/h1-eth0 role=edge --overwrite
      ocicat label node h1 rack --remove
    """
    if overwrite and remove:
        raise UserError("--overwrite sets labels and --remove takes them away", hint="leave one of them out")
    at = 1 if "/" in words[0] else 2
    one = asked_one(words[:at], namespace)
    put, taken = _labels(words[at:], remove=remove)
    change = Label(kind=one.kind, name=one.name, namespace=one.namespace, put=put, remove=taken, overwrite=overwrite)
    make([change], Way(store, style, dry_run))


def _labels(words: Sequence[str], *, remove: bool) -> tuple[dict[str, str], tuple[str, ...]]:
    """(what to set, what to take away)."""
    if not words:
        raise UserError("no label is named", hint="KEY=VALUE sets one, KEY- takes one away")
    put: dict[str, str] = {}
    taken: list[str] = []
    for word in words:
        if HALF_PAIR.search(word):
            raise UserError(f"the label {word!r} is not UTF-8")
        key, equals, value = word.partition("=")
        if key in put:
            raise UserError(f"the label {key!r} stands twice")
        if remove and equals:
            raise UserError(f"{word!r}: --remove takes the key alone", hint=f"write {key}")
        if equals:
            put[key] = value
        elif remove or key.endswith("-"):
            taken.append(key if remove else key.removesuffix("-"))
        else:
            raise UserError(f"{word!r} is neither KEY=VALUE nor KEY-", hint="--remove takes KEY away too")
    return put, tuple(taken)
