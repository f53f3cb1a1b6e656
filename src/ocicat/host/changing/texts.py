"""Single lines in text files of others: put in, taken out, switched off, and the rest of the file left as it is, to the byte.

1. A line of ours bears MARK, so it is found again also in a file that somebody has written anew from what is in force.
2. A line of others that is switched off is made a comment that begins with OFF; switched on, it is what it was.
3. Where a symbolic link leads to the file, the file is changed, and the link stays.
"""

from __future__ import annotations

from ocicat.changes.files import State, Tree
from ocicat.errors import Refused
from ocicat.host.firewall.letting import MARK

OFF = f"#{MARK}# "
_COMMIT = "COMMIT"


class RuleLines:
    """Our rules in a file that a firewall loads: the value is these lines; None where there is no such file.

    `before_commit`: as iptables-restore has it, at the end of the table filter; else at the end.
    """

    own = True

    def __init__(self, tree: Tree, path: str, *, before_commit: bool) -> None:
        self._tree, self._path, self._before_commit = tree, _file(tree, path), before_commit

    def read(self) -> str | None:
        found = self._tree.state(self._path)
        return None if found is None else "\n".join(line for line in _split(found) if MARK in line)

    def write(self, value: str | None) -> None:
        found = self._tree.state(self._path)
        if found is None:
            return
        text = with_lines(
            found.content.decode(errors="surrogateescape"), (value or "").splitlines(), commit=self._before_commit
        )
        self._tree.put(self._path, State("file", text.encode(errors="surrogateescape"), found.mode))


class Switched:
    """Lines of others that begin with a word: the value is those in force; "" when all are switched off."""

    own = True

    def __init__(self, tree: Tree, path: str, word: str) -> None:
        self._tree, self._path, self._word = tree, _file(tree, path), word

    def read(self) -> str | None:
        found = self._tree.state(self._path)
        return None if found is None else "\n".join(line for line in _split(found) if first_word(line) == self._word)

    def write(self, value: str | None) -> None:
        found = self._tree.state(self._path)
        if found is None:
            return
        lines = [(self._off(line) if not value else self._on(line)) for line in _split(found)]
        content = "\n".join(lines).encode(errors="surrogateescape")
        self._tree.put(self._path, State("file", content, found.mode))

    def _off(self, line: str) -> str:
        return f"{OFF}{line}" if first_word(line) == self._word else line

    def _on(self, line: str) -> str:
        return line.removeprefix(OFF) if first_word(line.removeprefix(OFF)) == self._word else line


def _file(tree: Tree, path: str) -> str:
    """To which a path leads. Refused: out of the tree."""
    root, target = tree.root.resolve(), tree.at(path).resolve()
    if not target.is_relative_to(root):
        raise Refused(f"{path} leads out of {root}, to {target}")
    return f"/{target.relative_to(root)}"


def with_lines(text: str, ours: list[str], *, commit: bool) -> str:
    """`ours` in place of those that bear MARK. Refused where no table filter ends."""
    lines = [line for line in text.split("\n") if MARK not in line]
    if not ours:
        return "\n".join(lines)
    at = _end_of_filter(lines) if commit else len(lines) - (lines[-1:] == [""])
    return "\n".join([*lines[:at], *ours, *lines[at:]])


def first_word(line: str) -> str:
    """Of `word value`, `word = value` and `word=value`."""
    words = line.replace("=", " ").split()
    return words[0] if words else ""


def _end_of_filter(lines: list[str]) -> int:
    begun = False
    for number, line in enumerate(lines):
        begun = begun or line.strip() == "*filter"
        if begun and line.strip() == _COMMIT:
            return number
    raise Refused("a file of iptables rules has no table filter", hint="write the rules in force with iptables-save")


def _split(found: State) -> list[str]:
    return found.content.decode(errors="surrogateescape").split("\n")
