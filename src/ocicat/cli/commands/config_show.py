"""`ocicat config show` and `explain`: what is in force, who says so, what else could be said."""

from __future__ import annotations

from collections.abc import Iterator

import click

from ocicat.cli.configured import Read, config_option
from ocicat.cli.inforce import Stored, in_datastore, in_force, of_datastore_alone
from ocicat.cli.output import Format, format_option
from ocicat.cli.output import show as print_records
from ocicat.cli.printing import print_raw
from ocicat.cli.talk import say
from ocicat.errors import NotFound
from ocicat.model.base import Struct
from ocicat.model.codec import decode_json, encode_json
from ocicat.settings import table
from ocicat.settings.layers import Ignored, nearest
from ocicat.settings.resolve import Found, resolve
from ocicat.settings.setting import Setting, Value
from ocicat.settings.values import masked_value, plain_text, toml_text

_HEAD = ("key", "value", "source", "effect")
_WIDE = (*_HEAD, "default", "option", "variable", "instead of")
_CUT = 40
_EFFECTS = {"live": "live, when the agent gets SIGHUP", "restart": "when the agent is started again"}

_store = click.option("--store", default="", metavar="URL", help="The datastore to ask. [default: store.url]")
_no_store = click.option("--no-store", is_flag=True, help="Without what the datastore says.")
_no_agent = click.option("--no-agent", is_flag=True, help="As an agent started from here would have it.")


class Other(Struct, frozen=True):
    """Who says something too, and is not listened to."""

    value: Value
    source: str


class Shown(Struct, frozen=True, kw_only=True):
    """`effect`: live, restart; or none: and why. `instead_of`: the nearest first."""

    key: str
    value: Value
    source: str
    effect: str
    default: Value
    default_says: str = ""
    unit: str = ""
    option: str = ""
    variable: str = ""
    felix: str = ""
    instead_of: tuple[Other, ...] = ()


class Explained(Struct, frozen=True, kw_only=True):
    shown: Shown
    does: str
    kind: str
    choices: tuple[str, ...]
    example: str
    section: str


@click.command()
@click.option("--host", default="", help="As another host finds it in the datastore. [default: this host]")
@_store
@_no_store
@_no_agent
@config_option
@format_option
def show(host: str, store: str, no_store: bool, no_agent: bool, config: str, style: Format) -> None:
    """Every setting: its value, who says so, and when a change takes effect.

    Where an agent runs on this host, with its options and variables; where none does, as one would have it that is started now.
    Settings that FelixConfiguration has too are looked up in the datastore: command line, environment, file, node.HOST, default.
    What nothing acts on is shown as such. Passwords in addresses are not shown.

    \b
    Examples:
      ocicat config show
      ocicat config show -o wide --no-agent
      ocicat config show --host h2.example.com
    """
    read, stored = _look(host, store, config, no_store=no_store, agent=not no_agent)
    rows = [_shown(found) for found in read.resolved.found if not host or found.setting.felix]
    rows += [_ignored(one) for one in stored.ignored]
    _tell_faults(read, stored)
    print_records(
        style,
        rows,
        head=_WIDE if style == "wide" else _HEAD,
        row=lambda one: _wide(one) if style == "wide" else _row(one),
        name=lambda one: one.key,
    )


@click.command()
@click.argument("key")
@_store
@_no_store
@_no_agent
@config_option
@format_option
def explain(key: str, store: str, no_store: bool, no_agent: bool, config: str, style: Format) -> None:
    """Everything about one setting: what it does, its value and who says so, its default, how to say it, when that takes effect.

    KEY is its key, its option, its variable, or its name in FelixConfiguration.

    \b
    Examples:
      ocicat config explain mesos.agent_ports
      ocicat config explain vxlanPort
    """
    setting = _named(key)
    no_store = no_store or not setting.felix
    read, stored = _look("", store, config, no_store=no_store, agent=not no_agent)
    _tell_faults(read, stored)
    explained = _explained(read.resolved.of(setting.key))
    if style in ("json", "yaml"):
        print_raw(style, decode_json(dict[str, object], encode_json(explained)))
    elif style == "name":
        click.echo(setting.key)
    else:
        lines = list(_lines(explained))
        width = max(len(name) for name, _ in lines)
        click.echo("\n".join(f"{name.upper():<{width}}  {text}" for name, text in lines))


