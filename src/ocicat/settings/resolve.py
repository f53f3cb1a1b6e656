"""Who says what is in force, for every setting; and what becomes different when a file is read again. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ocicat.errors import Bug
from ocicat.model.base import Struct
from ocicat.settings import felix, table
from ocicat.settings.layers import Layer, Said
from ocicat.settings.setting import Setting, Value

if TYPE_CHECKING:
    from ocicat.model.v3.felix import FelixConfigurationSpec

_LOCAL = frozenset({"option", "variable", "file"})


class Found(Struct, frozen=True):
    """One setting as it is in force. `hidden`: who else says something, and is not listened to."""

    setting: Setting
    said: Said
    hidden: tuple[Said, ...] = ()

    @property
    def value(self) -> Value:
        return self.said.value


class Resolved(Struct, frozen=True):
    """Every setting, in the order of the table."""

    found: tuple[Found, ...]

    def of(self, key: str) -> Found:
        return next(one for one in self.found if one.setting.key == key)

    def text(self, key: str) -> str:
        value = self.of(key).value
        if not isinstance(value, str):
            raise Bug(f"{key}: is no text")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        return tuple(str(one) for one in _elements(self.of(key).value))

    def whole(self, key: str) -> int:
        value = self.of(key).value
        if not isinstance(value, int):
            raise Bug(f"{key}: is no whole number")
        return value

    def wholes(self, key: str) -> tuple[int, ...]:
        return tuple(int(one) for one in _elements(self.of(key).value))

    def number(self, key: str) -> float:
        value = self.of(key).value
        if not isinstance(value, int | float):
            raise Bug(f"{key}: is no number")
        return float(value)

    def switch(self, key: str) -> bool:
        return self.of(key).value is True

    def where(self, key: str) -> str:
        """Where the value that is in force stands; empty for the default."""
        return self.of(key).said.where

    def is_local(self, key: str) -> bool:
        """Said on this host, not in the datastore and not by default."""
        return self.of(key).said.origin in _LOCAL

    def felix(self) -> FelixConfigurationSpec:
        """What this host itself says in the words of FelixConfiguration."""
        from ocicat.settings.felix_fields import spec

        local = (one for one in self.found if one.setting.section == felix.SECTION and one.said.origin in _LOCAL)
        return spec({one.setting.key: one.value for one in local})


class Change(Struct, frozen=True):
    before: Found
    after: Found

    @property
    def setting(self) -> Setting:
        return self.after.setting


def resolve(layers: Iterable[Layer]) -> Resolved:
    """`layers`: who goes before whom, the first first. The defaults come last by themselves."""
    said: dict[str, list[Said]] = {}
    for layer in layers:
        for one in layer.said:
            said.setdefault(one.key, []).append(one)
    return Resolved(tuple(_found(setting, said.get(setting.key, [])) for setting in table.SETTINGS))


def changes(before: Resolved, after: Resolved) -> Iterator[Change]:
    """The settings whose values differ."""
    for old, new in zip(before.found, after.found, strict=True):
        if old.value != new.value:
            yield Change(old, new)


def _found(setting: Setting, said: list[Said]) -> Found:
    if not said:
        return Found(setting, Said(setting.key, setting.default, "default", ""))
    return Found(setting, said[0], tuple(said[1:]))


def _elements(value: Value) -> tuple[str, ...] | tuple[int, ...]:
    if not isinstance(value, tuple):
        raise Bug(f"{value!r}: is no list")
    return value
