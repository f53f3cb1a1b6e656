"""mesos-execute's flags: the task, or the group of tasks, that it launches. PURE: files that flags name are read by who calls.

Source: apache/mesos 1.11.0, src/cli/execute.cpp (names, defaults, and which exclude each other).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ocicat.errors import UserError
from ocicat.mesos.frameworks.fields import Notes
from ocicat.mesos.frameworks.sent import Json, Sent, alone, grouped
from ocicat.mesos.types import Image, NetworkRequest, TaskSpec
from ocicat.model.codec import decode_json

WHAT = "mesos-execute"
OWN = (
    "checkpoint", "content_type", "framework_capabilities", "framework_name", "kill_after", "master", "partition_aware",
    "principal", "role", "secret",
)  # fmt: skip
REFUSED = {
    "appc_image": "only Docker images are translated",
    "hadoop": "packages are uploaded by mesos-execute itself",
    "hdfs": "packages are uploaded by mesos-execute itself",
    "package": "packages are uploaded by mesos-execute itself",
    "overwrite": "packages are uploaded by mesos-execute itself",
    "tty": "it is mesos-execute's own terminal",
    "volumes": "there are no volumes here",
    "effective_capabilities": "isolation is left as it is",
    "bounding_capabilities": "isolation is left as it is",
    "rlimits": "isolation is left as it is",
    "seccomp_profile": "isolation is left as it is",
    "ulimits": "isolation is left as it is",
}
_TRUE = ("true", "1", "")


def parse(words: Sequence[str]) -> dict[str, str]:
    """`--name=value`, `--name`, `--no-name`. UserError for anything else."""
    found = {}
    for word in words:
        if not word.startswith("--"):
            raise UserError(f"{WHAT}: {word!r} is no flag", hint="flags are like --name=value")
        name, equals, value = word[2:].partition("=")
        if name.startswith("no-") and not equals:
            name, value = name[3:], "false"
        found[name] = value
    return found


def sent(words: Sequence[str], load: Callable[[str], str]) -> tuple[Sent, list[str]]:
    """And the remarks. `load`: the text of the file at a path. UserError: all that is wrong."""
    flags, notes = parse(words), Notes(WHAT)
    for name in [name for name in flags if name in REFUSED]:
        notes.problems.append(f"--{name}: not supported: {REFUSED[name]}")
        del flags[name]
    for name in [name for name in flags if name in OWN]:
        del flags[name]
        if name != "master":
            notes.remarks.append(f"--{name} has no effect: it is of the framework, not of its tasks")
    networks = [NetworkRequest(name) for name in filter(None, flags.pop("networks", "").split(","))]
    found = _found(flags, networks, notes, load)
    for name in flags:
        notes.problems.append(f"--{name}: there is no such flag, or not beside the others")
    notes.check()
    return found, notes.told()


def _found(flags: dict[str, str], networks: list[NetworkRequest], notes: Notes, load: Callable[[str], str]) -> Sent:
    if "task_group" in flags:
        group = _json(flags.pop("task_group"), "task_group", load)
        tasks = group.get("tasks")
        if not isinstance(tasks, list) or not tasks:
            raise UserError(f"{WHAT}: --task_group: holds no tasks")
        return grouped(tasks, networks)
    if "task" in flags:
        if networks:
            notes.problems.append("--networks: stands beside --task, which names its networks itself")
        return Sent((_json(flags.pop("task"), "task", load),))
    return alone([_spec(flags, networks, notes, load)])


def _json(text: str, flag: str, load: Callable[[str], str]) -> Json:
    """Itself, or in a file."""
    if not text.lstrip().startswith("{"):
        text = load(text.removeprefix("file://"))
    return decode_json(dict[str, object], text, what=f"{WHAT}: --{flag}")


def _spec(flags: dict[str, str], networks: list[NetworkRequest], notes: Notes, load: Callable[[str], str]) -> TaskSpec:
    engine, image = flags.pop("containerizer", "mesos"), flags.pop("docker_image", "")
    command, shell = flags.pop("command", ""), flags.pop("shell", "true") in _TRUE
    name = flags.pop("name", "")
    if engine not in ("mesos", "docker"):
        notes.problems.append(f"--containerizer: {engine!r} is neither mesos nor docker")
    if engine == "docker" and (not image or len(networks) > 1):
        notes.problems.append("--containerizer=docker: needs --docker_image, and takes one network at most")
    if not name:
        notes.problems.append("--name: is missing")
    if shell and not command:
        notes.problems.append("--command: is missing")
    cpus, mem_mb, disk_mb = _resources(flags.pop("resources", "cpus:1;mem:128"), notes)
    environment = _json(flags.pop("env"), "env", load) if "env" in flags else {}
    return TaskSpec(
        name,
        command if shell else tuple(command.split()),
        cpus=cpus,
        mem_mb=mem_mb,
        disk_mb=disk_mb,
        environment={key: str(value) for key, value in environment.items()},
        image=Image(image, engine.upper()) if image else None,
        network=networks[0] if networks else None,
        further_networks=tuple(networks[1:]),
    )


def _resources(text: str, notes: Notes) -> tuple[float, float, float]:
    """(cpus, MB of memory, MB of disk)."""
    found = {"cpus": 0.0, "mem": 0.0, "disk": 0.0}
    for part in filter(None, text.split(";")):
        name, _, value = part.partition(":")
        try:
            found[name.strip()] += float(value)
        except (KeyError, ValueError):
            notes.problems.append(f"--resources: {part!r} is none of cpus:N, mem:N and disk:N")
    return found["cpus"], found["mem"], found["disk"]