def _look(host: str, store: str, config: str, *, no_store: bool, agent: bool) -> tuple[Read, Stored]:
    """Settings of this host, or of another as the datastore has them."""
    found = in_force(config, agent=agent)
    resolved = found.read.resolved
    if found.agent:
        say(f"the agent runs (process {found.agent}): as its options, its variables and {found.read.path} have it")
    elif found.alone:
        socket = resolved.text("agent.socket")
        say(
            f"no agent serves {socket}: this is as one started from here would have it",
            hint="one that has another --socket is found with OCICAT_SOCKET set to it",
        )
    this = resolved.text("host.name")
    url = store or resolved.text("store.url")
    stored = Stored() if no_store else in_datastore(url, host or this)
    if host and host != this:
        return of_datastore_alone(stored), stored
    return _with_datastore(found.read, stored), stored


def _with_datastore(read: Read, stored: Stored) -> Read:
    """What the datastore says comes after what this host says, and before the defaults."""
    return Read(read.path, resolve((*read.layers, *stored.felix)), read.faults, read.unknown, read.layers)


def _tell_faults(read: Read, stored: Stored) -> None:
    for one in (*read.faults, *read.unknown, *(fault for layer in stored.felix for fault in layer.faults)):
        say(str(one), hint=one.hint)


def _named(text: str) -> Setting:
    found = table.BY_KEY.get(text) or next((one for one in table.SETTINGS if text in _names(one)), None)
    if found is None:
        raise NotFound(f"{text!r} is no setting", hint=nearest(text))
    return found


def _names(one: Setting) -> tuple[str, ...]:
    felixs = [name for names in (table.FELIX_KEYS, table.FELIX_VARIABLES) for name in names if names[name] == one]
    own = (one.option, one.option.removeprefix("--"), one.variable, one.felix)
    return tuple(name for name in (*own, *felixs) if name)


def _shown(found: Found) -> Shown:
    setting, said = found.setting, found.said
    return Shown(
        key=setting.key,
        value=masked_value(found.value),
        source=said.where or "default",
        effect=setting.effect,
        default=setting.default,
        default_says=setting.default_says,
        unit=setting.unit,
        option=setting.option,
        variable=setting.variable,
        felix=setting.felix,
        instead_of=tuple(Other(masked_value(one.value), one.where) for one in found.hidden),
    )


def _ignored(one: Ignored) -> Shown:
    return Shown(key=one.key, value=one.value, source=one.where, effect=f"none: {one.why}", default="")


def _explained(found: Found) -> Explained:
    setting = found.setting
    example = f"{setting.name} = {toml_text(setting.example)}"
    return Explained(
        shown=_shown(found),
        does=setting.does,
        kind=_kind(setting),
        choices=setting.choices,
        example=example,
        section=setting.section,
    )


def _kind(setting: Setting) -> str:
    names = {"whole": "whole number", "wholes": "whole numbers", "switch": "true or false"}
    bounds = ""
    if setting.low is not None and setting.high is not None:
        bounds = f", {setting.low:g} to {setting.high:g}"
    unit = f", {setting.unit}" if setting.unit else ""
    return names.get(setting.shape, setting.shape) + bounds + unit


def _lines(one: Explained) -> Iterator[tuple[str, str]]:
    shown = one.shown
    yield "key", shown.key
    yield "does", one.does
    yield "value", _value(shown.value, shown)
    yield "source", shown.source
    for other in shown.instead_of:
        yield "instead of", f"{plain_text(other.value)} ({other.source})"
    yield "default", shown.default_says or plain_text(shown.default)
    yield "kind", one.kind
    if one.choices:
        yield "one of", ", ".join(one.choices)
    yield "example", f"{one.example}    in [{one.section}]"
    yield "option", shown.option or "-"
    yield "variable", shown.variable
    yield "calico", f"{shown.felix} of FelixConfiguration" if shown.felix else "-"
    yield "effect", _EFFECTS.get(shown.effect, shown.effect)


def _value(value: Value, one: Shown) -> str:
    if value in ("", (), 0) and one.source == "default" and one.default_says:
        return f"({one.default_says})"
    return plain_text(value) or ("none" if value == () else '""')


def _row(one: Shown) -> tuple[str, ...]:
    value = _value(one.value, one)
    return (one.key, value if len(value) <= _CUT else value[: _CUT - 3] + "...", one.source, one.effect)


def _wide(one: Shown) -> tuple[str, ...]:
    default = one.default_says or plain_text(one.default) or "-"
    others = "; ".join(f"{plain_text(other.value)} ({other.source})" for other in one.instead_of) or "-"
    return (
        one.key,
        _value(one.value, one),
        one.source,
        one.effect,
        default,
        one.option or "-",
        one.variable or "-",
        others,
    )
