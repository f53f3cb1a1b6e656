"""Singularity's deploys: what is sent for each task of one. PURE.

Source: Singularity's documentation (container-options.md, api-deploys.md) and its classes' field names.
"""

from __future__ import annotations

from ocicat.mesos.frameworks.fields import Fields, Notes
from ocicat.mesos.frameworks.sent import Sent, alone
from ocicat.mesos.types import Fetch, HostPort, Image, NetworkRequest, PortMapping, TaskSpec
from ocicat.mesos.wire_launch import DOCKER_BRIDGE

OWN = (
    "autoAdvanceDeploySteps", "canaryDeploySettings", "considerHealthyAfterRunningForSeconds", "deployHealthTimeoutSeconds",
    "deployInstanceCountPerStep", "deployStepWaitTimeMs", "healthcheck", "healthcheckIntervalSeconds",
    "healthcheckMaxRetries", "healthcheckMaxTotalTimeoutSeconds", "healthcheckPortIndex", "healthcheckProtocol",
    "healthcheckTimeoutSeconds", "healthcheckUri", "id", "loadBalanced", "loadBalancerAdditionalRoutes",
    "loadBalancerDomains", "loadBalancerGroups", "loadBalancerOptions", "loadBalancerPortIndex",
    "loadBalancerServiceIdOverride", "loadBalancerTemplate", "loadBalancerUpstreamGroup", "maxTaskRetries", "metadata",
    "serviceBasePath", "shell", "skipHealthchecksOnDeploy", "timestamp", "version",
)  # fmt: skip
REFUSED = {
    "customExecutorCmd": "it runs tasks by an executor of Singularity's own",
    "customExecutorId": "it runs tasks by an executor of Singularity's own",
    "customExecutorResources": "it runs tasks by an executor of Singularity's own",
    "customExecutorSource": "it runs tasks by an executor of Singularity's own",
    "customExecutorUser": "it runs tasks by an executor of Singularity's own",
    "executorData": "it is for an executor of Singularity's own",
    "mesosLabels": "use labels",
    "mesosTaskLabels": "they are for single instances",
    "taskEnv": "it is for single instances",
    "taskLabels": "they are for single instances",
    "s3UploaderAdditionalFiles": "it is for an executor of Singularity's own",
}


def sent(raw: object, source: str) -> tuple[Sent, list[str]]:
    """Of a deploy, or of the body of a request that holds one as `deploy`. UserError: all that is wrong with it."""
    notes = Notes(source)
    outer = Fields(raw, notes)
    fields = outer
    if "deploy" in outer:
        fields = outer.inner("deploy") or outer
        own = "it is Singularity's own business"
        outer.without_effect(dict.fromkeys(("message", "unpauseOnSuccessfulDeploy", "updatedRequest"), own))
        outer.done()
    name = fields.text("requestId")
    if not name:
        fields.wrong("requestId", "is missing")
    resources = fields.inner("resources") or Fields({}, notes)
    image, networks = _container(fields)
    command, arguments = fields.text("command"), fields.texts("arguments")
    spec = TaskSpec(
        name,
        (command, *arguments) if arguments and command else command or arguments,
        cpus=resources.number("cpus", 1.0),
        mem_mb=resources.number("memoryMb", 64.0),
        disk_mb=resources.number("diskMb", 0.0),
        host_ports=(HostPort(),) * resources.whole("numPorts", 0),
        user=fields.text("user"),
        environment=fields.pairs("env"),
        labels=fields.pairs("labels"),
        fetch=tuple(_uri(one, fields) for one in fields.items("uris")),
        image=image,
        network=networks[0] if networks else None,
        further_networks=tuple(networks[1:]),
    )
    resources.done()
    fields.without_effect(dict.fromkeys(OWN, "it is Singularity's own business, and not sent to Mesos"))
    fields.refused(REFUSED)
    fields.done()
    notes.check()
    return alone([spec]), notes.told()


def _uri(item: object, fields: Fields) -> Fetch:
    if isinstance(item, str):
        return Fetch(item)
    one = Fields(item, fields.notes, "uris")
    found = Fetch(one.text("uri"), one.flag("executable"), one.flag("extract", default=True), one.flag("cache"))
    one.done()
    return found


def _container(fields: Fields) -> tuple[Image | None, list[NetworkRequest]]:
    inner = fields.inner("containerInfo")
    if inner is None:
        return None, []
    engine = inner.text("type", "MESOS", choices=("MESOS", "DOCKER"))
    inner.refused({"volumes": "there are no volumes here"})
    networks = [_network(one) for name in ("networkInfos", "network_infos") for one in inner.each(name)]
    image: Image | None = None
    if docker := inner.inner("docker"):
        image, bridge = _docker(docker)
        networks += bridge
    if mesos := inner.inner("mesos"):
        image = _mesos(mesos)
    if engine == "DOCKER" and image is None:
        inner.wrong("docker", "is missing")
    inner.done()
    return image, networks


def _network(one: Fields) -> NetworkRequest:
    """Neither labels nor addresses: Singularity has no words for them."""
    found = NetworkRequest(one.text("name"), one.texts("groups"), port_mappings=_ports(one))
    one.done()
    return found


def _ports(fields: Fields) -> tuple[PortMapping, ...]:
    return tuple(_port(one) for one in fields.each("portMappings"))


def _port(one: Fields) -> PortMapping:
    for name in ("hostPortType", "containerPortType"):
        if one.text(name, "LITERAL") != "LITERAL":
            one.wrong(name, "only LITERAL is translated: other ports are known when an offer is")
    found = PortMapping(one.port("hostPort"), one.port("containerPort"), one.text("protocol", "tcp"))
    one.done()
    return found


def _docker(docker: Fields) -> tuple[Image, list[NetworkRequest]]:
    """And the bridge, if its ports are mapped there."""
    network = docker.text("network", "HOST", choices=("BRIDGE", "HOST", "NONE", "USER"))
    parameters = docker.pairs("parameters")
    for one in docker.each("dockerParameters"):
        parameters[one.text("key")] = one.text("value")
        one.done()
    image = Image(
        docker.text("image"),
        "DOCKER",
        docker.flag("forcePullImage"),
        docker.flag("privileged"),
        tuple(parameters.items()),
    )
    ports = _ports(docker)
    docker.done()
    return image, [NetworkRequest(DOCKER_BRIDGE, port_mappings=ports)] if network == "BRIDGE" else []


def _mesos(mesos: Fields) -> Image | None:
    image = mesos.inner("image")
    mesos.done()
    if image is None:
        return None
    image.text("type", "DOCKER", choices=("DOCKER",))
    docker = image.inner("docker") or Fields({}, image.notes, "containerInfo.mesos.image.docker")
    found = Image(docker.text("name"), "MESOS", not image.flag("cached", default=True))
    docker.done()
    image.done()
    return found
