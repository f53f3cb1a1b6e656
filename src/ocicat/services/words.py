"""What a server said last that tells why it ended, from the end of its log. Pure.

etcd 3.5 writes a line of JSON each, with `msg` and `error`; Go and Java say first what it is, and then where in the program it was.
"""

from __future__ import annotations

import json
import re

from ocicat.model.base import Struct

_GRAVE = ("fatal", "panic", "error")
_PANIC = re.compile(r"panic: |Exception in thread|[\w.]+(Exception|Error): |.* (ERROR|FATAL) ")
_PLACE = re.compile(r"\s|goroutine |\[signal |exit status|$")  # of a trace, or nothing

_CAUSES = {
    "has already been bootstrapped": "this member's data is lost, and the others know it; docs/services.md says what to do",
    "cluster ID mismatch": "this member's data is not of the others' cluster; docs/services.md says what to do",
    "no space left on device": "make room on the disk of its data",
    "No space left on device": "make room on the disk of its data",
    "unknown authority": "the certificates of all members have to be of one authority: ocicat pki show DIRECTORY/ca.crt",
    "address already in use": "another program listens there: ss -ltnp",
}


def last_words(log: str) -> str:
    """The last line that is grave, after the error that led to it; else the last one that says anything. Empty for an empty log."""
    found = [said for line in log.splitlines() if (said := _said(line))]
    at = max((number for number, one in enumerate(found) if one.is_grave), default=len(found) - 1)
    before = found[at - 1 : at] if at > 0 and found[at - 1].is_error and found[at].text.startswith("panic: ") else []
    return "; ".join(one.text for one in (*before, *found[at : at + 1]))


def cause(said: str) -> str:
    """What to do about it; empty where that is not known."""
    return next((mend for words, mend in _CAUSES.items() if words in said), "")


class _Line(Struct, frozen=True):
    text: str
    is_grave: bool = False
    is_error: bool = False


def _said(line: str) -> _Line | None:
    """None for what says nothing."""
    if line.startswith("{"):
        try:
            told = json.loads(line)
        except ValueError:
            return _Line(line)
        parts = [str(told[key]) for key in ("msg", "error") if told.get(key)]
        return _Line(": ".join(parts), str(told.get("level")) in _GRAVE, "error" in told)
    return None if _PLACE.match(line) else _Line(line.strip(), bool(_PANIC.match(line)))
