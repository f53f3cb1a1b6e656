"""Spark's settings: what is sent for its executors, and in cluster mode for its driver. PURE.

Source: Spark's documentation (running-on-mesos.md). A program of its own runs in both, which is not shown.
"""

from __future__ import annotations

from collections.abc import Mapping

from ocicat.mesos.frameworks.fields import Notes
from ocicat.mesos.frameworks.sent import Sent, alone
from ocicat.mesos.types import Fetch, Image, NetworkRequest, PortMapping, TaskSpec
from ocicat.model.base import replace

_PREFIX = "spark.mesos."
_DRIVER_ENV = "spark.mesos.driverEnv."
OWN = (
    "alwaysPullImage", "appJar.local.resolution.mode", "coarse", "constraints", "containerizer", "dispatcher.historyServer.url",
    "dispatcher.queue", "dispatcher.webui.url", "driver.constraints", "driver.failoverTimeout", "driver.frameworkId",
    "driver.webui.url", "executor.home", "executor.memoryOverhead", "extra.cores", "gpus.max", "maxDrivers",
    "mesosExecutor.cores", "principal", "principal.file", "proxy.baseURL", "rejectOfferDuration",
    "rejectOfferDurationForReachedMaxCores", "rejectOfferDurationForUnmetConstraints", "retainedDrivers", "role", "secret",
    "secret.file",
)  # fmt: skip
_VOLUMES = "there are no volumes here"
REFUSED = {
    "executor.docker.volumes": _VOLUMES,
    "driver.secret.names": _VOLUMES,
    "driver.secret.values": _VOLUMES,
    "driver.secret.filenames": _VOLUMES,
    "driver.secret.envkeys": _VOLUMES,
    "executor.secret.names": _VOLUMES,
    "executor.secret.values": _VOLUMES,
    "executor.secret.filenames": _VOLUMES,
    "executor.secret.envkeys": _VOLUMES,
}


def properties(text: str) -> dict[str, str]:
    """Of spark-defaults.conf: a name and its value in a line, with blanks or `=` between them."""
    found = {}
    for line in text.splitlines():
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            name, _, value = stripped.replace("=", " ", 1).partition(" ")
            found[name] = value.strip()
    return found


def sent(given: Mapping[str, str], source: str) -> tuple[Sent, list[str]]:
    """The executor's task and the driver's. UserError: all that is wrong."""
    notes = Notes(source)
    left = dict(given)
    executor = TaskSpec(
        "executor",
        "",
        labels=_labels(left, "spark.mesos.task.labels", notes),
        image=_image(left, notes),
        network=_network(left, notes),
        fetch=_fetch(left),
    )
    driver_env = {name.removeprefix(_DRIVER_ENV): left.pop(name) for name in list(left) if name.startswith(_DRIVER_ENV)}
    driver_labels = _labels(left, "spark.mesos.driver.labels", notes)
    _leftovers(left, notes)
    notes.check()
    driver = replace(executor, name="driver", labels=driver_labels, environment=driver_env)
    return alone([executor, driver]), notes.told()


def _labels(left: dict[str, str], name: str, notes: Notes) -> dict[str, str]:
    """Pairs like key:value, with commas between them."""
    found = {}
    for pair in filter(None, left.pop(name, "").split(",")):
        key, colon, value = pair.partition(":")
        if not (key and colon):
            notes.problems.append(f"{name}: {pair!r} is not key:value")
        found[key.strip()] = value.strip()
    return found


def _network(left: dict[str, str], notes: Notes) -> NetworkRequest | None:
    name = left.pop("spark.mesos.network.name", "")
    labels = _labels(left, "spark.mesos.network.labels", notes)
    if labels and not name:
        notes.problems.append("spark.mesos.network.labels: needs spark.mesos.network.name")
    ports = _ports(left, notes)
    return NetworkRequest(name, labels=labels, port_mappings=ports) if name else None


def _ports(left: dict[str, str], notes: Notes) -> tuple[PortMapping, ...]:
    found = []
    for text in filter(None, left.pop("spark.mesos.executor.docker.portmaps", "").split(",")):
        host, container, *protocol = text.split(":")
        if not (host.isdecimal() and container.isdecimal()) or len(protocol) > 1:
            notes.problems.append(
                f"spark.mesos.executor.docker.portmaps: {text!r} is not host:container or host:container:udp"
            )
            continue
        found.append(PortMapping(int(host), int(container), *protocol))
    return tuple(found)


def _image(left: dict[str, str], notes: Notes) -> Image | None:
    """Of the Docker containerizer the network is named by a parameter too, as Spark does it."""
    name = left.pop("spark.mesos.executor.docker.image", "")
    engine = left.pop("spark.mesos.containerizer", "docker")
    force = left.pop("spark.mesos.executor.docker.forcePullImage", "false") == "true"
    parameters = left.pop("spark.mesos.executor.docker.parameters", "")
    pairs = [tuple(one.split("=", 1)) for one in filter(None, parameters.split(","))]
    for pair in pairs:
        if len(pair) != 2:
            notes.problems.append(f"spark.mesos.executor.docker.parameters: {pair[0]!r} is not key=value")
    if engine not in ("docker", "mesos"):
        notes.problems.append(f"spark.mesos.containerizer: {engine!r} is neither docker nor mesos")
    if not name:
        return None
    network = left.get("spark.mesos.network.name", "")
    named = [
        *(pair for pair in pairs if len(pair) == 2),
        *([("net", network)] if network and engine == "docker" else []),
    ]
    return Image(name, engine.upper(), force, parameters=tuple((key, value) for key, value in named))


def _fetch(left: dict[str, str]) -> tuple[Fetch, ...]:
    cache = left.pop("spark.mesos.fetcherCache.enable", "false") == "true"
    return tuple(Fetch(uri, cache=cache) for uri in filter(None, left.pop("spark.mesos.uris", "").split(",")))


def _leftovers(left: Mapping[str, str], notes: Notes) -> None:
    others = [name for name in left if not name.startswith(_PREFIX)]
    if others:
        notes.remarks.append(
            f"{len(others)} settings that do not begin with {_PREFIX} say nothing of how tasks are attached"
        )
    for name in (name for name in left if name.startswith(_PREFIX)):
        short = name.removeprefix(_PREFIX)
        if short in REFUSED:
            notes.problems.append(f"{name}: not supported: {REFUSED[short]}")
        elif short in OWN or short.startswith("dispatcher.driverDefault."):
            notes.remarks.append(f"{name} has no effect: it is Spark's own business, and not sent with a task")
        else:
            notes.problems.append(f"{name}: there is no such setting")
