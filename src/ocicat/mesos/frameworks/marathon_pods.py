"""Marathon's pods: a group of containers that share the networks of their executor. PURE.

Source: Marathon's documentation of its REST API (types pod and mesosContainer).
"""

from __future__ import annotations

from ocicat.mesos.frameworks.application import absolute, task_name
from ocicat.mesos.frameworks.fields import Fields, Notes
from ocicat.mesos.frameworks.marathon_networks import MESOS_BRIDGE
from ocicat.mesos.frameworks.sent import Sent, together
from ocicat.mesos.types import Discovery, DiscoveryPort, HealthCheck, Image, NetworkRequest, PortMapping, TaskSpec
from ocicat.model.base import Struct, replace

_PLACED_BY_MARATHON = "it decides where and how many, and is not sent to Mesos"


class _Endpoint(Struct, frozen=True):
    name: str
    container_port: int
    host_port: int | None
    protocols: tuple[str, ...]
    labels: dict[str, str]


def sent(raw: object, source: str, default_network: str = "") -> tuple[Sent, list[str]]:
    """And the remarks. UserError: all that is wrong with it."""
    notes = Notes(source)
    fields = Fields(raw, notes)
    pod_id = absolute(fields.text("id"), "/")
    if not pod_id:
        fields.wrong("id", "is missing, or no id")
    networks = _networks(fields, default_network)
    user, labels, environment = fields.text("user"), fields.pairs("labels"), fields.pairs("environment")
    common = TaskSpec("", "", user=user, labels=labels, environment=environment)
    read = [_container(one, common, networked=bool(networks)) for one in fields.each("containers")]
    if not read:
        fields.wrong("containers", "are missing")
    fields.refused({"volumes": "there are no volumes here", "secrets": "there is no store of secrets here"})
    fields.without_effect(dict.fromkeys(("scaling", "scheduling", "executorResources"), _PLACED_BY_MARATHON))
    fields.without_effect({"version": "it is what Marathon reports"})
    fields.done()
    notes.check()
    mappings = tuple(mapping for _, ends in read for end in ends for mapping in _mapping(end))
    if networks and mappings:
        networks[0] = replace(networks[0], port_mappings=mappings)
    name = task_name(pod_id)
    return together([_found(spec, ends, name, networked=bool(networks)) for spec, ends in read], networks), notes.told()


def _networks(fields: Fields, default_network: str) -> list[NetworkRequest]:
    found = []
    for one in fields.each("networks"):
        mode = one.text("mode", "container", choices=("container", "container/bridge", "host"))
        name, labels = one.text("name") or default_network, one.pairs("labels")
        one.done()
        if mode == "host":
            continue
        if mode == "container" and not name:
            one.wrong("name", "is missing")
        found.append(NetworkRequest(MESOS_BRIDGE if mode != "container" else name, labels=labels, ip_addresses=("",)))
    return found


def _container(one: Fields, common: TaskSpec, *, networked: bool) -> tuple[TaskSpec, list[_Endpoint]]:
    resources = one.inner("resources") or Fields({}, one.notes)
    resources.refused({"gpus": "there are no words for GPUs here"})
    image = one.inner("image")
    spec = TaskSpec(
        one.text("name"),
        _command(one),
        cpus=resources.number("cpus", 0.1),
        mem_mb=resources.number("mem", 32.0),
        disk_mb=resources.number("disk", 0.0),
        user=one.text("user") or common.user,
        labels={**common.labels, **one.pairs("labels")},
        environment={**common.environment, **one.pairs("environment")},
        image=_image(image) if image else None,
        health_check=_check(one),
        kill_grace_s=_grace(one),
    )
    resources.done()
    ends = [_endpoint(end, networked=networked) for end in one.each("endpoints")]
    one.refused(
        {
            "volumeMounts": "there are no volumes here",
            "artifacts": "use an image",
            "linuxInfo": "isolation is left as it is",
        }
    )
    one.done()
    return spec, ends


def _command(one: Fields) -> str | tuple[str, ...]:
    inner = one.inner("exec")
    command = inner.inner("command") if inner else None
    if inner is None or command is None:
        return ()
    shell, words = command.text("shell"), command.texts("argv")
    command.done()
    inner.without_effect({"overrideEntrypoint": "Mesos decides by whether there is a shell"})
    inner.done()
    return shell or words


def _image(image: Fields) -> Image:
    image.text("kind", "DOCKER", choices=("DOCKER",))
    found = Image(image.text("id"), "MESOS", image.flag("forcePull"))
    image.refused({"pullConfig": "there is no store of secrets here", "labels": "they are for APPC images"})
    image.done()
    return found


def _grace(one: Fields) -> float | None:
    inner = one.inner("lifecycle")
    grace = inner.number("killGracePeriodSeconds", 3.0) if inner else None
    if inner:
        inner.done()
    return grace


def _check(one: Fields) -> HealthCheck | None:
    """Only those that run a command: for the others the port of an endpoint would have to be known here."""
    inner = one.inner("healthCheck")
    if inner is None:
        return None
    inner.refused(dict.fromkeys(("http", "tcp"), "only exec is translated"))
    program = inner.inner("exec")
    command = program.inner("command") if program else None
    shell = command.text("shell") if command else ""
    for part in filter(None, (command, program)):
        part.done()
    check = HealthCheck(
        kind="COMMAND",
        command=shell,
        delay_s=inner.number("delaySeconds", 15.0),
        grace_s=inner.number("gracePeriodSeconds", 300.0),
        interval_s=inner.number("intervalSeconds", 60.0),
        timeout_s=inner.number("timeoutSeconds", 20.0),
        failures=inner.whole("maxConsecutiveFailures", 3),
    )
    inner.done()
    return check if shell else None


def _endpoint(end: Fields, *, networked: bool) -> _Endpoint:
    host_port = end.port("hostPort") if "hostPort" in end else None
    if host_port == 0:
        end.wrong("hostPort", "0 is any port of an offer: name one")
    port = end.port("containerPort")
    if networked and not port:
        end.wrong("containerPort", "is missing")
    end.refused({"networkNames": "a mapped port leads to every network of the pod"})
    found = _Endpoint(end.text("name"), port, host_port, end.texts("protocol") or ("tcp",), end.pairs("labels"))
    end.done()
    return found


def _mapping(end: _Endpoint) -> list[PortMapping]:
    host_port = end.host_port
    return (
        []
        if host_port is None
        else [PortMapping(host_port, end.container_port, protocol) for protocol in end.protocols]
    )


def _found(spec: TaskSpec, ends: list[_Endpoint], name: str, *, networked: bool) -> TaskSpec:
    if not ends:
        return spec
    scope = "container" if networked else "host"
    ports = tuple(
        DiscoveryPort(
            end.container_port if networked else end.host_port or 0,
            end.name,
            protocol,
            labels={**end.labels, "network-scope": scope},
        )
        for end in ends
        for protocol in end.protocols
    )
    return replace(spec, discovery=Discovery(name=f"{spec.name}.{name}", ports=ports))
