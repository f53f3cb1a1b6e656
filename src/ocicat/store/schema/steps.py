"""The forms that a datastore's content has had, as steps from each to the next and back. Pure.

A step looks at everything that is stored and says what has to become different. It says nothing where nothing has to: so it may be
cut off anywhere and done again, and what an earlier version has written since is brought up by the same step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from uuid import NAMESPACE_URL, uuid5

from ocicat.errors import UserError
from ocicat.model import keys
from ocicat.model.base import Struct
from ocicat.model.codec import convert, decode_json, encode_json
from ocicat.store.base import KeyValue, Operation, Put
from ocicat.store.schema.mark import FIRST, Version

Change = Callable[[Sequence[KeyValue], str], Iterator[Operation]]
"""(everything that is stored, the time now as RFC 3339) -> what has to be written."""


class Step(Struct, frozen=True, kw_only=True):
    """`to`: what it leads to, from the one before. `about`: what it changes, for people."""

    to: Version
    about: str
    forward: Change
    back: Change


class _Metadata(Struct, frozen=True, rename="camel"):
    uid: str = ""
    creation_timestamp: str | None = None


def _stamp(items: Sequence[KeyValue], now: str) -> Iterator[Operation]:
    """The first versions of the agent and of the lab stored nodes, profiles, pools and endpoints without a uid and a time of
    creation. Calico's tools refuse to change such an object."""
    for key, document, metadata in _resources(items):
        found = convert(_Metadata, metadata, what=key)
        if not found.uid:
            stamps: dict[str, object] = {"uid": _uid(key, timed=bool(found.creation_timestamp))}
            stamps |= {} if found.creation_timestamp else {"creationTimestamp": now}
            yield Put(key, encode_json(document | {"metadata": metadata | stamps}))


def _take_stamps_off(items: Sequence[KeyValue], _: str) -> Iterator[Operation]:
    """Those of `_stamp`, which are known by themselves, and no others."""
    for key, document, metadata in _resources(items):
        uid = metadata.get("uid")
        if uid in (_uid(key, timed=True), _uid(key, timed=False)):
            gone = {"uid"} if uid == _uid(key, timed=True) else {"uid", "creationTimestamp"}
            left = {name: value for name, value in metadata.items() if name not in gone}
            yield Put(key, encode_json(document | {"metadata": left}))


def _resources(items: Sequence[KeyValue]) -> Iterator[tuple[str, dict[str, object], dict[str, object]]]:
    """(key, object, its metadata). What cannot be read stays as it is: it is told where it is used."""
    for item in items:
        if not item.key.startswith(keys.RESOURCES):
            continue
        try:
            document = decode_json(dict[str, object], item.value, what=item.key)
            metadata = convert(dict[str, object], document.get("metadata", {}), what=item.key)
            convert(_Metadata, metadata, what=item.key)
        except UserError:
            continue
        yield item.key, document, metadata


def _uid(key: str, *, timed: bool) -> str:
    """Always the same for one object, so that it is known again. `timed`: the object had a time of creation before."""
    return str(uuid5(NAMESPACE_URL, f"ocicat:{key}{' timed' if timed else ''}"))


STEPS = (
    Step(
        to=Version(1, 1),
        about="every object has a uid and a time of creation",
        forward=_stamp,
        back=_take_stamps_off,
    ),
)


def newest(steps: Sequence[Step] = STEPS) -> Version:
    return steps[-1].to if steps else FIRST


CURRENT = newest()
