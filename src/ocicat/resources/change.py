"""What can be asked for, and what became of it: the records that `write` takes and gives. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from ocicat.errors import OcicatError
from ocicat.model.base import Struct
from ocicat.model.v3.document import Document, merge_metadata, parse
from ocicat.model.v3.kinds import Kind
from ocicat.resources.stored import title

PatchStyle = Literal["merge", "json", "strategic"]
Action = Literal["created", "configured", "replaced", "patched", "labeled", "deleted", "unchanged", "skipped"]

REFUSED, INVALID, CONFLICT, NOT_FOUND = 1, 2, 3, 5  # the exit codes of `ocicat.errors`


class _OfDocument(Struct, frozen=True, kw_only=True):
    """`where`: "file:line", put before every problem. A `metadata.resourceVersion` in the document must be the present one."""

    document: Document
    where: str = ""

    @property
    def kind(self) -> Kind:
        return self.document.kind

    @property
    def name(self) -> str:
        return self.document.resource.metadata.name

    @property
    def namespace(self) -> str:
        return self.document.resource.metadata.namespace


class Create(_OfDocument, frozen=True, kw_only=True):
    """A new object. `skip_existing`: nothing happens if there is one already."""

    skip_existing: bool = False


class Replace(_OfDocument, frozen=True, kw_only=True):
    """Labels, annotations and spec of an object that is there, as a whole."""


class Apply(_OfDocument, frozen=True, kw_only=True):
    """`Replace` if it is there, else `Create`; a resource version says nothing then."""


class _OfName(Struct, frozen=True, kw_only=True):
    """Of an object that is there. `resource_version`: it must still be at that one, unless empty."""

    kind: Kind
    name: str
    namespace: str = ""
    resource_version: str = ""
    where: str = ""


class Patch(_OfName, frozen=True, kw_only=True):
    """`patch`: decoded JSON, an object for a merge, a list of operations for `json`. `strategic` is `merge` here."""

    patch: object
    style: PatchStyle = "strategic"


class Label(_OfName, frozen=True, kw_only=True):
    """`overwrite`: a label that is there may get another value."""

    put: Mapping[str, str] = {}
    remove: tuple[str, ...] = ()
    overwrite: bool = False


class Delete(_OfName, frozen=True, kw_only=True):
    """`uid`: it must have this one, unless empty. `force`: although something still uses it. `skip_missing`: or not be there."""

    uid: str = ""
    force: bool = False
    skip_missing: bool = False


Change = Create | Replace | Apply | Patch | Label | Delete


def deletion(document: Document, *, force: bool = False, skip_missing: bool = False, where: str = "") -> Delete:
    """Of the object that a document names; its resource version and uid, if it tells them, must be the present ones."""
    metadata = document.resource.metadata
    return Delete(
        kind=document.kind,
        name=metadata.name,
        namespace=metadata.namespace,
        resource_version=metadata.resource_version,
        uid=metadata.uid,
        force=force,
        skip_missing=skip_missing,
        where=where,
    )


def placed(document: Document, namespace: str) -> Document:
    """The document in that namespace, if its kind lies in one and it names none."""
    if not document.kind.namespaced or document.resource.metadata.namespace:
        return document
    return parse(merge_metadata(document.raw, namespace=namespace))


class Outcome(Struct, frozen=True, kw_only=True):
    """`before` and `after`: the object as read and as written; None: it was not, or is not, there (or could not be read).

    `also`: what else was changed because of it, one line each. `remarks`: what of it has no effect.
    """

    action: Action
    kind: Kind
    name: str
    namespace: str = ""
    where: str = ""
    before: Document | None = None
    after: Document | None = None
    also: tuple[str, ...] = ()
    remarks: tuple[Remark, ...] = ()


class Fault(Struct, frozen=True):
    """One thing that is wrong with a change. `field`: the path of the field at fault, if it is one; it begins the message too."""

    message: str
    hint: str = ""
    exit_code: int = INVALID
    field: str = ""


class _Told(Struct, frozen=True, kw_only=True):
    """A fault and whose it is, for people: one line."""

    kind: Kind
    name: str
    namespace: str = ""
    where: str = ""
    fault: Fault

    @property
    def message(self) -> str:
        return f"{title(self.kind, self.namespace, self.name)}: {self.fault.message}"

    @property
    def hint(self) -> str:
        return self.fault.hint

    @property
    def field(self) -> str:
        return self.fault.field

    @property
    def exit_code(self) -> int:
        return self.fault.exit_code

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        return f"{where}{self.message}" + (f" ({self.hint})" if self.hint else "")


class Rejection(_Told, frozen=True, kw_only=True):
    """Why a change cannot be made."""


class Remark(_Told, frozen=True, kw_only=True):
    """What should be known of a change that can be made."""


def identity(one: Change | Rejection) -> tuple[str, str, str]:
    """Which object it is about, by whichever of its names."""
    return one.kind.name, one.namespace, one.kind.shown_name(one.name)


def rejection(change: Change, fault: Fault) -> Rejection:
    return Rejection(kind=change.kind, name=change.name, namespace=change.namespace, where=change.where, fault=fault)


def remark(change: Change, fault: Fault) -> Remark:
    return Remark(kind=change.kind, name=change.name, namespace=change.namespace, where=change.where, fault=fault)


class Rejected(OcicatError):
    """Nothing was written. `rejections` holds every reason; `exit_code` is 2 if any object is invalid, else the first one's."""

    def __init__(self, rejections: Iterable[Rejection]) -> None:
        self.rejections = tuple(rejections)
        first, others = self.rejections[0], len(self.rejections) - 1
        super().__init__(str(first) + (f" (and {others} more)" if others else ""))
        codes = [one.exit_code for one in self.rejections]
        self.exit_code = INVALID if INVALID in codes else codes[0]
