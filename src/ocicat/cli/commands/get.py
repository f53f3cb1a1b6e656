"""`ocicat get`: resources, by kind, by name, or as files name them; once or as they change."""

from __future__ import annotations

import click

from ocicat.cli.files import file_options, read_files
from ocicat.cli.naming import Asked, asked, namespace_option
from ocicat.cli.opening import store_option, with_store
from ocicat.cli.output import Format, format_option
from ocicat.cli.printing import Group, print_groups
from ocicat.cli.talk import say
from ocicat.errors import NotFound, UserError
from ocicat.model.base import Struct
from ocicat.model.v3.kinds import KINDS, Kind
from ocicat.resources import Stored, get, listing
from ocicat.store.base import Datastore


class Found(Struct, frozen=True):
    """`missing`: what was asked for by its name and is not there. `problems`: what cannot be read, one line each."""

    groups: tuple[Group, ...]
    missing: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@click.command()
@click.argument("words", nargs=-1, metavar="[KIND [NAME...] | KIND/NAME... | all]")
@file_options(required=False)
@namespace_option
@click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="In all namespaces.")
@click.option("-l", "--selector", default="", help="Only those whose labels it matches: \"role == 'db' && has(zone)\".")
@click.option("-w", "--watch", "watched", is_flag=True, help="And every change from now on, until interrupted.")
@format_option
@store_option
def command(
    words: tuple[str, ...],
    files: tuple[str, ...],
    recursive: bool,
    namespace: str,
    everywhere: bool,
    selector: str,
    watched: bool,
    style: Format,
    store: str,
) -> None:
    """Show resources. Several kinds are separated by commas; `all` is every kind that can be applied.

    What is printed as YAML or JSON can be changed and applied again. Exit code 5 says that a name does not exist.

    \b
    Example:
      ocicat get pools
      ocicat get networkpolicy web db -n shop -o yaml
      ocicat get tiers,globalnetworkpolicies -o wide
      ocicat get workloadendpoints -A -l "app == 'web'" --watch
    """
    wanted = _wanted(words, files, namespace, recursive=recursive, everywhere=everywhere)
    if selector and any(one.name for one in wanted):
        raise UserError("-l selects among all objects of a kind, and names name them", hint="leave one of them out")
    if watched:
        from ocicat.cli.watching import show_changes

        show_changes(store, wanted, selector, style, namespaces=bool(everywhere or namespace))
        return
    found = with_store(store, lambda opened: _read(opened, wanted, selector))
    if found.groups:
        print_groups(style, found.groups, namespaces=bool(everywhere or namespace))
    _tell_problems(found)


def _wanted(
    words: tuple[str, ...], files: tuple[str, ...], namespace: str, *, recursive: bool, everywhere: bool
) -> tuple[Asked, ...]:
    if bool(words) == bool(files):
        raise UserError("name a kind, or give files with -f", hint="`ocicat kinds` lists the kinds")
    if words:
        return asked(words, namespace, everywhere=everywhere)
    found = read_files(files, recursive=recursive, namespace=namespace)
    if found.errors:
        from ocicat.cli.problems import refuse

        refuse(found.errors, whole=False)
    resources = [one.document.resource for one in found.given]
    return tuple(Asked(KINDS[one.kind], one.metadata.namespace, one.metadata.name) for one in resources)


def _tell_problems(found: Found) -> None:
    """What was found is printed by then."""
    for problem in found.problems:
        say(f"left out: {problem}")
    for line in found.missing[:-1]:
        say(line)
    if found.missing:
        raise NotFound(found.missing[-1])


async def _read(store: Datastore, wanted: tuple[Asked, ...], selector: str) -> Found:
    groups: list[Group] = []
    problems: list[str] = []
    for one in wanted:
        if not one.name:
            listed = await listing(store, one.kind, one.namespace, selector=selector)
            documents = tuple(item.document for item in listed.items)
            groups.append(Group(one.kind, documents, listed.revision))
            problems += listed.problems
    named, missing = await _named(store, [one for one in wanted if one.name])
    return Found((*groups, *named), tuple(missing), tuple(problems))


async def _named(store: Datastore, wanted: list[Asked]) -> tuple[list[Group], list[str]]:
    """Those that were asked for by name, by kind, and what to say about those that are not there."""
    found: dict[Kind, list[Stored]] = {}
    missing: list[str] = []
    for one in wanted:
        try:
            item = await get(store, one.kind, one.name, one.namespace)
        except NotFound as error:
            missing.append(str(error))
        else:
            found.setdefault(one.kind, []).append(item)
    several = len(wanted) > 1  # one object is printed as itself, several are a list
    groups = [
        Group(kind, tuple(item.document for item in items), several * max(item.revision for item in items))
        for kind, items in found.items()
    ]
    return groups, missing
