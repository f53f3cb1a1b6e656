"""What one place says about settings: the file, the environment, the command line, an object of the datastore. Pure.

Promise: everything that is wrong is told at once, each with its place; what is right beside it stays right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ocicat.errors import UserError
from ocicat.model.base import Struct
from ocicat.settings import felix, table, toml_lines
from ocicat.settings.setting import FILE_VARIABLE, Fault, Origin, Setting, Value
from ocicat.settings.toml_lines import Entry
from ocicat.settings.values import from_text, from_toml

if TYPE_CHECKING:
    from ocicat.model.v3.felix import FelixConfigurationSpec
    from ocicat.settings.felix_fields import Wrong

OTHER_VARIABLES = frozenset({FILE_VARIABLE, "OCICAT_CACHE", "OCICAT_PROTOCOL", "OCICAT_IMAGE", "OCICAT_AGENT_OPTIONS"})
"""Of ours, that are no settings. The last two are of the file for `docker compose`."""

_OURS = "OCICAT_"
_SEVERITIES = {"trace": "debug", "fatal": "error"}  # Felix has more levels than our log


class Said(Struct, frozen=True):
    """One setting in one place. `where`: as people are told it."""

    key: str
    value: Value
    origin: Origin
    where: str


class Ignored(Struct, frozen=True):
    """Something that nothing acts on: a field of Calico's, for example; `value` is for people."""

    key: str
    value: Value
    where: str
    why: str


class Layer(Struct, frozen=True):
    """`faults`: values that cannot be used; whoever needs them cannot go on. `unknown`: what is no setting of ours."""

    said: tuple[Said, ...] = ()
    faults: tuple[Fault, ...] = ()
    unknown: tuple[Fault, ...] = ()
    ignored: tuple[Ignored, ...] = ()


def of_file(text: str, path: str) -> Layer:
    """Raises UserError when it is no TOML at all."""
    entries = toml_lines.read(text, path)
    own = [_from_entry(one, path) for one in entries if one.key in table.BY_KEY]
    felixs = [_from_felixs_entry(one, path) for one in entries if one.key in table.FELIX_KEYS]
    strange = [one for one in entries if one.key not in table.BY_KEY and one.key not in table.FELIX_KEYS]
    return _collected([*own, *felixs], tuple(_unknown(one, path) for one in strange))


def of_variables(variables: Mapping[str, str]) -> Layer:
    """One that is empty says nothing."""
    given = [(one, text) for one in table.SETTINGS if (text := variables.get(one.variable, ""))]
    felixs = [(name, text) for name in table.FELIX_VARIABLES if (text := variables.get(name, ""))]
    known = {one.variable for one in table.SETTINGS} | table.FELIX_VARIABLES.keys() | OTHER_VARIABLES
    strange = sorted(name for name in variables if name.startswith((_OURS, felix.VARIABLES)) and name not in known)
    unknown = tuple(_strange(name, known) for name in strange)
    own = [_from_variable(one, text) for one, text in given]
    return _collected([*own, *(_from_felixs_variable(name, text) for name, text in felixs)], unknown)


def of_options(given: Iterable[tuple[str, Value]]) -> Layer:
    """(key, value) of what stands on the command line, already of the right type."""
    return Layer(tuple(Said(key, value, "option", table.setting(key).option) for key, value in given))


def of_felix(spec: FelixConfigurationSpec, name: str) -> Layer:
    """An object of the datastore: what of it ocicat acts on, and what not. A value that cannot be used is passed over."""
    from ocicat.settings import felix_fields

    where, origin = f"FelixConfiguration {name}", _origin(name)
    by_field = {one.felix: one for one in table.SETTINGS if one.felix}
    said: list[Said] = []
    faults: list[Fault] = []
    for field, value in felix_fields.stored(spec):
        setting = by_field.get(field)
        if setting is None:
            continue
        key = setting.key
        if wrong := [Fault(where, key, f"is passed over: {one.problem}") for one in _wrong(setting, value)]:
            faults.extend(wrong)
        else:
            said.append(Said(key, severity(value) if key == "log.level" else _fitting(setting, value), origin, where))
    values = dict(felix_fields.stored(spec))
    unread = tuple(Ignored(f"felix.{name}", values[name], where, why) for name, why in felix_fields.ignored(spec))
    return Layer(tuple(said), tuple(faults), (), unread)


