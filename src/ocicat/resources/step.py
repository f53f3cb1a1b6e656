"""One change of one object: what it makes of what is there, by all rules that concern this object alone. Pure.

1. An update keeps what is the datastore's: uid and time of creation (and gives one to an object that has none: calicoctl refuses to
   change such); and every field that this version has no word for.
2. A field that this version has no word for cannot be written, lest a mistyped condition be lost, unless it is stored so already.
   Nor can what is not done here (`unsupported`): if it is stored so already, it is told.
3. An object that cannot be read can be replaced or deleted, nothing else: what it said is lost then.
Source of what an update keeps: projectcalico/calico calicoctl/resourcemgr and libcalico-go/lib/clientv3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import TypeVar, cast

from ocicat.errors import UserError
from ocicat.model.base import UNSET, Struct, replace
from ocicat.model.codec import encode_json
from ocicat.model.v3.defaults import DEFAULT_ALLOW_PROFILE, with_defaults
from ocicat.model.v3.document import Document, Json, Malformed, fields_beside, merged, parse
from ocicat.model.v3.kinds import KINDS
from ocicat.model.v3.metadata import Metadata, Resource
from ocicat.resources.change import (
    CONFLICT,
    NOT_FOUND,
    REFUSED,
    Action,
    Apply,
    Change,
    Create,
    Delete,
    Fault,
    Label,
    Patch,
    Replace,
)
from ocicat.resources.internal import WRITABLE
from ocicat.resources.patching import apply_operations, merge
from ocicat.resources.stored import Stored
from ocicat.resources.unsupported import refusals, remarks
from ocicat.validate import Problem, validate, validate_update

R = TypeVar("R", bound=Resource)

_INDEX = re.compile(r"\[[0-9]+\]")
_LOOK = "read it again and decide again"


class Origin(Struct, frozen=True):
    """What a new object gets: a uid, and the time of its creation (RFC 3339, UTC, whole seconds)."""

    uid: str
    created: str


class Found(Struct, frozen=True):
    """The value that is there. `stored` is None if it cannot be read; `problem` says why."""

    key: str
    revision: int
    stored: Stored | None
    problem: str = ""


class Step(Struct, frozen=True):
    """`after` None: the object is deleted, or `action` says that nothing is done. `remarks`: what of it has no effect."""

    action: Action
    after: Document | None = None
    remarks: tuple[Fault, ...] = ()


Result = Step | tuple[Fault, ...]


def take(change: Change, found: Found | None, origin: Origin) -> Result:
    """The step, or every fault of the change that can be told without looking at other objects."""
    faults = tuple(_unwritable(change))
    if faults:
        return faults
    match change:
        case Create() | Replace() | Apply():
            return _whole(change, found, origin)
        case Delete():
            return _delete(change, found)
        case _:
            return _edit(change, found, origin)


def check(document: Document) -> Result:
    """What becomes of a document as a new object, whatever the datastore holds."""
    return take(Apply(document=document), None, Origin("", "1970-01-01T00:00:00Z"))


def _unwritable(change: Change) -> Iterator[Fault]:
    kind = change.kind
    if kind.internal and kind.name != WRITABLE:
        yield Fault("belongs to the address manager: it can be read, not written", exit_code=REFUSED)
    if kind.name == "ClusterInformation":
        hint = "`ocicat store lock` and `ocicat store unlock` change what there is to change"
        yield Fault("is kept by the system: it can be read, not written", hint, REFUSED)


# --- whole objects ------------------------------------------------------------------------------------------------


def _whole(change: Create | Replace | Apply, found: Found | None, origin: Origin) -> Result:
    if found is None:
        if not isinstance(change, Create) and _always_is(change.document):
            return Step("unchanged")
        if isinstance(change, Replace):
            return (_missing(),)
        return _new(change.document, origin, may_have_version=isinstance(change, Apply))
    if isinstance(change, Create):
        return Step("skipped") if change.skip_existing else (_exists(),)
    action: Action = "replaced" if isinstance(change, Replace) else "configured"
    if found.stored is None:
        return _mended(change.document, found, origin, action)
    return _updated(change.document, found.stored, origin, action)


def _always_is(document: Document) -> bool:
    """The profile that is never stored, just as it is: Calico's tools list it among the others."""
    said = document.resource
    if (said.kind, said.metadata.name) != ("Profile", DEFAULT_ALLOW_PROFILE):
        return False
    from ocicat.policy.policies import DEFAULT_ALLOW  # all of policy comes with it

    added = said.metadata.labels or said.metadata.annotations or document.unknown
    return said.spec == DEFAULT_ALLOW.spec and not added


def _new(document: Document, origin: Origin, *, may_have_version: bool) -> Result:
    faults = list(_unknown(document, document.unknown))
    if document.resource.metadata.resource_version and not may_have_version:
        faults.append(_fault(Problem("metadata.resourceVersion", "", "must not be given for a new object")))
    metadata = replace(document.resource.metadata, uid="", creation_timestamp=None, resource_version="")
    resource, problems = _checked(_with(document.resource, metadata))
    unsupported = _unsupported(resource, None)
    faults += (*map(_fault, problems), *unsupported.refused)
    return tuple(faults) or Step("created", parse(encode_json(_identified(resource, origin))), unsupported.remarks)


