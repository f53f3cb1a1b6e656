"""One broken rule: where, what stands there, and what may stand there. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar, cast

from ocicat.model.base import Struct
from ocicat.model.codec import encode_json

T = TypeVar("T", bound=Struct)

_SHOWN = 60


class Problem(Struct, frozen=True, order=True):
    """`field` is a path as in `spec.ingress[0].protocol`; `value` is JSON, cut if long, or empty if the field is absent."""

    field: str
    value: str
    rule: str

    def __str__(self) -> str:
        return f"{self.field} = {self.value}: {self.rule}" if self.value else f"{self.field}: {self.rule}"

    def below(self, path: str) -> Problem:
        """The same, seen from the outside of the record that lies at `path`."""
        if not self.field or not path:
            return Problem(path or self.field, self.value, self.rule)
        joint = "" if self.field.startswith("[") else "."
        return Problem(f"{path}{joint}{self.field}", self.value, self.rule)


Check = Callable[[T], Iterator[Problem]]
Checks = Mapping[type[Struct], tuple[Check[Struct], ...]]


def problem(field: str, value: object, rule: str) -> Problem:
    """`rule` may quote what somebody wrote: whatever that was, it stays one line."""
    return Problem(field, shown(value), rule if rule.isprintable() else rule.encode("unicode_escape").decode())


def shown(value: object) -> str:
    if value is None or value == () or value == "":
        return '""' if value == "" else ""
    text = encode_json(value).decode()
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def on(record: type[T], *checks: Check[T]) -> tuple[type[Struct], tuple[Check[Struct], ...]]:
    """What holds for every `record`, wherever in a resource it lies, and for the records made from it."""
    return record, cast("tuple[Check[Struct], ...]", checks)
