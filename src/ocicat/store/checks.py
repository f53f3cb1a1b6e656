"""What every back end refuses alike, before it looks at its data. Pure; also the sentences for the errors they share."""

from __future__ import annotations

from collections.abc import Sequence

from ocicat.errors import Bug, Compacted, Conflict, UserError
from ocicat.store.base import Compare, Operation


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


def check_commit(compares: Sequence[Compare], operations: Sequence[Operation]) -> None:
    """Every key sound, and no key operated on twice: which of the two would win is nobody's guess."""
    seen: set[str] = set()
    for operation in operations:
        check_key(operation.key)
        if operation.key in seen:
            raise Bug(f"key {operation.key}: operated on twice in one commit")
        seen.add(operation.key)
    for compare in compares:
        check_key(compare.key)


def check_compare(compare: Compare, modified: int) -> None:
    """`modified`: the key's present revision, 0 when it does not exist."""
    if compare.modified == modified:
        return
    if not compare.modified:
        raise Conflict(f"key {compare.key}: exists already", hint="read it and decide again")
    found = f"is at revision {modified}" if modified else "no longer exists"
    raise Conflict(
        f"key {compare.key}: was read at revision {compare.modified}, {found}", hint="read it and decide again"
    )


def check_compaction(revision: int, present: int) -> None:
    if revision >= present:
        raise UserError(f"compaction: revision {revision} is not older than the present one, {present}")


def check_kept(revision: int, compacted: int) -> None:
    """Can a watch still start at `revision`?"""
    if revision <= compacted:
        raise Compacted(
            f"watch from revision {revision}: history is kept from {compacted + 1} on", hint="take a new snapshot"
        )
