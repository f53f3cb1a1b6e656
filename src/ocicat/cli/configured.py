"""Settings on the command line: what the configuration file and the environment say, for commands and for the agent's options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import click

from ocicat.model.base import Struct
from ocicat.settings import layers, table
from ocicat.settings.layers import Layer
from ocicat.settings.reading import OURS, Place, file_layer, path_of, variable_layer
from ocicat.settings.resolve import Resolved, resolve
from ocicat.settings.setting import DEFAULT_FILE, FILE_VARIABLE, Fault, Setting, Value
from ocicat.settings.values import plain_text

Command = Callable[..., Any]
_KINDS: Mapping[str, type] = {"whole": int, "wholes": int, "number": float}

config_option = click.option(
    "--config",
    default="",
    metavar="FILE",
    help=f"The configuration file. [default: {FILE_VARIABLE}, or {DEFAULT_FILE} where there is one]",
)


class Read(Struct, frozen=True):
    """Settings as they are in force, and everything that is wrong with what was read. `unknown` stops nobody: it may be a newer
    version's. `place`: from where `path` is seen, and the files that settings name."""

    path: str
    resolved: Resolved
    faults: tuple[Fault, ...] = ()
    unknown: tuple[Fault, ...] = ()
    layers: tuple[Layer, ...] = ()
    place: Place = OURS


def read(
    config: str,
    *,
    variables: Layer | None = None,
    options: Layer = Layer(),  # noqa: B008
    place: Place = OURS,
) -> Read:
    """Errors: NotFound, UserError: there is no such file, or it is no TOML."""
    path = path_of(config)
    local = (options, variable_layer() if variables is None else variables, file_layer(path, place))
    faults, unknown = (tuple(one for layer in local for one in getattr(layer, name)) for name in ("faults", "unknown"))
    return Read(place.absolute(path), resolve(local), faults, unknown, local, place)


def agent_options(command: Command) -> Command:
    """All options of the agent. The environment is not click's business: who goes before whom is decided in one place."""
    for setting in reversed([one for one in table.SETTINGS if one.option]):
        command = _option(setting)(command)
    return config_option(command)


def options_layer(given: Mapping[str, object]) -> Layer:
    """What stands on the command line; `given`: click's parameters."""
    found: list[tuple[str, Value]] = []
    for setting in table.BY_OPTION.values():
        value = given.get(_parameter(setting))
        if value is not None and value != ():
            found.append((setting.key, value))  # type: ignore[arg-type]  # of the type that `_option` asks for
    return layers.of_options(found)


def _parameter(setting: Setting) -> str:
    return setting.key.replace(".", "_")


def _option(setting: Setting) -> Callable[[Command], Command]:
    option = partial(click.option, setting.option, _parameter(setting), default=None, help=_help(setting))
    if setting.shape == "switch":
        return option(is_flag=True)
    option = partial(option, metavar=setting.metavar or None)
    if setting.choices:
        return option(type=click.Choice(setting.choices), multiple=setting.shape == "texts")
    if setting.bare:
        return option(is_flag=False, flag_value=setting.bare)
    return option(type=_KINDS.get(setting.shape, str), multiple=setting.shape in ("texts", "wholes"))


def _help(setting: Setting) -> str:
    default = setting.default_says or plain_text(setting.default)
    bare = f"without a value: {setting.bare}; " if setting.bare else ""
    facts = "" if setting.needed or setting.shape == "switch" else f" [{bare}default: {default}]"
    return f"{setting.does}{facts}"
