"""Holds a resource to what its types state and to the rules across fields. Pure.

For each record type a list of checks is made once; fields that nobody set cost one comparison.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import chain
from typing import cast

from ocicat.model.base import UNSET, Struct
from ocicat.model.codec import decode_json, encode_json
from ocicat.model.v3.fields import Form, Items, Matches, MaxLength, OneOf, Range
from ocicat.model.v3.kinds import KINDS, Kind
from ocicat.model.v3.metadata import API_VERSION, Resource
from ocicat.model.v3.shape import Leaf, Listing, Member, Shape, Statement, record
from ocicat.validate import addressing, bgp, endpoints, policy, system, update
from ocicat.validate.forms import FORMS
from ocicat.validate.problem import Problem, problem, shown

Checker = Callable[[object, str, list[Problem]], None]
"""(value, its path, where problems are put)"""

_RULES = {**addressing.RULES, **bgp.RULES, **endpoints.RULES, **policy.RULES, **system.RULES}


def validate(resource: Resource) -> tuple[Problem, ...]:
    """Everything that is wrong with an object alone, in the order of its fields; nothing if all is well."""
    kind = KINDS[resource.kind]
    found = list(_of_kind(resource, kind))
    _record_checker(kind.type)(resource, "", found)
    return tuple(dict.fromkeys(found))


def validate_part(part: Struct, path: str) -> tuple[Problem, ...]:
    """The same of a record that lies at `path` of a resource."""
    found: list[Problem] = []
    _record_checker(type(part))(part, path, found)
    return tuple(dict.fromkeys(found))


def validate_update(old: Resource, new: Resource) -> tuple[Problem, ...]:
    """What may not become of `old`: fields that never change, and transitions that are forbidden. `new` itself is not looked at."""
    if old.kind != new.kind:
        return (problem("kind", new.kind, f"it is a {old.kind} and remains one"),)
    before, after = (
        decode_json(dict[str, object], encode_json(update.comparable(resource))) for resource in (old, new)
    )
    changed = (_changed(path, before, after) for path in KINDS[old.kind].immutable)
    return (*chain.from_iterable(changed), *update.forbidden(old, new))


def _of_kind(resource: Resource, kind: Kind) -> Iterator[Problem]:
    metadata = resource.metadata
    if resource.api_version != API_VERSION:
        yield problem("apiVersion", resource.api_version, f"must be {API_VERSION}")
    if kind.namespaced and not metadata.namespace:
        yield problem("metadata.namespace", "", f"a {kind.name} lies in a namespace: say which")
    if metadata.namespace and not kind.namespaced:
        yield problem("metadata.namespace", metadata.namespace, f"a {kind.name} lies in no namespace: leave it out")
    if kind.only_name not in ("", metadata.name):
        yield problem(
            "metadata.name", metadata.name, f"the only {kind.name} that there is has the name {kind.only_name!r}"
        )


def _changed(path: str, before: object, after: object) -> Iterator[Problem]:
    for name in path.split("."):
        before, after = (value.get(name) if isinstance(value, dict) else None for value in (before, after))
    if before != after and not (path == "metadata.uid" and after is None):
        yield problem(path, after, f"cannot be changed from {shown(before) or 'nothing'}: make a new object instead")


@cache
def _record_checker(of: type[Struct] | type[Resource]) -> Checker:
    shape = record(cast("type[Struct]", of))
    checked = [
        (member.attribute, member.name, _unset_values(member), _checker(member.shape)) for member in shape.members
    ]
    members = [(attribute, name, unset, check) for attribute, name, unset, check in checked if check is not None]
    rules = tuple(chain.from_iterable(_RULES.get(base, ()) for base in reversed(of.__mro__)))

    def check_record(value: object, path: str, found: list[Problem]) -> None:
        prefix = f"{path}." if path else ""
        for attribute, name, unset, check in members:
            item = getattr(value, attribute)
            if item not in unset:
                check(item, prefix + name, found)
        for rule in rules:
            found.extend(broken.below(path) for broken in rule(cast("Struct", value)))

    return check_record


def _unset_values(member: Member) -> tuple[object, ...]:
    """What a field holds that nobody set. An empty text says nothing either, if the field has a text of its own by default.

    A specification is never unset: one that says nothing may say too little.
    """
    if member.attribute == "spec":
        return ()
    return (None, UNSET, member.unset, "") if isinstance(member.unset, str) else (None, UNSET, member.unset)


def _checker(shape: Shape) -> Checker | None:
    match shape:
        case Leaf(statements):
            return _statements_checker(statements) if statements else None
        case Listing(statements, element):
            return _listing_checker(statements, _checker(element))
        case _:
            return _record_checker(shape.type)


def _listing_checker(statements: tuple[Statement, ...], element: Checker | None) -> Checker | None:
    whole = _statements_checker(statements) if statements else None
    if element is None:
        return whole

    def check_listing(value: object, path: str, found: list[Problem]) -> None:
        if whole is not None:
            whole(value, path, found)
        for place, item in enumerate(cast("tuple[object, ...]", value)):
            element(item, f"{path}[{place}]", found)

    return check_listing


def _statements_checker(statements: tuple[Statement, ...]) -> Checker:
    tests = [_test(statement) for statement in statements]

    def check_statements(value: object, path: str, found: list[Problem]) -> None:
        for test in tests:
            rule = test(value)
            if rule:
                found.append(problem(path, value, rule))
                return

    return check_statements


def _test(statement: Statement) -> Callable[[object], str]:
    """The function that tells which rule a value breaks; "" if none. Types were seen to when it was decoded."""
    match statement:
        case Form(name):
            return cast("Callable[[object], str]", FORMS[name])
        case OneOf(values, ignore_case):
            return _one_of(values, ignore_case=ignore_case)
        case Range(low, high):
            return lambda value: "" if low <= cast("int", value) <= high else f"must be between {low} and {high}"
        case MaxLength(most):
            return lambda value: "" if len(cast("str", value)) <= most else f"must have at most {most} characters"
        case Matches(pattern, meaning):
            compiled = re.compile(pattern)
            return lambda value: "" if compiled.fullmatch(cast("str", value)) else f"must be {meaning}"
        case Items(most_items, unique):
            return _items(most_items, unique=unique)


def _one_of(values: tuple[str | int, ...], *, ignore_case: bool) -> Callable[[object], str]:
    rule = f"must be one of {', '.join(map(str, values))}"
    if not ignore_case:
        return lambda value: "" if value in values else rule
    lower = {str(value).lower() for value in values}
    return lambda value: "" if str(value).lower() in lower else rule


def _items(high: int | None, *, unique: bool) -> Callable[[object], str]:
    def test(value: object) -> str:
        items = cast("tuple[str, ...]", value)
        if high is not None and len(items) > high:
            return f"holds {len(items)} elements, {high} are allowed"
        if unique and len(set(items)) != len(items):
            return "holds an element twice"
        return ""

    return test
