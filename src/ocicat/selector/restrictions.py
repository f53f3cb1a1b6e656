"""What each label must be for a selector to match: hints for an index that looks for candidates.

Promise: labels that break a restriction never match. The converse does not hold: labels that meet every restriction may
still not match, so a candidate is always put to the selector itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TypeAlias, assert_never

from ocicat.model.base import Struct
from ocicat.selector.ast import All, And, Compare, Comparison, Global, Has, In, Node, Not, NotIn, Or


class LabelRestriction(Struct, frozen=True):
    """What one label must be. Both flags together, or an empty set of values, mean that nothing can match."""

    must_be_present: bool = False
    must_be_absent: bool = False
    must_have_one_of: frozenset[str] | None = None
    """None: any value will do."""


Restrictions: TypeAlias = Mapping[str, LabelRestriction]
"""By label key; a label that is not a key may be anything."""

_PRESENT = LabelRestriction(must_be_present=True)
_ABSENT = LabelRestriction(must_be_absent=True)


def restrictions(node: Node) -> Restrictions:
    """The restrictions that this selector puts on labels."""
    match node:
        case All() | Global() | NotIn() | Compare(comparison=Comparison.DIFFERS):
            return {}
        case Not(operand):
            # Only has() can be turned round: where a == "b" is false, "a" may be present or absent.
            return {operand.label: _ABSENT} if isinstance(operand, Has) else {}
        case Compare(label, Comparison.EQUALS, value):
            return {label: _one_of((value,))}
        case In(label, values):
            return {label: _one_of(values)}
        case Has(label) | Compare(label):
            return {label: _PRESENT}
        case And(operands):
            return _and([restrictions(operand) for operand in operands])
        case Or(operands):
            return _or([restrictions(operand) for operand in operands])
    assert_never(node)


def _one_of(values: Sequence[str]) -> LabelRestriction:
    return LabelRestriction(must_be_present=True, must_have_one_of=frozenset(values))


def _and(operands: list[Restrictions]) -> Restrictions:
    by_label: dict[str, list[LabelRestriction]] = defaultdict(list)
    for operand in operands:
        for label, restriction in operand.items():
            by_label[label].append(restriction)
    return {label: _every(found) for label, found in by_label.items()}


def _or(operands: list[Restrictions]) -> Restrictions:
    first, *others = operands
    shared = set(first).intersection(*others)
    merged = {label: _any([operand[label] for operand in operands]) for label in first if label in shared}
    return {label: found for label, found in merged.items() if found.must_be_present or found.must_be_absent}


def _every(found: list[LabelRestriction]) -> LabelRestriction:
    values = [one.must_have_one_of for one in found if one.must_have_one_of is not None]
    return LabelRestriction(
        must_be_present=any(one.must_be_present for one in found),
        must_be_absent=any(one.must_be_absent for one in found),
        must_have_one_of=frozenset.intersection(*values) if values else None,
    )


def _any(found: list[LabelRestriction]) -> LabelRestriction:
    present = all(one.must_be_present for one in found)
    values = [one.must_have_one_of for one in found if one.must_have_one_of is not None]
    return LabelRestriction(
        must_be_present=present,
        must_be_absent=all(one.must_be_absent for one in found),
        must_have_one_of=frozenset().union(*values) if present and len(values) == len(found) else None,
    )
