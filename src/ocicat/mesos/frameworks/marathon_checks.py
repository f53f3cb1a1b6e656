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
    found = ports[wanted]
    return (0, found.index) if found.index >= 0 else (found.number, -1)
