"""The labels that an endpoint has because of who lives in its container, and how they are kept apart from all others. Pure.

1. `mesos/framework`, `mesos/role`, `mesos/executor` and `mesos/task` are Mesos's own word: nobody else can give them (a NetworkInfo
   that tries is refused), and no two roles (frameworks, ...) share one. There is no `mesos/role` in Mesos's default role `*`, and
   no `mesos/task` while several tasks live there.
2. A task's own labels come last: what NetworkInfo, an operator or another program gave is never changed or taken away. Of several
   tasks in one container those labels count that all of them have; `MOST` of them at most, the first in their order.
3. What was put is written down in an annotation. So it is taken away when it is no longer true, and only then, and only what was
   put; one that somebody changed is theirs from then on, and one that somebody took away stays away.
4. A task's labels cannot say what has a meaning of its own: whose member it is, its namespace, its limits, its addresses.
"""

from __future__ import annotations

from collections.abc import Mapping

from ocicat.agent import limits, profiles
from ocicat.docker import labels as docker
from ocicat.errors import UserError
from ocicat.mesos.identity import Identity
from ocicat.mesos.labels import EXECUTOR, FRAMEWORK, PREFIX, ROLE, TASK
from ocicat.model.base import Struct
from ocicat.model.codec import decode_json, encode_json, with_field
from ocicat.model.names import label_key, label_value, own_label_value
from ocicat.model.resources import Metadata, WorkloadEndpoint

ANNOTATION = "ocicat/mesos-labels"
MOST = 128  # labels of a task's own: a stored object and a commit have their bounds

Labels = Mapping[str, str]


class Merged(Struct, frozen=True):
    """`put`: those of `labels` that are there because of Mesos, and those that somebody took away again."""

    labels: dict[str, str]
    put: dict[str, str]


def wanted(identity: Identity) -> dict[str, str]:
    """Every label that is true of a container."""
    told = {
        FRAMEWORK: identity.framework,
        ROLE: identity.role if identity.role != "*" else "",
        EXECUTOR: identity.executor.id,
        TASK: identity.tasks[0].name if len(identity.tasks) == 1 else "",
    }
    own = dict(sorted(_common(identity).items())[:MOST])
    return own | {key: value for key, text in told.items() if (value := own_label_value(text))}


def left_out(identity: Identity) -> int:
    """How many of the task's own labels there is no room for."""
    return max(0, len(_common(identity)) - MOST)


def _common(identity: Identity) -> dict[str, str]:
    each = [_cleaned(task.labels) for task in identity.tasks]
    first = each[0] if each else {}
    return {key: value for key, value in first.items() if all(other.get(key) == value for other in each)}


def _cleaned(labels: Labels) -> dict[str, str]:
    """Where two become one key, the last in the order of the originals counts."""
    cleaned = {label_key(key): label_value(value) for key, value in sorted(labels.items())}
    return {key: value for key, value in cleaned.items() if key and not is_reserved(key)}


def is_reserved(key: str) -> bool:
    """Does a label of that key mean more than its words?"""
    prefix, slash, _ = key.partition("/")
    theirs = bool(slash) and (prefix == "projectcalico.org" or prefix.endswith(".projectcalico.org"))
    ours = key.startswith((PREFIX, docker.PREFIX, profiles.MEMBER_PREFIX)) or key == profiles.GROUPS_LABEL
    return theirs or ours or limits.is_limit(key)


def merged(metadata: Metadata, true: Labels) -> Merged:
    """What becomes of an endpoint's labels when `true` are those of its container."""
    labels, put = metadata.labels, noted(metadata)
    theirs = {key: value for key, value in labels.items() if put.get(key) != value and not key.startswith(PREFIX)}
    mine = {key: value for key, value in true.items() if key not in theirs}
    removed = {key for key in put.keys() - labels.keys() if not key.startswith(PREFIX)}
    return Merged(theirs | {key: value for key, value in mine.items() if key not in removed}, mine)


def noted(metadata: Metadata) -> dict[str, str]:
    """What is written down of what was put."""
    try:
        return decode_json(dict[str, str], metadata.annotations.get(ANNOTATION, "{}"))
    except UserError:
        return {}  # somebody else's words: then nothing there is ours


def is_so(metadata: Metadata, true: Labels) -> bool:
    """Whether there is nothing to do."""
    result = merged(metadata, true)
    return result.labels == metadata.labels and result.put == noted(metadata)


def relabelled(value: bytes, true: Labels, what: str) -> bytes | None:
    """The stored endpoint as it should be; None when it is so. Fields that we have no word for stay as they are."""
    metadata = decode_json(WorkloadEndpoint, value, what=what).metadata
    if is_so(metadata, true):
        return None
    result = merged(metadata, true)
    note = metadata.annotations | {ANNOTATION: encode_json(result.put).decode()}
    value = with_field(value, ("metadata", "annotations"), note, what=what)
    return with_field(value, ("metadata", "labels"), result.labels, what=what)
