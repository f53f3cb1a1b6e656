"""What every back end refuses alike, before it looks at its data. Pure; also the sentences for the errors they share."""

from __future__ import annotations

from collections.abc import Sequence

from ocicat.errors import Bug, Compacted, Conflict, NotFound, UserError
from ocicat.store.base import Compare, Condition, KeyValue, Operation, Unchanged

LONGEST_TTL_S = 9_000_000_000  # etcd's
_AGAIN = "read it and decide again"


def check_prefix(prefix: str) -> None:
    """Text that UTF-8 can hold: an argument of a command line may come with stray bytes as lone surrogates."""
    try:
        prefix.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"key {prefix!r}: is not valid UTF-8") from error


def check_key(key: str) -> None:
    if not key:
        raise UserError("key: must not be empty")
    check_prefix(key)


def check_commit(conditions: Sequence[Condition], operations: Sequence[Operation]) -> None:
    """Every key sound, and no key operated on twice: which of the two would win is nobody's guess."""
    seen: set[str] = set()
    for operation in operations:
        check_key(operation.key)
        if operation.key in seen:
            raise Bug(f"key {operation.key}: operated on twice in one commit")
        seen.add(operation.key)
    for condition in conditions:
        if isinstance(condition, Compare):
            check_key(condition.key)
        else:
            check_prefix(condition.prefix)


def check_condition(condition: Condition, found: KeyValue | None) -> None:
    """`found`: what is at the compared key; under a prefix, the first key that changed after the revision. None: nothing."""
    if isinstance(condition, Unchanged):
        _check_unchanged(condition, found)
    else:
        _check_compare(condition, found.modified if found else 0)


def _check_compare(compare: Compare, modified: int) -> None:
    if compare.modified == modified:
        return
    if not compare.modified:
        raise Conflict(f"key {compare.key}: exists already", hint=_AGAIN)
    found = f"is at revision {modified}" if modified else "no longer exists"
    raise Conflict(f"key {compare.key}: was read at revision {compare.modified}, {found}", hint=_AGAIN)


def _check_unchanged(unchanged: Unchanged, newer: KeyValue | None) -> None:
    if newer is None:
        return
    raise Conflict(
        f"prefix {unchanged.prefix}: was read at revision {unchanged.revision}, key {newer.key} is at {newer.modified}",
        hint=_AGAIN,
    )


def check_ttl(ttl_s: int) -> None:
    if not 1 <= ttl_s <= LONGEST_TTL_S:
        raise Bug(f"lease: {ttl_s} s is not in 1 to {LONGEST_TTL_S} s")


def lease_gone(lease: int) -> NotFound:
    return NotFound(f"lease {lease}: has expired or was revoked", hint="take a new one and put again")


def check_compaction(revision: int, present: int) -> None:
    if revision >= present:
        raise UserError(f"compaction: revision {revision} is not older than the present one, {present}")


def check_kept(revision: int, compacted: int) -> None:
    """Can a watch still start at `revision`?"""
    if revision <= compacted:
        raise Compacted(
            f"watch from revision {revision}: history is kept from {compacted + 1} on", hint="take a new snapshot"
        )
