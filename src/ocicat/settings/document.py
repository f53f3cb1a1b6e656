"""The configuration file with every setting in it, as a comment: its default, what it does, how else it can be said. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from ocicat.settings import table
from ocicat.settings.setting import FILE_VARIABLE, Setting
from ocicat.settings.values import toml_text

_WIDTH = 100
_HEAD = f"""\
The configuration of ocicat on this host: of its agent, and of its commands where they say so.

Everything here is a comment and shows the default; remove the # of what shall be otherwise. What stands on the agent's command
line goes before its environment, that before this file, and this file before what the datastore says. Check it with:
ocicat config check. See what is in force, and who says so: ocicat config show. Another file: --config, or {FILE_VARIABLE}.
"""


def default_file() -> str:
    """TOML. As it is, it says nothing."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield from _comment(_HEAD)
    for section, about in table.SECTIONS.items():
        yield ""
        yield from _comment(about)
        yield f"[{section}]"
        for one in table.SETTINGS:
            if one.section == section:
                yield ""
                yield from _setting(one)


def _setting(one: Setting) -> Iterator[str]:
    yield from _comment(" ".join((one.does, *_facts(one))))
    shown = one.example if one.needed or one.default_says else one.default
    yield f"#{one.name} = {toml_text(shown)}"


def _facts(one: Setting) -> Iterator[str]:
    if one.choices:
        yield f"One of: {', '.join(one.choices)}."
    if one.default_says:
        yield f"Default: {one.default_says}."
    if one.unit:
        yield f"In {one.unit}." if one.unit != "port" else ""
    said = [one.option, one.variable] if one.option else [one.variable]
    yield f"({', '.join(said)}{'; live' if one.live else ''})"


def _comment(text: str) -> Iterator[str]:
    for paragraph in text.strip().split("\n\n"):
        yield from (f"# {line}" for line in wrap(" ".join(paragraph.split()), _WIDTH, break_on_hyphens=False))
        if paragraph != text.strip().split("\n\n")[-1]:
            yield "#"
