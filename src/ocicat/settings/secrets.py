"""Passwords in addresses are for the program, not for people: never printed, never logged. Pure."""

from __future__ import annotations

import re

_PASSWORD = re.compile(r"(//[^/@:\s,?]*):[^/@\s]*@")


def masked(text: str) -> str:
    """What stands between a user and the @ of an address is not shown."""
    return _PASSWORD.sub(r"\1:***@", text)
