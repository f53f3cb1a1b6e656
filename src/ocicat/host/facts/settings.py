"""Kernel settings as they are now, and as they will be after the next boot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase

from ocicat.changes.files import Tree
from ocicat.host.sysctls import Want
from ocicat.model.base import Struct

# As sysctl.d(5) has it: the first of these that has a file of some name hides all others of that name.
DIRECTORY = "/etc/sysctl.d"
_DIRECTORIES = (DIRECTORY, "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d")
OURS = "z-ocicat.conf"  # what the name of our file ends with
HEAD = "# Written by `ocicat host prepare`, taken back by `ocicat host undo`.\n"  # what it begins with
LAST = "/etc/sysctl.conf"  # of `sysctl --system`; systemd reads it only where a link in these directories leads to it


class Later(Struct, frozen=True):
    """What a file sets."""

    value: str
    path: str


class Settings(Struct, frozen=True):
    """By name of the setting. Not in `now`: this kernel, or this network namespace, has none of that name.

    `boot`: by `sysctl --system`, which old boots do too. `systemd`: by its systemd-sysctl. `theirs`, `theirs_systemd`: the same
    if there was no file of ours.
    """

    now: Mapping[str, str]
    boot: Mapping[str, Later] = {}
    systemd: Mapping[str, Later] = {}
    theirs: Mapping[str, Later] = {}
    theirs_systemd: Mapping[str, Later] = {}


def look(tree: Tree, wants: Iterable[Want]) -> Settings:
    """`now` is of the calling process's network namespace, the others of the tree."""
    wanted, paths = tuple(wants), _paths(tree)
    others = [one for one in paths if not is_ours(tree, one)]
    orders = ((*paths, LAST), paths, (*others, LAST), others)
    return Settings(dict(_now(tree, wanted)), *(dict(_boot(list(_lines(tree, files)), wanted)) for files in orders))


def is_ours(tree: Tree, path: str) -> bool:
    """Written by `ocicat host prepare`: the name alone may be anybody's."""
    return path.startswith(f"{DIRECTORY}/") and path.endswith(OURS) and tree.text(path).startswith(HEAD)


def _now(tree: Tree, wants: Iterable[Want]) -> Iterator[tuple[str, str]]:
    for want in wants:
        if tree.is_file(want.path):
            yield want.name, " ".join(tree.text(want.path).split())


def _boot(lines: list[tuple[str, Later | None]], wants: tuple[Want, ...]) -> Iterator[tuple[str, Later]]:
    """A name goes before patterns, and one that is named without a value is kept out of them."""
    for want in wants:
        called = _dotted(want.name)
        exact = [later for name, later in lines if name == called]
        globbed = [later for name, later in lines if later and "*" in name and fnmatchcase(called, name)]
        if last := (exact or globbed or [None])[-1]:
            yield want.name, last


def _paths(tree: Tree) -> list[str]:
    """In the order in which they are applied."""
    files: dict[str, str] = {}
    for directory in reversed(_DIRECTORIES):
        files |= {name: f"{directory}/{name}" for name in tree.names(directory) if name.endswith(".conf")}
    return [files[name] for name in sorted(files)]


def _lines(tree: Tree, paths: Iterable[str]) -> Iterator[tuple[str, Later | None]]:
    """Without a value: no pattern is for this name."""
    for path in paths:
        for line in tree.text(path).splitlines():
            name, equals, value = line.strip().partition("=")
            if (equals or name.startswith("-")) and not name.startswith(("#", ";")):
                yield _dotted(name.strip().removeprefix("-")), Later(value.strip(), path) if equals else None


def _dotted(name: str) -> str:
    """The first separator says which of the two forms it is; interfaces with dots are named with slashes."""
    slash, dot = name.find("/"), name.find(".")
    return name.translate(str.maketrans("/.", "./")) if 0 <= slash < (dot if dot >= 0 else len(name)) else name
