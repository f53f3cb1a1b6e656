"""Logging set up once per process: one line per record on standard error, as text for people or JSON for collectors.

A line break inside a message is written as `\\n`: what others name (containers, groups, files) can never look like a record of
its own. Only the trace of a defect takes further lines, and only as text. Times are UTC in JSON, the host's own in text.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Literal


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03d %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the standard library's name
        return super().formatMessage(record).replace("\r", "\\r").replace("\n", "\\n")


class _Json(logging.Formatter):
    @staticmethod
    def converter(seconds: float | None) -> time.struct_time:
        return time.gmtime(seconds)

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["trace"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def set_up(level: str = "info", style: Literal["text", "json"] = "text") -> None:
    """Replaces whatever was set up before. `level`: debug, info, warning, error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if style == "json" else _Text())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def set_level(level: str) -> bool:
    """From now on; the rest stays as it was set up. Did it change?"""
    root, number = logging.getLogger(), logging.getLevelNamesMapping()[level.upper()]
    changed = root.level != number
    root.setLevel(number)
    return changed
