"""An object as the datastore holds it, in the form in which people write it; and back. Pure.

1. A read object says its own revision: `metadata.resourceVersion` is that of its key. It is never written.
2. A policy `web` of the default tier is stored as `default.web`, as Calico's own tools do. One that was written without the
   prefix is found too, and stays where it is.
3. The address manager's records, which have another form and other keys, are read as resources (`internal`).
4. The key decides what an object is called, whatever stands in it.
5. A number without a fraction is written without one, as Calico's own tools do: an order of 3, not 3.0.
"""

from __future__ import annotations

from collections.abc import Mapping

from ocicat.errors import UserError
from ocicat.model.base import Struct
from ocicat.model.codec import decode_json, encode_json, plain_number
from ocicat.model.keys import name_of
from ocicat.model.v3.document import Document, merge_metadata, parse
from ocicat.model.v3.kinds import Kind
from ocicat.model.v3.metadata import Resource
from ocicat.resources import internal
from ocicat.store.base import KeyValue


class Stored(Struct, frozen=True):
    key: str
    revision: int
    document: Document

    @property
    def kind(self) -> Kind:
        return self.document.kind

    @property
    def resource(self) -> Resource:
        return self.document.resource

    @property
    def name(self) -> str:
        return self.resource.metadata.name

    @property
    def namespace(self) -> str:
        return self.resource.metadata.namespace


def prefix(kind: Kind, namespace: str = "") -> str:
    """Under which all objects of the kind lie, or those of one namespace. Errors: UserError for one that the kind has not."""
    if namespace and not kind.namespaced:
        raise UserError(f"{kind.name} lies in no namespace: leave {namespace!r} out")
    return internal.PREFIXES[kind.name] if kind.internal else kind.prefix(namespace)


def is_object(kind: Kind, key: str) -> bool:
    """Is a key under the kind's prefix one of an object, and not something below or beside it?"""
    if kind.internal:
        return internal.name(kind, key) is not None
    return key.removeprefix(prefix(kind)).count("/") == int(kind.namespaced)


def identity(kind: Kind, key: str) -> tuple[str, str]:
    """(namespace, name as it is shown) of the object that lies there."""
    if kind.internal:
        return "", internal.name(kind, key) or key
    namespace = key.removeprefix(prefix(kind)).partition("/")[0] if kind.namespaced else ""
    return namespace, kind.shown_name(name_of(key))


def lookup_keys(kind: Kind, name: str, namespace: str = "") -> tuple[str, ...]:
    """Every key under which an object that is called so may lie; nothing if only looking at all of them tells.

    Errors: UserError if a namespace is missing, or given for a kind that has none, or the name cannot be one.
    """
    if not name:
        raise UserError("the name is empty")
    if "/" in name:
        raise UserError(f"{name!r}: a name holds no '/'")
    if kind.internal:
        return internal.lookup_keys(kind, name)
    return tuple(kind.key(stored, namespace) for stored in kind.stored_names(name))


def read(kind: Kind, item: KeyValue) -> Stored:
    """Errors: UserError that names the object."""
    namespace, name = identity(kind, item.key)
    what = title(kind, namespace, name)
    raw = decode_json(dict[str, object], item.value, what=what)
    if kind.internal:
        raw = internal.resource_form(kind, item.key, raw)
    raw = merge_metadata(raw, name=name, namespace=namespace or None, resourceVersion=str(item.modified))
    if raw.get("kind") != kind.name:
        raise UserError(f"{what}: kind: {raw.get('kind')!r} must be {kind.name!r}")
    return Stored(item.key, item.modified, parse(raw, what=what))


def value(kind: Kind, key: str, raw: Mapping[str, object]) -> bytes:
    """What to write at `key` for an object in the form of `read`."""
    if kind.internal:
        return internal.value(kind, raw)
    return encode_json(_with_plain_numbers(merge_metadata(raw, name=name_of(key), resourceVersion=None)))


def _with_plain_numbers(value: object) -> object:
    match value:
        case dict():
            return {name: _with_plain_numbers(inner) for name, inner in value.items()}
        case list():
            return [_with_plain_numbers(inner) for inner in value]
        case float():
            return plain_number(value)
        case _:
            return value


def title(kind: Kind, namespace: str, name: str) -> str:
    """`Tier sec`, `NetworkPolicy shop/web`: how every message names an object."""
    return f"{kind.name} {namespace}/{name}" if namespace else f"{kind.name} {name}".rstrip()
