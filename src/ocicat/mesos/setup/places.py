"""Where this host's Mesos agent gets its flags from, and where more of them are put.

Three shapes of hosts are known: a directory with a file for each flag (the packages' init wrapper), a file of variables that a
service reads, and a service alone, which gets a drop-in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from ocicat.changes.files import Item, State, Tree
from ocicat.errors import NotFound, Refused
from ocicat.mesos.setup import flags
from ocicat.mesos.setup.flags import STRENGTH, Setting, Strength, Unit
from ocicat.model.base import Struct

SERVICES = ("mesos-agent", "mesos-slave")
DROP_IN = "50-ocicat.conf"
_UNIT_DIRECTORIES = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
_VARIABLES = ("/etc/default/mesos", "/etc/default/{service}")

Kind = Literal["directory", "variables", "drop-in"]
_STRENGTH_OF: dict[Kind, Strength] = {
    "directory": "directory",
    "variables": "environment-file",
    "drop-in": "environment",
}


class Place(Struct, frozen=True):
    """`path` is the directory or the file that flags are put into."""

    kind: Kind
    path: str
    service: str

    def items(self, tree: Tree, wanted: Mapping[str, str], settings: Mapping[str, Setting]) -> list[Item]:
        """The files that give the agent these flags. Refused when a file that counts more than ours gives one another value, or
        takes it back."""
        self._check_stronger(wanted, settings)
        ordered = sorted((name, value) for name, value in wanted.items() if not self._beside(name, settings.get(name)))
        match self.kind:
            case "directory":
                return [Item(f"{self.path}/{name}", State("file", f"{value}\n".encode())) for name, value in ordered]
            case "variables":
                lines = [f"MESOS_{name.upper()}={_quoted(value)}\n" for name, value in ordered]
                return [Item(self.path, State("block", "".join(lines).encode()))]
        pairs = [_escaped(f"MESOS_{name.upper()}={value}".replace("%", "%%")) for name, value in ordered]
        text = "[Service]\n" + "".join(f'Environment="{pair}"\n' for pair in pairs)
        self._check_later(tree, text)
        return [Item(self.path, State("file", text.encode()))]

    def _check_later(self, tree: Tree, ours: str) -> None:
        """A drop-in that is read after ours has the last word."""
        wanted = flags.unit_of(self.service, [ours]).environment
        for name, path in _drop_ins(tree, self.service):
            left = flags.unit_of(self.service, [ours, tree.text(path)]).environment if name > DROP_IN else wanted
            if lost := sorted(variable for variable, value in wanted.items() if left.get(variable) != value):
                raise Refused(
                    f"{path}, read after {self.path}, takes {', '.join(lost)} back or gives another value",
                    hint=f"give it a name before {DROP_IN}, or take out what it says of that",
                )

    def _check_stronger(self, wanted: Mapping[str, str], settings: Mapping[str, Setting]) -> None:
        mine = STRENGTH.index(_STRENGTH_OF[self.kind])
        for name, value in wanted.items():
            found = settings.get(name)
            if not found or found.value == value:
                continue
            if STRENGTH.index(found.strength) > mine or self._beside(name, found):
                raise Refused(
                    f"{found.path} gives the Mesos agent --{name}={found.value}, which stands against {self.path}",
                    hint=f"set it to {value!r} there, or take it out",
                )

    def _beside(self, name: str, found: Setting | None) -> bool:
        """The same flag in another file of the directory: Mesos refuses to start with a flag that is given twice."""
        return bool(
            found
            and self.kind == "directory"
            and found.strength in ("directory", "command-line")
            and found.path != f"{self.path}/{name}"
        )


def unit(tree: Tree) -> Unit | None:
    """The Mesos agent's service."""
    for service in SERVICES:
        for directory in _UNIT_DIRECTORIES:
            if text := tree.text(f"{directory}/{service}.service"):
                return flags.unit_of(service, [text, *(tree.text(path) for _, path in _drop_ins(tree, service))])
    return None


def settings(tree: Tree, service: Unit | None) -> dict[str, Setting]:
    """Every flag that is given, by the strongest place that gives it."""
    found: dict[str, Setting] = {}
    if service:
        found |= _settings(flags.of_variables(service.environment), f"{service.name}.service", "environment")
    for path in _variable_files(service):
        variables = flags.of_variables(flags.of_environment(tree.text(path)))
        found |= _settings(variables, path, "environment-file")
    if directory := _directory(tree, service):
        files = {name: tree.text(f"{directory}/{name}") for name in tree.names(directory)}
        plain = {name: text for name, text in files.items() if tree.is_file(f"{directory}/{name}")}
        for name, text in plain.items():
            found |= _settings(flags.of_files({name: text}), f"{directory}/{name}", "directory")
    if service:
        found |= _settings(flags.of_command(service.command), f"{service.name}.service", "command-line")
    return found


def place(tree: Tree, service: Unit | None) -> Place:
    """Where flags are put. NotFound where there is no sign of a Mesos agent."""
    name = service.name if service else next((one for one in SERVICES if _traces(tree, one)), "")
    if directory := _directory(tree, service):
        return Place("directory", directory, name)
    if service and service.environment_files:
        return Place("variables", service.environment_files[-1], name)
    if service:
        return Place("drop-in", f"/etc/systemd/system/{name}.service.d/{DROP_IN}", name)
    if tree.is_file(f"/etc/default/{name}"):
        return Place("variables", f"/etc/default/{name}", name)
    raise NotFound(
        f"no Mesos agent below {tree.root}: neither a service {' or '.join(SERVICES)}, nor /etc/mesos-agent or the like",
        hint="install the Mesos agent first",
    )


def restarted(tree: Tree) -> Place | None:
    """What has to be told when the host has changed; None where there is no Mesos agent any more."""
    try:
        return place(tree, unit(tree))
    except NotFound:
        return None


def _settings(values: Mapping[str, str], path: str, strength: Strength) -> dict[str, Setting]:
    return {name: Setting(value, path, strength) for name, value in values.items()}


def _drop_ins(tree: Tree, service: str) -> list[tuple[str, str]]:
    """Name and path, in the order of their names; of two with one name the one in the earlier directory."""
    found: dict[str, str] = {}
    for directory in (f"{above}/{service}.service.d" for above in _UNIT_DIRECTORIES):
        for name in tree.names(directory):
            if name.endswith(".conf"):
                found.setdefault(name, f"{directory}/{name}")
    return sorted(found.items())


def _variable_files(service: Unit | None) -> list[str]:
    if service and not service.reads_directory:
        return list(service.environment_files)
    names = [service.name] if service else list(SERVICES)
    return [*dict.fromkeys(pattern.format(service=name) for name in names for pattern in _VARIABLES)]


def _directory(tree: Tree, service: Unit | None) -> str:
    """Of flags, where something reads it."""
    if service and not service.reads_directory:
        return ""
    words = ("agent", "slave") if not service else (service.command[-1], *("agent", "slave"))
    return next((path for word in words if tree.is_directory(path := f"/etc/mesos-{word}")), "")


def _traces(tree: Tree, service: str) -> bool:
    return tree.is_directory(f"/etc/{service}") or tree.is_file(f"/etc/default/{service}")


def _quoted(value: str) -> str:
    """For systemd and for a shell alike."""
    return "'" + value.replace("'", "'\\''") + "'"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
