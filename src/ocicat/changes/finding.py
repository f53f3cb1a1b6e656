"""What is wrong with a host. Pure."""

from __future__ import annotations

from ocicat.model.base import Struct


class Finding(Struct, frozen=True):
    """`about` is a word for scripts."""

    about: str
    problem: str
    breaks: str
    mend: str
