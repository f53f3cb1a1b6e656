"""What the files of NetworkManager and of systemd-networkd mean for an interface of a container. Pure.

Source: NetworkManager.conf(5), networkd.conf(5), systemd.network(5).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from ocicat.host.facts.others import NETWORKMANAGER_MAIN, Text

SAMPLES = ("oci0123456789a", "bwoci1f")  # a container's interface, and the one through which it is limited
_KINDS = {"oci0123456789a": "veth", "bwoci1f": "ifb"}
_NO = frozenset({"no", "false", "0", "off", "n", "f"})
_YES = frozenset({"yes", "true", "1", "on", "y", "t"})
_UNMANAGED, _DEVICE, _EXCEPT = "unmanaged-devices", "device", "except:"
_KNOWN = frozenset({"Name", "Type", "Kind", "Driver"})  # by which a match is decided here


class _Line(NamedTuple):
    section: str
    key: str
    value: str


def unmanaged(files: Iterable[Text]) -> bool:
    """Does NetworkManager leave these interfaces alone? `files` in the order in which it reads them."""
    read = [list(_lines(file.text)) for file in files if not _is_off(file)]
    kept, sections = _kept(line for lines in read for line in lines), _device_sections(read)
    return all(_is_listed(kept, name) or _is_apart(sections, name) for name in SAMPLES)


def _is_off(file: Text) -> bool:
    """Its main file counts in any case."""
    said = (line.value.lower() for line in _lines(file.text) if line[:2] == (".config", "enable"))
    return file.path != NETWORKMANAGER_MAIN and any(value in _NO for value in said)


def _kept(lines: Iterable[_Line]) -> list[str]:
    """Of the list of unmanaged devices: `=` replaces what was said before, `+=` and `-=` change it."""
    kept: list[str] = []
    for line in lines:
        said = _listed_in(line.value)
        if line[:2] == ("keyfile", _UNMANAGED):
            kept = said
        elif line[:2] == ("keyfile", f"{_UNMANAGED}+"):
            kept = list(dict.fromkeys((*kept, *said)))
        elif line[:2] == ("keyfile", f"{_UNMANAGED}-"):
            kept = [one for one in kept if one not in said]
    return kept


def _device_sections(read: Sequence[Sequence[_Line]]) -> list[dict[str, str]]:
    """What counts more comes first: the later file, in one file the earlier section; `[device]` itself is the last."""
    found: dict[str, dict[str, str]] = {}
    for lines in read:
        mine = dict.fromkeys(line.section for line in lines if line.section.startswith(_DEVICE))
        for section in reversed(mine):
            found.setdefault(section, {})
        for line in lines:
            if line.section in mine:
                found[line.section][line.key] = line.value
    named = [said for section, said in found.items() if section != _DEVICE]
    return [*reversed(named), found.get(_DEVICE, {})]


def _is_apart(sections: Iterable[Mapping[str, str]], name: str) -> bool:
    """By the first section that is for the interface and says something of it. One that matches nothing by name is for all."""
    for said in sections:
        if "match-device" in said and not _is_listed(_listed_in(said["match-device"]), name):
            continue
        if "managed" in said:
            return said["managed"].lower() in _NO
        if said.get("stop-match", "").lower() in _YES:
            return False
    return False


def _listed_in(text: str) -> list[str]:
    return [part.strip() for part in text.replace(",", ";").split(";") if part.strip()]


def _is_listed(said: Iterable[str], name: str) -> bool:
    """A list like `interface-name:oci*;mac:...`. What comes after `except:` counts more; of such alone, all others are listed."""
    plain, excepted = set[str](), set[str]()
    for part in said:
        (excepted if part.startswith(_EXCEPT) else plain).add(part.removeprefix(_EXCEPT))
    if any(_device(part, name) for part in excepted):
        return False
    return any(_device(part, name) for part in plain) if plain else bool(excepted)


def _device(part: str, name: str) -> bool:
    kind, colon, pattern = part.partition(":")
    if not colon:
        return part in ("*", name)
    if kind in ("type", "driver"):
        return pattern == _KINDS[name]
    exactly = pattern.startswith("=")
    wanted = pattern[1:] if pattern[:1] in ("=", "~") else pattern
    return kind == "interface-name" and (name == wanted if exactly else fnmatchcase(name, wanted))


def manages_foreign_routes(files: Iterable[Text]) -> bool:
    """As it does unless it is told not to; the last word counts."""
    said = [
        line.value.lower()
        for file in files
        for line in _lines(file.text)
        if line[:2] == ("Network", "ManageForeignRoutes")
    ]
    return not (said and said[-1] in _NO)


def takes_links(files: Sequence[Text]) -> str:
    """The path of the file by which networkd takes such an interface over: the first that matches one decides."""
    for name in SAMPLES:
        first = next((file for file in files if _matches(file, name)), None)
        if first and not _is_unmanaged(first):
            return first.path
    return ""


def _is_unmanaged(file: Text) -> bool:
    return any(line[:2] == ("Link", "Unmanaged") and line.value.lower() in _YES for line in _lines(file.text))


def _matches(file: Text, name: str) -> bool:
    """Every key must match; a key of which nothing is known here is one that containers' interfaces do not match."""
    said = [line for line in _lines(file.text) if line.section == "Match" and line.value]
    keys = {line.key for line in said}
    if not said or keys - _KNOWN:
        return False
    wanted = {"Name": name, "Type": "ether", "Kind": _KINDS[name], "Driver": _KINDS[name]}
    return all(_listed(" ".join(line.value for line in said if line.key == key), wanted[key]) for key in keys)


def _listed(patterns: str, value: str) -> bool:
    """Words with wildcards; a `!` in front of them turns the whole list round."""
    words = patterns.removeprefix("!").split()
    return any(fnmatchcase(value, word) for word in words) != patterns.startswith("!")


def _lines(text: str) -> Iterator[_Line]:
    section = ""
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif line and line[0] not in "#;":
            key, _, value = line.partition("=")
            yield _Line(section, key.strip(), value.strip())
