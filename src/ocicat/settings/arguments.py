"""The options and variables of an agent that runs, from the words of its process: as that agent itself reads them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ocicat.errors import UserError
from ocicat.model.base import Struct
from ocicat.settings import table
from ocicat.settings.setting import DEFAULT_FILE, FILE_VARIABLE, Setting, Value
from ocicat.settings.values import from_text

_CONFIG = "--config"
_COMMAND = "agent"
_PROGRAM = "ocicat"
_LISTS = ("texts", "wholes")


class Process(Struct, frozen=True):
    """`words`: of its command line, all of them. `environment`: NAME=VALUE."""

    words: tuple[str, ...]
    environment: tuple[str, ...] = ()

    @property
    def variables(self) -> dict[str, str]:
        return dict(pair.partition("=")[::2] for pair in self.environment)


class Started(Struct, frozen=True):
    """What an agent was started with. `file`: the one it reads."""

    options: tuple[tuple[str, Value], ...]
    file: str


def is_agent(words: Sequence[str]) -> bool:
    """`ocicat agent`, `python -m ocicat agent`."""
    place = words.index(_COMMAND) if _COMMAND in words else 0
    return place > 0 and words[place - 1].rpartition("/")[2] == _PROGRAM


def started(process: Process) -> Started:
    """What cannot be read is left out: the agent itself was content with it."""
    words = list(process.words[process.words.index(_COMMAND) + 1 :]) if _COMMAND in process.words else []
    pairs = list(_pairs(words))
    named = next((text for option, text in reversed(pairs) if option == _CONFIG), "")
    return Started(tuple(_values(pairs)), named or process.variables.get(FILE_VARIABLE, "") or DEFAULT_FILE)


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(option, what follows it)."""
    place = 0
    while place < len(words):
        option, joined, text = words[place].partition("=")
        place += 1
        setting = table.BY_OPTION.get(option)
        if not joined and _takes_value(option, setting, words[place : place + 1]):
            text, place = words[place], place + 1
        yield option, text or (_bare(setting) if setting else "")


def _takes_value(option: str, setting: Setting | None, following: Sequence[str]) -> bool:
    if not following or (setting is None and option != _CONFIG) or (setting and setting.shape == "switch"):
        return False
    return not (setting and setting.bare and following[0].startswith("-"))


def _bare(setting: Setting) -> str:
    return "true" if setting.shape == "switch" else setting.bare


def _values(pairs: Sequence[tuple[str, str]]) -> Iterator[tuple[str, Value]]:
    """Of an option that may be given again all values, of any other the last."""
    by_option: dict[str, list[str]] = {}
    for option, text in pairs:
        by_option.setdefault(option, []).append(text)
    for option, texts in by_option.items():
        setting = table.BY_OPTION.get(option)
        if setting is None:
            continue
        try:
            yield setting.key, from_text(setting, ",".join(texts) if setting.shape in _LISTS else texts[-1])
        except UserError:
            continue
