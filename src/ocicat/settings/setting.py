"""One setting: what it is called everywhere, what it may be, what it does. Pure.

Precedence, the first that says something: command line, environment, configuration file, the datastore's FelixConfiguration of
this host, the one named default, the default here. It is Felix's, with the command line before it.
"""

from __future__ import annotations

from typing import Literal

from ocicat.errors import UserError
from ocicat.model.base import Struct
from ocicat.settings.secrets import masked

Value = str | int | float | bool | tuple[str, ...] | tuple[int, ...]
Shape = Literal["text", "texts", "whole", "wholes", "number", "switch"]
Origin = Literal["option", "variable", "file", "node", "global", "default"]

DEFAULT_FILE = "/etc/ocicat/ocicat.toml"
FILE_VARIABLE = "OCICAT_CONFIG"


class Setting(Struct, frozen=True, kw_only=True):
    """`default_says`: what the default means, where it is worked out. `option`: of `ocicat agent`, empty for none; `bare`: what it
    means there without a value. `felix`: the field of FelixConfiguration that says the same in the datastore. `live`: a running
    agent takes a change over when it is told to (SIGHUP). `needed`: by the agent.
    """

    key: str
    shape: Shape
    default: Value
    does: str
    example: Value
    variable: str
    option: str = ""
    metavar: str = ""
    default_says: str = ""
    unit: str = ""
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    felix: str = ""
    bare: str = ""
    live: bool = False
    needed: bool = False
    secret_file: bool = False  # it names a file that only its owner should read

    @property
    def section(self) -> str:
        return self.key.partition(".")[0]

    @property
    def name(self) -> str:
        """Inside its section of the file."""
        return self.key.partition(".")[2]

    @property
    def effect(self) -> str:
        """When a change takes effect."""
        return "live" if self.live else "restart"


class Fault(Struct, frozen=True):
    """What is wrong: `where` it stands (file and line, variable, option; empty: nowhere), which key, why, and what to do."""

    where: str
    key: str
    problem: str
    hint: str = ""

    def __str__(self) -> str:
        place = ": ".join(part for part in (self.where, self.key) if part)
        return masked(f"{place}: {self.problem}" if place else self.problem)

    def error(self) -> UserError:
        return UserError(str(self), hint=masked(self.hint))
