"""What a framework sends to Mesos for something it was given: tasks, each alone, or together under one executor. PURE.

It is Mesos's v1 JSON, without what only an offer can say: ids, the agent, allocations.
"""

from __future__ import annotations

from collections.abc import Sequence

from ocicat.mesos.types import NetworkRequest, Offer, TaskSpec
from ocicat.mesos.wire_task import container_info, task_info
from ocicat.model.base import Struct
from ocicat.model.codec import decode_json, encode_json

Json = dict[str, object]

_OFFER = Offer(id="", agent_id="", hostname="", role="*", cpus=0.0, mem_mb=0.0)
_OF_OFFERS = ("task_id", "agent_id")


class Sent(Struct, frozen=True, omit_defaults=True):
    """`executor`: the container of the executor that runs all tasks as a group."""

    tasks: tuple[Json, ...]
    executor: Json | None = None


def alone(specs: Sequence[TaskSpec]) -> Sent:
    return Sent(tuple(map(_task, specs)))


def together(specs: Sequence[TaskSpec], networks: Sequence[NetworkRequest]) -> Sent:
    """Tasks of a group; the networks are the executor's."""
    return Sent(tuple(map(_task, specs)), {"type": "DEFAULT", **_container(networks)})


def grouped(tasks: Sequence[Json], networks: Sequence[NetworkRequest]) -> Sent:
    """The same for tasks that are written as Mesos takes them."""
    return Sent(tuple(tasks), {"type": "DEFAULT", **_container(networks)})


def _container(networks: Sequence[NetworkRequest]) -> Json:
    first, *others = networks or (None,)
    info = container_info(TaskSpec("", "true", network=first, further_networks=tuple(filter(None, others))))
    return {"container": plain(info)} if info else {}


def _task(spec: TaskSpec) -> Json:
    found = plain(task_info(spec, "", _OFFER))
    resources = found.get("resources")
    for resource in resources if isinstance(resources, list) else ():
        resource.pop("allocation_info", None)
    return {name: value for name, value in found.items() if name not in _OF_OFFERS}


def plain(record: object) -> Json:
    return decode_json(dict[str, object], encode_json(record))
