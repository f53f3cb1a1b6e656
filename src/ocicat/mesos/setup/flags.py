"""The flags that a Mesos agent is given, read from wherever they are given. Pure.

1. What Mesos's own packages and systemd read is read as they read it; a line that is none of theirs is passed over.
2. Of two places the stronger wins, as with Mesos: `STRENGTH`, weakest first.

Source: mesosphere/mesos-deb-packaging, mesos-init-wrapper; systemd.exec(5).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Literal

from ocicat.model.base import Struct

Strength = Literal["environment", "environment-file", "directory", "command-line"]
STRENGTH: tuple[Strength, ...] = ("environment", "environment-file", "directory", "command-line")

_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)")
_PREFIX = "MESOS_"


class Setting(Struct, frozen=True):
    """The value of one flag; which file says so, and how strongly."""

    value: str
    path: str
    strength: Strength


class Unit(Struct, frozen=True):
    """A systemd service, with its drop-ins: what of it decides which flags the agent gets."""

    name: str
    command: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    environment_files: tuple[str, ...] = ()

    @property
    def reads_directory(self) -> bool:
        """The init wrapper of the packages turns the files of /etc/mesos-agent or /etc/mesos-slave into flags."""
        return any(word.endswith("mesos-init-wrapper") for word in self.command)


def of_environment(text: str) -> dict[str, str]:
    """Every variable that a file of assignments sets."""
    found = {}
    for line in text.splitlines():
        if match := _ASSIGNMENT.fullmatch(line):
            words = _words(match[2])
            found[match[1]] = words[0] if words else ""
    return found


def of_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """The flags among environment variables."""
    return {name.removeprefix(_PREFIX).lower(): value for name, value in variables.items() if name.startswith(_PREFIX)}


def of_command(words: Iterable[str]) -> dict[str, str]:
    """`--port=5051`, `--switch_user`, `--no-switch_user`."""
    return dict(_flag(*word[2:].partition("=")) for word in words if word.startswith("--"))


def of_files(files: Mapping[str, str]) -> dict[str, str]:
    """The files of a directory, as the init wrapper reads them: `port`, `?switch_user`, `?no-switch_user`."""
    return dict(
        _flag(name.removeprefix("?"), "" if name.startswith("?") else "=", text.rstrip("\n"))
        for name, text in files.items()
    )


def unit_of(name: str, texts: Iterable[str]) -> Unit:
    """A service's file and then its drop-ins, in their order."""
    command: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    files: list[str] = []
    for key, value in _directives(texts):
        match key:
            case "ExecStart":
                command = tuple(_words(value))
            case "Environment" if not value:
                environment = {}
            case "EnvironmentFile" if not value:
                files = []
            case "Environment":
                pairs = (word.replace("%%", "%").partition("=") for word in _words(value))
                environment |= {variable: text for variable, _, text in pairs}
            case "EnvironmentFile":
                files.append(value.removeprefix("-"))
    return Unit(name, command, environment, tuple(files))


def _directives(texts: Iterable[str]) -> Iterable[tuple[str, str]]:
    for text in texts:
        for line in text.replace("\\\n", " ").splitlines():
            key, equals, value = line.partition("=")
            if equals and not line.lstrip().startswith(("#", ";")):
                yield key.strip(), value.strip()


def _flag(name: str, equals: str, value: str) -> tuple[str, str]:
    if equals:
        return name, value
    return (name.removeprefix("no-"), "false") if name.startswith("no-") else (name, "true")


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError:  # an open quotation mark
        return text.split()
