"""What the agent says to an executor and what an executor says to it: typed here, JSON on the wire. PURE.

Promises: an event of a kind that is not needed, or that a newer agent invents, is None, not an error. A task that asks for
something this executor does not do is read, and carries the reason in `problem`: the executor answers TASK_FAILED with it.
Field names are those of mesos.proto and executor.proto of Mesos 1.11.
"""

from __future__ import annotations

import json
from typing import NamedTuple, TypeAlias

Json: TypeAlias = dict[str, object]

DEFAULT_GRACE_S = 3.0  # what Mesos promises a task without a kill policy
_UNSUPPORTED = ("check", "max_completion_time")
_UNCHECKED = "this executor does not support health_check of tasks in groups"
_UNITS_S = {
    "ns": 1e-9,
    "us": 1e-6,
    "ms": 1e-3,
    "secs": 1.0,
    "mins": 60.0,
    "hrs": 3600.0,
    "days": 86400.0,
    "weeks": 604800.0,
}


class Command(NamedTuple):
    """What to run: a program (searched in PATH when it has no slash), its argv, and what to add to the environment."""

    program: str
    argv: tuple[str, ...]
    environment: dict[str, str]


class Task(NamedTuple):
    """`raw` is the TaskInfo as it came: it goes back when the executor subscribes again. `problem` is "" for a task we can run."""

    task_id: str
    command: Command
    grace_s: float
    problem: str
    raw: Json


class Subscribed(NamedTuple):
    """`says_killing`: the framework wants to hear TASK_KILLING. `container`: the executor's own container id, as it came."""

    says_killing: bool
    container: Json = {}


class Launch(NamedTuple):
    task: Task


class LaunchGroup(NamedTuple):
    tasks: tuple[Task, ...]


class Kill(NamedTuple):
    """`grace_s` is None when the task's own kill policy holds."""

    task_id: str
    grace_s: float | None


class Acknowledged(NamedTuple):
    """The agent has the update with this uuid (base64) safe."""

    uuid: str


class Shutdown(NamedTuple):
    pass


class Error(NamedTuple):
    message: str


Event: TypeAlias = Subscribed | Launch | LaunchGroup | Kill | Acknowledged | Shutdown | Error


class Identity(NamedTuple):
    """Who we are in every call."""

    framework_id: str
    executor_id: str


class Update(NamedTuple):
    """A status update; `uuid` is base64 of 16 bytes, `timestamp` seconds since the epoch, `reason` may be "". `container`: the id
    of the task's own container, where it is not the executor's. `healthy` is None where nobody has asked."""

    task_id: str
    state: str
    message: str
    reason: str
    uuid: str
    timestamp: float
    container: Json | None = None
    healthy: bool | None = None


def decode_event(record: bytes) -> Event | None:
    """One record of the event stream. ValueError when it is no JSON object."""
    event = json.loads(record)
    if not isinstance(event, dict):
        raise ValueError(f"an event that is no object: {record[:80]!r}")
    return _event(event)


def _event(event: Json) -> Event | None:
    match event.get("type"):
        case "SUBSCRIBED":
            subscribed = object_in(event, "subscribed")
            return Subscribed(
                _says_killing(object_in(subscribed, "framework_info")), object_in(subscribed, "container_id")
            )
        case "LAUNCH":
            return Launch(read_task(object_in(object_in(event, "launch"), "task")))
        case "LAUNCH_GROUP":
            tasks = _objects(object_in(object_in(event, "launch_group"), "task_group"), "tasks")
            return LaunchGroup(tuple(map(_grouped, tasks)))
        case "KILL":
            kill = object_in(event, "kill")
            return Kill(_id(kill, "task_id"), _grace(kill))
        case "ACKNOWLEDGED":
            return Acknowledged(text_in(object_in(event, "acknowledged"), "uuid"))
        case "SHUTDOWN":
            return Shutdown()
        case "ERROR":
            return Error(text_in(object_in(event, "error"), "message"))
    return None


def read_task(info: Json) -> Task:
    """A TaskInfo as a task we can run, or with the problem that keeps us from it."""
    command = object_in(info, "command")
    grace = _grace(info)
    return Task(
        _id(info, "task_id"),
        _command(command),
        DEFAULT_GRACE_S if grace is None else grace,
        _problem(info, command),
        info,
    )


def _grouped(info: Json) -> Task:
    """Of a group. Its executor asks no checks."""
    task = read_task(info)
    return task._replace(problem=_UNCHECKED) if "health_check" in info and not task.problem else task


