"""What is wrong with an object of the datastore, for those who operate it."""

from __future__ import annotations

from ocicat.model.base import Struct


class Problem(Struct, frozen=True):
    """`key` is the object's datastore key; `text` is one line: what is wrong, and what to do where we know."""

    key: str
    text: str