def severity(value: Value) -> str:
    """Felix's severity as a level of our log."""
    written = str(value).lower()
    return _SEVERITIES.get(written, written)


def nearest(key: str) -> str:
    """A hint for who mistyped a key; empty when none is like it."""
    return _nearest(key, table.BY_KEY)


def _origin(name: str) -> Origin:
    return "global" if name == "default" else "node"


def _collected(found: Sequence[Said | tuple[Fault, ...]], unknown: tuple[Fault, ...]) -> Layer:
    said = tuple(one for one in found if isinstance(one, Said))
    return Layer(said, tuple(fault for one in found if isinstance(one, tuple) for fault in one), unknown)


def _from_entry(entry: Entry, path: str) -> Said | tuple[Fault, ...]:
    setting, where = table.BY_KEY[entry.key], f"{path}:{entry.line}"
    try:
        value = from_toml(setting, entry.value)
    except UserError as error:
        return (Fault(where, entry.key, error.message, error.hint),)
    return _sound(setting, value, "file", where)


def _from_variable(setting: Setting, text: str) -> Said | tuple[Fault, ...]:
    try:
        value = from_text(setting, text)
    except UserError as error:
        return (Fault(setting.variable, setting.key, error.message),)
    return _sound(setting, value, "variable", setting.variable)


def _from_felixs_entry(entry: Entry, path: str) -> Said | tuple[Fault, ...]:
    where = f"{path}:{entry.line}"
    if not isinstance(entry.value, str):
        return (Fault(where, entry.key, "is not a text in quotes"),)
    return _felixs(table.FELIX_KEYS[entry.key], entry.value, "file", where)


def _from_felixs_variable(name: str, text: str) -> Said | tuple[Fault, ...]:
    return _felixs(table.FELIX_VARIABLES[name], text.strip(), "variable", name)


def _felixs(setting: Setting, text: str, origin: Origin, where: str) -> Said | tuple[Fault, ...]:
    """In Felix's words. Who says it in ours too, in the same place, means ours: it stands before this one."""
    from ocicat.settings.felix_fields import wrong

    if not text:
        return (Fault(where, setting.key, "is empty"),)
    faults = tuple(Fault(where, setting.key, one.problem) for one in wrong(felix.PREFIX + setting.felix, text))
    return faults or Said(setting.key, severity(text), origin, where)


def _sound(setting: Setting, value: Value, origin: Origin, where: str) -> Said | tuple[Fault, ...]:
    faults = tuple(Fault(where, setting.key, one.problem) for one in _wrong(setting, value))
    return faults or Said(setting.key, value, origin, where)


def _wrong(setting: Setting, value: Value) -> Iterator[Wrong]:
    if setting.section == felix.SECTION:
        from ocicat.settings.felix_fields import wrong

        yield from wrong(setting.key, value)


def _fitting(setting: Setting, value: Value) -> Value:
    """A number where texts are usual (a range of one port) stays readable."""
    return str(value) if setting.shape == "text" else value


def _unknown(entry: Entry, path: str) -> Fault:
    where, section = f"{path}:{entry.line}", entry.path[0]
    if len(entry.path) == 1 and section in table.SECTIONS:
        return Fault(where, entry.key, f"is a section, not a setting: it is written [{section}]")
    if section == felix.SECTION and (why := _why_ignored(entry.path[-1])):
        return Fault(where, entry.key, f"is not acted on: {why}", "leave it out")
    return Fault(where, entry.key, "is no setting", nearest(entry.key))


def _strange(name: str, known: Iterable[str]) -> Fault:
    if name.startswith(felix.VARIABLES) and (why := _why_ignored(name)):
        return Fault(name, "", f"is not acted on: {why}", "leave it out")
    return Fault(name, "", "is no variable of a setting", _nearest(name, known))


def _why_ignored(name: str) -> str:
    from ocicat.settings.felix_fields import why_ignored

    return why_ignored(name)


def _nearest(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    names = list(known)
    tails = {one.rpartition(".")[2]: one for one in names}
    found = get_close_matches(name, names, 1, 0.7)
    if not found and (short := get_close_matches(name.rpartition(".")[2], list(tails), 1, 0.8)):
        found = [tails[short[0]]]
    return f"did you mean {found[0]}?" if found else "`ocicat config default` prints all there are"
