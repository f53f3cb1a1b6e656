"""Makes a disagreement small enough to be understood: removes whatever can go while the models still differ.

One thing at a time, greedily: a hop, a resource, a rule, a field, an element of a list, until nothing can go any more. What
remains is valid at every step, so no model is blamed for what nobody could store.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from cluster import Cluster, Json, Outcome, Packet
from runner import Answer, Disagreement, Model, asking, differ

from ocicat.errors import UserError
from ocicat.model.v3.defaults import FIXED_TIERS
from ocicat.model.v3.document import parse
from ocicat.validate import validate


def shrunk(models: Mapping[str, Model], found: Disagreement) -> Disagreement:
    """A disagreement of the same models from which nothing can be left out."""
    smaller = _smaller(models, found)
    while smaller is not None:
        found = smaller
        smaller = _smaller(models, found)
    return found


def _smaller(models: Mapping[str, Model], found: Disagreement) -> Disagreement | None:
    """Of the same kind: what began as two verdicts must not end as two reasons for one."""
    kind = _kind(found.answers)
    for cluster, packet in _candidates(found):
        if not _has_its_tiers(cluster):
            continue
        answers = asking(models, cluster)(packet)
        if differ(answers) and _kind(answers) == kind:
            return replace(found, cluster=cluster, packet=packet, answers=answers)
    return None


def _has_its_tiers(cluster: Cluster) -> bool:
    made = {tier["metadata"]["name"] for tier in cluster.of("Tier")} | FIXED_TIERS.keys()
    return all(resource["spec"].get("tier", "default") in made for resource in cluster.resources)


def _kind(answers: Mapping[str, Answer]) -> list[object]:
    return [(one.allowed, one.untracked) if isinstance(one, Outcome) else one for one in answers.values()]


def _candidates(found: Disagreement) -> Iterator[tuple[Cluster, Packet]]:
    """The big pieces first."""
    cluster, packet = found.cluster, found.packet
    if len(packet.hops) > 1:
        yield from ((cluster, replace(packet, hops=(hop,))) for hop in packet.hops)
    resources = cluster.resources
    for share in (2, 4, 1):
        size = len(resources) // share if share > 1 else 1
        for start in range(0, len(resources), size) if size else ():
            yield replace(cluster, resources=resources[:start] + resources[start + size :]), packet
    for place, resource in enumerate(resources):
        for lesser in _lesser(resource):
            if valid(lesser):
                yield replace(cluster, resources=(*resources[:place], lesser, *resources[place + 1 :])), packet


def _lesser(resource: Json) -> Iterator[Json]:
    for part in ("spec", "metadata"):
        for value in _cut(resource[part]):
            yield {**resource, part: value}


def _cut(value: object) -> Iterator[object]:
    """The value without one of its parts, at any depth; outer parts first."""
    if isinstance(value, dict):
        yield from ({name: inner for name, inner in value.items() if name != left_out} for left_out in value)
        for name, inner in value.items():
            yield from ({**value, name: lesser} for lesser in _cut(inner))
    elif isinstance(value, list):
        yield from (value[:place] + value[place + 1 :] for place in range(len(value)))
        for place, inner in enumerate(value):
            yield from ([*value[:place], lesser, *value[place + 1 :]] for lesser in _cut(inner))


def valid(resource: Json) -> bool:
    try:
        document = parse(resource)
    except UserError:
        return False
    return not document.unknown and not validate(document.resource)
