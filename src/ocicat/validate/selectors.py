"""What a selector says beyond its grammar. Pure."""

from __future__ import annotations

import re

_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
_GLOBAL = re.compile(r"global\(\s*\)")


def names_global(text: str) -> bool:
    """Does it use global() anywhere outside quotes?"""
    return "global(" in text and _GLOBAL.search(_QUOTED.sub('""', text)) is not None


def is_global(text: str) -> bool:
    """Is it global() and nothing else?"""
    return _GLOBAL.fullmatch(text.strip()) is not None