def _identified(resource: R, origin: Origin) -> R:
    """With a uid and a time of creation, where the kind's form in the datastore has a place for them."""
    metadata = resource.metadata
    if KINDS[resource.kind].internal:
        return resource
    created = metadata.creation_timestamp or origin.created
    return _with(resource, replace(metadata, uid=metadata.uid or origin.uid, creation_timestamp=created))


def _mended(document: Document, found: Found, origin: Origin, action: Action) -> Result:
    """In place of something that cannot be read."""
    faults = tuple(_overtaken(found.revision, document.resource.metadata.resource_version))
    made = _new(document, origin, may_have_version=True)
    return replace(made, action=action) if isinstance(made, Step) and not faults else (*faults, *_faults(made))


def _faults(result: Result) -> tuple[Fault, ...]:
    return result if isinstance(result, tuple) else ()


def _updated(document: Document, present: Stored, origin: Origin, action: Action) -> Result:
    given, kept = document.resource.metadata, present.resource.metadata
    faults = list(_outdated(present, given.resource_version, given.uid))
    metadata = replace(
        kept,
        labels=given.labels,
        annotations=given.annotations,
        owner_references=given.owner_references or kept.owner_references,
        finalizers=given.finalizers or kept.finalizers,
    )
    resource, problems = _checked(_with_status(_with(document.resource, metadata), present.resource))
    unsupported = _unsupported(resource, present.resource)
    faults += (*map(_fault, (*problems, *validate_update(present.resource, resource))), *unsupported.refused)
    if faults:
        return tuple(faults)
    after = parse(merged(present.document, _identified(resource, origin)))
    lost = [path for path in document.unknown if _at(after.raw, path) != _at(document.raw, path)]
    return tuple(_unknown(document, lost)) or _step(action, present, after, unsupported.remarks)


def _step(action: Action, present: Stored, after: Document, remarks: tuple[Fault, ...] = ()) -> Step:
    return Step("unchanged" if after.raw == present.document.raw else action, after, remarks)


def _with(resource: R, metadata: Metadata) -> R:
    return cast("R", replace(cast("Struct", resource), metadata=metadata))


def _with_status(resource: R, present: Resource) -> R:
    """What controllers said about the object stays, unless the document says it anew."""
    if getattr(resource, "status", None) is not UNSET:
        return resource
    return cast("R", replace(cast("Struct", resource), status=getattr(present, "status", UNSET)))


def _checked(resource: R) -> tuple[R, tuple[Problem, ...]]:
    """As it is to be written, and what is wrong with it."""
    problems = list(validate(resource))
    if resource.kind == WRITABLE and (resource.metadata.labels or resource.metadata.annotations):
        problems.append(Problem("metadata", "", "labels and annotations of this kind are not kept: leave them out"))
    return resource if problems else with_defaults(resource), tuple(problems)


class _Unsupported(Struct, frozen=True):
    refused: tuple[Fault, ...]
    remarks: tuple[Fault, ...]


def _unsupported(resource: Resource, present: Resource | None) -> _Unsupported:
    """What another tool has stored so already, be it at another place of a list, is not refused but told."""
    stored = {_placeless(one.problem) for one in refusals(present)} if present else set()
    refused: list[Fault] = []
    remarked = [_fault(one) for one in remarks(resource)]
    for one in refusals(resource):
        fault = Fault(str(one.problem), one.hint, field=one.problem.field)
        (remarked if _placeless(one.problem) in stored else refused).append(fault)
    return _Unsupported(tuple(refused), tuple(remarked))


def _placeless(one: Problem) -> Problem:
    return replace(one, field=_INDEX.sub("[]", one.field))


# --- parts of objects ---------------------------------------------------------------------------------------------


def _edit(change: Patch | Label, found: Found | None, origin: Origin) -> Result:
    if found is None:
        return (_missing(),)
    if found.stored is None:
        return (Fault(f"cannot be read: {found.problem}", "replace or delete it"),)
    present = found.stored
    faults = tuple(_outdated(present, change.resource_version, ""))
    if faults:
        return faults
    if isinstance(change, Patch):
        return _patched(change, present, origin)
    return _labeled(change, present, origin)


def _patched(change: Patch, present: Stored, origin: Origin) -> Result:
    try:
        edited = _parsed(_patch(change, present.document.raw), present)
    except Malformed as error:
        return (Fault(error.fault, error.hint, field=error.field),)
    except UserError as error:
        return (Fault(error.message, error.hint),)
    version = edited.resource.metadata.resource_version
    faults = [*_outdated(present, version, ""), *_unknown(edited, _news(edited, present.document))]
    resource, problems = _checked(edited.resource)
    unsupported = _unsupported(resource, present.resource)
    faults += (*map(_fault, (*problems, *validate_update(present.resource, resource))), *unsupported.refused)
    faults += map(_fault, _identity_lost(resource.metadata, present.resource.metadata))
    if faults:
        return tuple(faults)
    return _step("patched", present, parse(merged(edited, _identified(resource, origin))), unsupported.remarks)


