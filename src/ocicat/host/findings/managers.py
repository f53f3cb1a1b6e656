"""What the files of NetworkManager and of systemd-networkd mean for an interface of a container. Pure.

Source: NetworkManager.conf(5), networkd.conf(5), systemd.network(5).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from ocicat.host.facts.others import Text

SAMPLES = ("oci0123456789a", "bwoci1f")  # a container's interface, and the one through which it is limited
_KINDS = {"oci0123456789a": "veth", "bwoci1f": "ifb"}
_NO = frozenset({"no", "false", "0", "off", "n", "f"})
_YES = frozenset({"yes", "true", "1", "on", "y", "t"})
_KNOWN = frozenset({"Name", "Type", "Kind", "Driver"})  # by which a match is decided here


class _Line(NamedTuple):
    section: str
    key: str
    value: str


def unmanaged(files: Iterable[Text]) -> bool:
    """Does NetworkManager leave these interfaces alone?"""
    lines = [line for file in files for line in _lines(file.text)]
    specs = [line.value for line in lines if (line.section, line.key) == ("keyfile", "unmanaged-devices")]
    apart = {
        line.section
        for line in lines
        if line.key == "managed" and line.value in _NO and line.section.startswith("device")
    }
    matches = [line.value for line in lines if line.section in apart and line.key == "match-device"]
    return all(any(_names(spec, name) for spec in (*specs[-1:], *matches)) for name in SAMPLES)


def _names(spec: str, name: str) -> bool:
    """A list like `interface-name:oci*;mac:...`; what comes after `except:` counts more."""
    said = [part.strip() for part in spec.replace(",", ";").split(";") if part.strip()]
    excepted = [part.removeprefix("except:") for part in said if part.startswith("except:")]
    plain = [part for part in said if not part.startswith("except:")]
    return any(_device(part, name) for part in plain) and not any(_device(part, name) for part in excepted)


def _device(part: str, name: str) -> bool:
    kind, colon, pattern = part.partition(":")
    if not colon:
        return fnmatchcase(name, part)
    return kind == "interface-name" and fnmatchcase(name, pattern.removeprefix("~").removeprefix("="))


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
