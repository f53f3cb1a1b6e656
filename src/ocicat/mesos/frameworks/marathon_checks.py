"""Marathon's health checks: HTTP, HTTPS and TCP are asked by the framework, COMMAND and MESOS_* by Mesos's executor. PURE."""

from __future__ import annotations

from ocicat.mesos.frameworks.application import Check
from ocicat.mesos.frameworks.fields import Fields
from ocicat.mesos.frameworks.marathon_networks import Networking, Port
from ocicat.mesos.types import HealthCheck

ASKED_HERE = ("HTTP", "HTTPS", "TCP")
ASKED_BY_MESOS = ("COMMAND", "MESOS_HTTP", "MESOS_HTTPS", "MESOS_TCP")


def read_checks(fields: Fields, networking: Networking) -> tuple[tuple[Check, ...], HealthCheck | None]:
    """Those that are asked here, and the one that Mesos asks."""
    here: list[Check] = []
    mesos: list[HealthCheck] = []
    for one in fields.each("healthChecks"):
        protocol = one.text("protocol", "HTTP", choices=(*ASKED_HERE, *ASKED_BY_MESOS))
        if protocol in ASKED_HERE:
            here.append(_here(one, protocol, networking))
        else:
            mesos.append(_by_mesos(one, protocol, networking))
        one.done()
    if len(mesos) > 1:
        fields.wrong(
            "healthChecks", f"Mesos asks one check for each task, and there are {len(mesos)} of {ASKED_BY_MESOS}"
        )
    return tuple(here), mesos[0] if mesos else None


def read_readiness(fields: Fields, networking: Networking) -> tuple[Check, ...]:
    """Asked here as well, of a port by its name, and only until an instance is ready for the first time."""
    return tuple(_readiness(one, networking) for one in fields.each("readinessChecks"))


def _readiness(one: Fields, networking: Networking) -> Check:
    one.text("name")
    one.without_effect({"preserveLastResponse": "`ocicat app show` tells the last failure"})
    protocol = one.text("protocol", "HTTP", choices=("HTTP", "HTTPS"))
    port, index = _named_port(one, networking)
    check = Check(
        protocol=protocol,
        path=_path(one),
        port=port,
        port_index=index,
        grace_s=0.0,
        interval_s=one.number("intervalSeconds", 30.0),
        timeout_s=one.number("timeoutSeconds", 10.0),
        failures=0,
        statuses=_statuses(one),
        once=True,
    )
    one.done()
    return check


def _named_port(one: Fields, networking: Networking) -> tuple[int, int]:
    """As `_port`."""
    wanted = one.text("portName", "http-api")
    found = next((port for port in networking.ports if port.name == wanted), None)
    if found is None:
        has = ", ".join(port.name for port in networking.ports if port.name)
        one.wrong("portName", f"{wanted!r}: the application names {has or 'no port'}")
        return 0, -1
    return _where(found)


def _statuses(one: Fields) -> tuple[int, ...]:
    values = one.items("httpStatusCodesForReady") or [200]
    good = tuple(value for value in values if isinstance(value, int) and 100 <= value <= 599)
    if len(good) < len(values):
        one.wrong("httpStatusCodesForReady", f"{values} must be statuses of HTTP, 100 to 599")
    return good


def _here(one: Fields, protocol: str, networking: Networking) -> Check:
    port, index = _port(one, networking)
    one.refused({"command": "it is for the protocol COMMAND"})
    return Check(
        protocol=protocol,
        path=_path(one),
        port=port,
        port_index=index,
        delay_s=one.number("delaySeconds", 0.0),
        grace_s=one.number("gracePeriodSeconds", 300.0),
        interval_s=one.number("intervalSeconds", 60.0),
        timeout_s=one.number("timeoutSeconds", 20.0),
        failures=one.whole("maxConsecutiveFailures", 3),
        ignore_1xx=one.flag("ignoreHttp1xx"),
        ipv6=one.text("ipProtocol", "IPv4", choices=("IPv4", "IPv6")) == "IPv6",
    )


def _by_mesos(one: Fields, protocol: str, networking: Networking) -> HealthCheck:
    kind = protocol.removeprefix("MESOS_").removesuffix("S")
    port, index = (0, -1) if kind == "COMMAND" else _port(one, networking)
    one.without_effect({"ignoreHttp1xx": "Mesos counts 2xx and 3xx as healthy"})
    if one.text("ipProtocol", "IPv4", choices=("IPv4", "IPv6")) == "IPv6":
        one.wrong("ipProtocol", "IPv6 is not supported for what Mesos asks: use HTTP or TCP")
    return HealthCheck(
        kind=kind,
        command=_command(one) if kind == "COMMAND" else "",
        port=port,
        port_index=index,
        path=_path(one),
        scheme="https" if protocol.endswith("S") else "http",
        delay_s=one.number("delaySeconds", 15.0),
        grace_s=one.number("gracePeriodSeconds", 300.0),
        interval_s=one.number("intervalSeconds", 60.0),
        timeout_s=one.number("timeoutSeconds", 20.0),
        failures=one.whole("maxConsecutiveFailures", 3),
    )


def _command(one: Fields) -> str:
    inner = one.inner("command")
    value = inner.text("value") if inner else ""
    if inner:
        inner.done()
    if not value:
        one.wrong("command.value", "is missing")
    return value


def _path(one: Fields) -> str:
    path = one.text("path", "/")
    if not path.startswith("/"):
        one.wrong("path", f"{path!r} does not begin with a slash")
    return path


def _port(one: Fields, networking: Networking) -> tuple[int, int]:
    """(number, index among the host ports): one of them says it."""
    if "port" in one:
        one.without_effect({"portIndex": "port says it"})
        return one.port("port"), -1
    wanted = one.whole("portIndex", 0)
    ports: tuple[Port, ...] = networking.ports
    if wanted >= len(ports):
        has = f"has {len(ports)} ports" if ports else "names no port"
        one.wrong("portIndex", f"{wanted}: the application {has}; give the port's number as `port`")
        return 0, -1
    return _where(ports[wanted])


def _where(port: Port) -> tuple[int, int]:
    """The number that is known, or the place among the host ports of one that Mesos gives."""
    return (0, port.index) if port.index >= 0 else (port.number, -1)