def _identity_lost(after: Metadata, before: Metadata) -> Iterator[Problem]:
    """What the rules of an update let pass, because a file need not say it."""
    if before.uid and not after.uid:
        yield Problem("metadata.uid", "", "cannot be changed")
    if after.creation_timestamp != before.creation_timestamp:
        yield Problem("metadata.creationTimestamp", "", "cannot be changed")


def _patch(change: Patch, raw: Json) -> object:
    if change.style == "json":
        return apply_operations(raw, change.patch)
    if not isinstance(change.patch, dict):
        raise UserError("patch: must be an object", hint='for example {"spec": {"disabled": true}}')
    return merge(raw, change.patch)


def _parsed(raw: object, present: Stored) -> Document:
    if not isinstance(raw, dict):
        raise UserError("patch: leaves no object")
    document = parse(raw, what="patch")
    if document.kind != present.kind:
        raise UserError(f"kind: cannot be changed to {document.kind.name}")
    return document


def _news(edited: Document, present: Document) -> list[str]:
    """The unknown fields that are not stored so already, be it at another place of a list."""
    stored = [(_INDEX.sub("[]", path), _at(present.raw, path)) for path in present.unknown]
    return [path for path in edited.unknown if (_INDEX.sub("[]", path), _at(edited.raw, path)) not in stored]


def _labeled(change: Label, present: Stored, origin: Origin) -> Result:
    before = present.resource.metadata.labels
    faults = [
        Fault(f"has no label {key!r} to remove", f"it has: {', '.join(sorted(before)) or 'none'}", NOT_FOUND)
        for key in change.remove
        if key not in before
    ]
    faults += [
        Fault(f"label {key!r} is {before[key]!r} already", "overwrite it expressly", CONFLICT)
        for key, label in change.put.items()
        if before.get(key, label) != label and not change.overwrite
    ]
    faults += [
        Fault(f"label {key!r} is both set and removed", "say one of them") for key in change.remove if key in change.put
    ]
    labels = {key: label for key, label in before.items() if key not in change.remove} | dict(change.put)
    resource, problems = _checked(_with(present.resource, replace(present.resource.metadata, labels=labels)))
    faults += map(_fault, problems)
    return tuple(faults) or _step("labeled", present, parse(merged(present.document, _identified(resource, origin))))


def _delete(change: Delete, found: Found | None) -> Result:
    if found is None:
        return Step("skipped") if change.skip_missing else (_missing(),)
    if found.stored is None:
        return tuple(_overtaken(found.revision, change.resource_version)) or Step("deleted")
    return tuple(_outdated(found.stored, change.resource_version, change.uid)) or Step("deleted")


# --- faults -------------------------------------------------------------------------------------------------------


def _missing() -> Fault:
    return Fault("there is none", exit_code=NOT_FOUND)


def _exists() -> Fault:
    return Fault("exists already", "apply or replace it to change it", CONFLICT)


def _overtaken(revision: int, version: str) -> Iterator[Fault]:
    """The caller says which state of the object he means: is it that one?"""
    if version not in ("", str(revision)):
        message = f"resource version {version} was given, the present one is {revision}: somebody changed it"
        yield Fault(message, _LOOK, CONFLICT, "metadata.resourceVersion")


def _outdated(present: Stored, version: str, uid: str) -> Iterator[Fault]:
    """And is it the same object still?"""
    yield from _overtaken(present.revision, version)
    own = present.resource.metadata.uid
    if uid and own and uid != own:
        message = f"uid {uid} was given, the present one is {own}: it was deleted and made again"
        yield Fault(message, _LOOK, CONFLICT, "metadata.uid")


def _fault(problem: Problem) -> Fault:
    return Fault(str(problem), field=problem.field)


def _unknown(document: Document, paths: Iterable[str]) -> Iterator[Fault]:
    for path in paths:
        beside = {name.lower(): name for name in fields_beside(document.kind, path)}
        close = get_close_matches(path.rpartition(".")[2].lower(), beside, n=1)
        hint = f"did you mean {beside[close[0]]}?" if close else ""
        yield Fault(f"{path}: there is no such field", hint, field=path)


def _at(raw: object, path: str) -> object:
    """What lies at a path such as `spec.ingress[0].protocol`; None: nothing."""
    for part in path.replace("[", ".[").split("."):
        if part.startswith("["):
            place = int(part[1:-1]) if part[1:-1].isdecimal() else -1
            raw = raw[place] if isinstance(raw, list) and 0 <= place < len(raw) else None
        else:
            raw = raw.get(part) if isinstance(raw, dict) else None
    return raw
