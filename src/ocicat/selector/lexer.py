"""The words of the selector language, taken from the text one at a time as the parser asks for them.

The parser says which terminal may come next, and the lexer says whether it does. That is what makes operator words
ordinary label names everywhere but straight after a label: `in in {"x"}` and `has == "y"` are selectors.

Invariants:
1. `position` only grows, and never rests on a blank: a terminal takes the blanks that follow it.
2. Every character is looked at a bounded number of times, so the whole is linear in the length of the text.
3. A blank is a space or a tab; a line break outside quotes is an error, as in Calico.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ocicat.model.base import Struct
from ocicat.selector.error import SelectorError


class Terminal(Struct, frozen=True):
    """One kind of word: what messages call it, and what it looks like."""

    name: str
    pattern: re.Pattern[str]


def _terminal(name: str, pattern: str) -> Terminal:
    return Terminal(name, re.compile(rf"({pattern})[ \t]*"))


_LABEL_KEY = r"[A-Za-z0-9_./-]+"
_QUOTED = r'"[^"]*"' + r"|'[^']*'"

LABEL = _terminal("a label, has(), all(), global(), '!' or '('", _LABEL_KEY)
LABEL_ARGUMENT = _terminal("a label", _LABEL_KEY)
# The parenthesis belongs to the word: `has (a)` is the label "has" and then an error.
CALL = _terminal("has(, all( or global(", r"(?:has|all|global)\(")
CALL_END = _terminal("')'", r"\)")
GROUP = _terminal("'('", r"\(")
GROUP_END = _terminal("'&&', '||' or ')'", r"\)")
NOT = _terminal("'!'", "!")
AND = _terminal("'&&'", "&&")
OR = _terminal("'||'", r"\|\|")
END = _terminal("'&&', '||' or the end", r"\Z")
MEMBERSHIP = _terminal("'in' or 'not in'", r"in|not[ \t]*in")
COMPARISON = _terminal(
    "an operator (==, !=, in, not in, contains, starts with, ends with)",
    r"==|!=|contains|starts[ \t]*with|ends[ \t]*with",
)
LITERAL = _terminal("a value in quotes", _QUOTED)
SET = _terminal("'{'", r"\{")
SET_END = _terminal("a value in quotes, ',' or '}'", r"\}")
COMMA = _terminal("','", ",")

_BLANKS = re.compile(r"[ \t]*")
_WORD = re.compile(rf"{_QUOTED}|{_LABEL_KEY}|&&|\|\||==|!=|.", re.DOTALL)
_SHOWN = 32
_HINTS = {
    "=": "write == for equality",
    "&": "write && for and",
    "|": "write || for or",
    "\n": "use spaces or tabs only",
}


@dataclass(slots=True)
class Lexer:
    """A place in a text. Errors: SelectorError, also for text that has no UTF-8 form (it could not be stored)."""

    text: str
    position: int = 0

    def __post_init__(self) -> None:
        try:
            self.text.encode()
        except UnicodeEncodeError as error:
            raise SelectorError(self.text, error.start, "a lone surrogate is no character") from error
        self._skip_blanks()

    def take(self, terminal: Terminal) -> str | None:
        """The next word if it is that terminal, else None and nothing is taken."""
        found = terminal.pattern.match(self.text, self.position)
        if found is None:
            return None
        self.position = found.end()
        return found[1]

    def expect(self, terminal: Terminal) -> str:
        """The next word, which must be that terminal."""
        word = self.take(terminal)
        if word is None:
            raise self._unexpected(terminal)
        return word

    def error(self, problem: str) -> SelectorError:
        """What is wrong at this place."""
        return SelectorError(self.text, self.position, problem)

    def _skip_blanks(self) -> None:
        if blanks := _BLANKS.match(self.text, self.position):
            self.position = blanks.end()

    def _unexpected(self, terminal: Terminal) -> SelectorError:
        found = _WORD.match(self.text, self.position)
        if found is None:
            return self.error(f"expected {terminal.name}, found the end")
        word = found[0]
        if word in ("'", '"'):  # a quoted value would have been the word, had its quote been closed
            return self.error(f"expected a closing {word} for the value that starts here")
        problem = f"expected {terminal.name}, found {word[:_SHOWN]!r}"
        return SelectorError(self.text, self.position, problem, hint=_HINTS.get(word, ""))
