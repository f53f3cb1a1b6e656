"""What settings of the section `felix` hold, as FelixConfiguration has it, and what is wrong with it. Pure.

All of policy's rules come with this module: it is imported where such a setting is really there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ocicat.errors import Bug, UserError
from ocicat.model.base import Struct
from ocicat.model.codec import convert
from ocicat.model.v3.felix import FelixConfigurationSpec, ProtoPort
from ocicat.model.v3.shape import record
from ocicat.policy.felix_unread import UNREAD, unread
from ocicat.policy.settings import setting_problems
from ocicat.settings.felix import PREFIX, SECTION, VARIABLES
from ocicat.settings.setting import Value
from ocicat.validate import validate_part

_PORT_DIGITS = 5
_PORTS = ("failsafeInboundHostPorts", "failsafeOutboundHostPorts")
_UNREAD_VARIABLES = {f"{VARIABLES}{name.upper()}": field for name, field in UNREAD.items()}


class Wrong(Struct, frozen=True):
    """Of one field, by its name in the file."""

    name: str
    problem: str


def spec(values: Mapping[str, Value]) -> FelixConfigurationSpec:
    """`values` by key of the setting. Raises UserError for what is not of the field's type."""
    given = {key.removeprefix(PREFIX): value for key, value in values.items()}
    return convert(FelixConfigurationSpec, {name: _json(name, value) for name, value in given.items()}, what=SECTION)


def wrong(key: str, value: Value) -> Iterator[Wrong]:
    """Everything that is wrong with one field."""
    name = key.removeprefix(PREFIX)
    try:
        found = spec({key: value})
    except UserError as error:
        yield Wrong(name, error.message.removeprefix(f"{SECTION}: ").removeprefix(f"{name}: "))
        return
    problems = [one.rule for one in validate_part(found, SECTION)]
    yield from (Wrong(name, text) for text in problems or _passed_over(found))


def _passed_over(found: FelixConfigurationSpec) -> Iterator[str]:
    for text in setting_problems(found):
        yield text.partition(" is passed over: ")[2] or text


def stored(found: FelixConfigurationSpec) -> Iterator[tuple[str, Value]]:
    """The fields that an object of the datastore says something about, by name, those included that nothing reads."""
    for member in record(FelixConfigurationSpec).members:
        value = getattr(found, member.attribute)
        if value != member.unset and value not in (None, "") and (value != () or member.unset is None):
            yield member.name, _shown(value)


def ignored(found: FelixConfigurationSpec) -> Iterator[tuple[str, str]]:
    """The fields of it that nothing reads, by name, and why."""
    yield from ((name, field.why) for name, _, field in unread(found))


def why_ignored(name: str) -> str:
    """Of a field by its name, or by Felix's variable for it; empty: it is none of those that nothing reads."""
    found = UNREAD.get(name) or _UNREAD_VARIABLES.get(name)
    return found.why if found else ""


def _json(name: str, value: Value) -> object:
    if name in _PORTS:
        if not isinstance(value, tuple):
            raise Bug(f"{name}: a list of ports was read as {value!r}")
        return [_port(str(text)) for text in value]
    return list(value) if isinstance(value, tuple) else value


def _port(text: str) -> dict[str, object]:
    """`22`, `tcp:22`, `tcp:10.0.0.0/8:22`, `tcp:[fd00::/8]:22`."""
    head, _, port = text.rpartition(":")
    protocol, _, net = head.partition(":")
    if not port.isdecimal() or len(port) > _PORT_DIGITS:  # int() raises for thousands of them
        raise UserError(f"{text!r} is no port", hint="PORT, PROTOCOL:PORT or PROTOCOL:NET:PORT, for example tcp:22")
    found: dict[str, object] = {"protocol": protocol.upper() or "TCP", "port": int(port)}
    return found | ({"net": net.strip("[]")} if net else {})


def _shown(value: object) -> Value:
    if isinstance(value, tuple):
        return tuple(_port_text(one) if isinstance(one, ProtoPort) else str(one) for one in value)
    return value if isinstance(value, str | int | float) else str(value)


def _port_text(one: ProtoPort) -> str:
    net = f"[{one.net}]:" if ":" in one.net else f"{one.net}:" if one.net else ""
    return f"{(one.protocol or 'TCP').lower()}:{net}{one.port}"
