"""What is wrong with a selector's text, and where."""

from __future__ import annotations

from ocicat.errors import UserError

_EXCERPT = 60
"""How many characters of the selector the message shows. Text comes from users and may be megabytes."""


class SelectorError(UserError):
    """The text is no selector. `position` counts characters from 0, `column` from 1 (for a caret under the text)."""

    def __init__(self, text: str, position: int, problem: str, *, hint: str = "") -> None:
        self.text = text
        self.position = position
        self.problem = problem
        super().__init__(f"selector {_excerpt(text, position)}, column {self.column}: {problem}", hint=hint)

    @property
    def column(self) -> int:
        return self.position + 1


def _excerpt(text: str, position: int) -> str:
    """The part of `text` around `position`, with control characters escaped so that the message stays one line."""
    start = max(0, min(position - _EXCERPT // 2, len(text) - _EXCERPT))
    shown = text[start : start + _EXCERPT]
    before = "..." if start else ""
    after = "..." if start + _EXCERPT < len(text) else ""
    return f"{before}{shown!r}{after}"
