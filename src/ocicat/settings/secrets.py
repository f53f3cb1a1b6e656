"""Passwords in addresses are for the program, not for people: never printed, never logged. Pure.

A password begins at the first colon of an address and ends at its last @, as whoever reads the address takes it: any character may
stand between them, also an @ or a slash. Rather more is hidden than too little.
"""

from __future__ import annotations

import re

_IN_A_WORD = re.compile(r"(//[^:\s]*):\S*@")
_IN_ALL = re.compile(r"(//[^:]*):.*@", re.DOTALL)


def masked(text: str) -> str:
    """Of words for people, in which addresses may stand."""
    return _IN_A_WORD.sub(r"\1:***@", text)


def masked_address(text: str) -> str:
    """Of an address alone, whose password may have blanks in it."""
    return _IN_ALL.sub(r"\1:***@", text)