def _command(info: Json) -> Command:
    variables = _objects(object_in(info, "environment"), "variables")
    environment = {text_in(variable, "name"): text_in(variable, "value") for variable in variables}
    value = text_in(info, "value")
    if info.get("shell", True):
        return Command("/bin/sh", ("sh", "-c", value), environment)
    arguments = info.get("arguments")
    argv = tuple(str(argument) for argument in arguments) if isinstance(arguments, list) else ()
    return Command(value, argv or (value,), environment)


def _problem(info: Json, command: Json) -> str:
    wanted = [name for name in _UNSUPPORTED if name in info]
    if wanted:
        return f"this executor does not support {', '.join(wanted)}"
    if not text_in(command, "value"):
        return "the task's command has no value"
    variables = _objects(object_in(command, "environment"), "variables")
    secret = [text_in(variable, "name") for variable in variables if variable.get("type") == "SECRET"]
    return f"the environment variable {secret[0]} is a secret, which this executor does not support" if secret else ""


def _says_killing(framework: Json) -> bool:
    return any(each.get("type") == "TASK_KILLING_STATE" for each in _objects(framework, "capabilities"))


def _grace(holder: Json) -> float | None:
    period = object_in(object_in(holder, "kill_policy"), "grace_period")
    nanoseconds = period.get("nanoseconds")
    return nanoseconds / 1e9 if isinstance(nanoseconds, int) else None


def encode_subscribe(identity: Identity, tasks: list[Json], updates: list[Update]) -> bytes:
    """SUBSCRIBE, with what the agent has not acknowledged yet."""
    unacknowledged = [{"status": _status(identity, update)} for update in updates]
    subscribe = {"unacknowledged_tasks": tasks, "unacknowledged_updates": unacknowledged}
    return _call(identity, {"type": "SUBSCRIBE", "subscribe": subscribe})


def encode_update(identity: Identity, update: Update) -> bytes:
    """UPDATE."""
    return _call(identity, {"type": "UPDATE", "update": {"status": _status(identity, update)}})


def _call(identity: Identity, body: Json) -> bytes:
    who: Json = {"framework_id": {"value": identity.framework_id}, "executor_id": {"value": identity.executor_id}}
    return json.dumps({**who, **body}).encode()


def _status(identity: Identity, update: Update) -> Json:
    status: Json = {
        "task_id": {"value": update.task_id},
        "executor_id": {"value": identity.executor_id},
        "state": update.state,
        "message": update.message,
        "source": "SOURCE_EXECUTOR",
        "uuid": update.uuid,
        "timestamp": update.timestamp,
    }
    if update.reason:
        status["reason"] = update.reason
    if update.healthy is not None:
        status["healthy"] = update.healthy
    if update.container is not None:
        status["container_status"] = {"container_id": update.container}
    return status


def encode_launch(container: Json, task: Task) -> bytes:
    """LAUNCH_CONTAINER of the agent's own API: the task in a container within the executor's."""
    asked: Json = {name: task.raw[name] for name in ("command", "container") if name in task.raw}
    return _agent_call("LAUNCH_CONTAINER", container, asked)


def encode_wait(container: Json) -> bytes:
    """WAIT_CONTAINER: answered when the container has ended."""
    return _agent_call("WAIT_CONTAINER", container, {})


def encode_kill(container: Json, signal: int) -> bytes:
    """KILL_CONTAINER."""
    return _agent_call("KILL_CONTAINER", container, {"signal": signal})


def decode_exit(body: bytes) -> int | None:
    """The wait status in the answer to WAIT_CONTAINER; None when nobody knows it. ValueError when it is no JSON object."""
    answer = json.loads(body)
    if not isinstance(answer, dict):
        raise ValueError(f"an answer that is no object: {body[:80]!r}")
    status = object_in(answer, "wait_container").get("exit_status")
    return status if isinstance(status, int) else None


def _agent_call(kind: str, container: Json, more: Json) -> bytes:
    return json.dumps({"type": kind, kind.lower(): {"container_id": container, **more}}).encode()


def seconds(duration: str) -> float:
    """A duration as Mesos writes it ("15mins", "2.5secs"), in seconds. ValueError when it is none."""
    number = duration.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = duration[len(number) :]
    if unit not in _UNITS_S:
        raise ValueError(f"{duration!r} is no duration")
    return float(number) * _UNITS_S[unit]


def object_in(holder: Json, name: str) -> Json:
    value = holder.get(name)
    return value if isinstance(value, dict) else {}


def _objects(holder: Json, name: str) -> list[Json]:
    value = holder.get(name)
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def text_in(holder: Json, name: str) -> str:
    value = holder.get(name)
    return value if isinstance(value, str) else ""


def _id(holder: Json, name: str) -> str:
    return text_in(object_in(holder, name), "value")
