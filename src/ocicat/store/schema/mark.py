"""The key by which a datastore says which form its content has. Pure.

1. A step of the major number changes what is there: who does not know it must not touch it, and is refused. A step of the minor
   number only adds what others may leave alone: it is tolerated.
2. A store that says nothing is of the first form, 1.0: it is older than this key, or nobody has used it yet.
3. While its form is being changed it says from which to which; nobody begins to work with it then.
"""

from __future__ import annotations

import re

from ocicat import __version__
from ocicat.errors import Refused, UserError
from ocicat.model.base import Struct
from ocicat.model.codec import decode_json, encode_json

KEY = "/ocicat/v1/schema"
_FORM = re.compile(r"(\d{1,6})\.(\d{1,6})")


class Version(Struct, frozen=True, order=True):
    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


FIRST = Version(1, 0)


class Mark(Struct, frozen=True, kw_only=True):
    """`writer`: which ocicat wrote it. `towards`: the version that the store is on its way to; None: it is at rest.

    `locked`: it was, before it set out, and is to be so at the end.
    """

    version: Version
    writer: str = ""
    towards: Version | None = None
    locked: bool = False


def parse(text: str) -> Version:
    """Errors: UserError."""
    found = _FORM.fullmatch(text)
    if not found:
        raise UserError(f"schema {text!r} is no version", hint="MAJOR.MINOR, for example 1.0")
    return Version(int(found[1]), int(found[2]))


def read(value: bytes | None) -> Mark:
    """Errors: UserError, not readable."""
    return Mark(version=FIRST) if value is None else decode_json(Mark, value, what=KEY)


def written(version: Version, towards: Version | None = None, *, locked: bool = False) -> bytes:
    return encode_json(Mark(version=version, writer=f"ocicat {__version__}", towards=towards, locked=locked))


def check(value: bytes | None, known: Version) -> None:
    """Refused when this program, which knows `known`, must not work with a store that says this."""
    mark = read(value)
    by = f", as {mark.writer} left it" if mark.writer else ""
    if mark.version.major > known.major:
        raise Refused(
            f"the datastore has schema {mark.version}{by}; this ocicat {__version__} knows {known}",
            hint=f"use a newer ocicat, or let it go back: `ocicat store migrate --to {known}`",
        )
    if mark.towards is not None and mark.towards.major != mark.version.major:
        raise Refused(
            f"the datastore is on its way from schema {mark.version} to {mark.towards}",
            hint=f"`ocicat store migrate --to {mark.towards}` goes on with it, `--to {mark.version}` takes it back",
        )
