"""Many changes, and what is there: one transaction, or every reason why there can be none. Pure.

1. The rules between objects see what will be there when all changes are made: a policy may use a tier that comes with it, a tier
   may go with its policies.
2. Everything that was relied on stands in the conditions: each key that is written or found to be as asked for, the tier of a
   policy, and where others may not appear meanwhile (a second pool, a policy in a tier that is deleted) the whole prefix.
3. A transaction holds a limited number of conditions. Of more than `MOST` the keys of a prefix are compared as one: a write in
   between is then still noticed, only a deletion is not, and counts as having come before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

from ocicat.errors import UserError
from ocicat.model import keys
from ocicat.model.base import Struct, replace
from ocicat.model.v3.addressing import IPPool
from ocicat.model.v3.defaults import FIXED_TIERS
from ocicat.model.v3.document import Document, merge_metadata
from ocicat.model.v3.endpoints import Node
from ocicat.model.v3.metadata import Resource
from ocicat.model.v3.policy import GlobalNetworkPolicy, NetworkPolicy
from ocicat.model.v3.staged import StagedGlobalNetworkPolicy, StagedNetworkPolicy
from ocicat.resources import stored
from ocicat.resources.change import REFUSED, Change, Fault, Outcome, Rejection, identity, rejection, remark
from ocicat.resources.change import Delete as Deletion
from ocicat.resources.step import Found, Origin, Step, take
from ocicat.resources.upkeep import Upkeep
from ocicat.resources.view import POLICIES, TIERS, View
from ocicat.resources.world import ChangedWorld
from ocicat.store.base import Compare, Condition, Delete, Operation, Put, Unchanged
from ocicat.validate import conflicts, reasons_to_keep

MOST = 100


@dataclass(slots=True)
class Planned:
    """One change that can be made, as far as it was looked at. `key`: where the object lies, or will."""

    change: Change
    key: str
    found: Found | None
    step: Step
    also: list[str] = field(default_factory=list)

    @property
    def before(self) -> Document | None:
        """As it was read; None: there was none, or it cannot be read."""
        return self.found.stored.document if self.found and self.found.stored else None

    @property
    def writes(self) -> bool:
        return self.step.action not in ("unchanged", "skipped")

    def outcome(self, revision: int | None) -> Outcome:
        """`revision`: of the commit; None: there was none."""
        after = self.step.after if self.writes else self.before
        return Outcome(
            action=self.step.action,
            kind=self.change.kind,
            name=self.change.name,
            namespace=self.change.namespace,
            where=self.change.where,
            before=self.before,
            after=_at_revision(after, revision) if after is not None and self.writes else after,
            also=tuple(self.also),
            remarks=tuple(remark(self.change, fault) for fault in self.step.remarks),
        )


@dataclass(slots=True)
class Plan:
    planned: list[Planned]
    rejections: list[Rejection]
    conditions: list[Condition] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)


def plan(changes: Sequence[Change], origins: Sequence[Origin], view: View) -> Plan:
    """With any rejection there are no conditions and operations."""
    made = Plan([], [*twice(changes)])
    for change, origin in zip(changes, origins, strict=True):
        _take(made, change, origin, view)
    upkeep = Upkeep(view)
    written = [one for one in made.planned if one.writes]
    world = ChangedWorld(view, {one.key: one.step.after for one in written})
    for one in sorted(written, key=_after_nodes):
        made.rejections += (rejection(one.change, fault) for fault in _between(one, world, upkeep))
    places = {identity(change): place for place, change in enumerate(changes)}
    made.rejections.sort(key=lambda one: places[identity(one)])
    if not made.rejections:
        _transaction(made, view, upkeep)
    return made


def twice(changes: Sequence[Change]) -> Iterator[Rejection]:
    """Of an object for which two changes are asked."""
    first: dict[tuple[str, str, str], Change] = {}
    for change in changes:
        other = first.setdefault(identity(change), change)
        if other is not change:
            where = f", also at {other.where}" if other.where else ""
            yield rejection(change, Fault(f"is given twice{where}", "say once what shall become of it"))


def _take(made: Plan, change: Change, origin: Origin, view: View) -> None:
    try:
        found = view.find(change.kind, change.name, change.namespace)
    except UserError as error:
        made.rejections.append(rejection(change, Fault(error.message, error.hint, field="metadata")))
        return
    result = take(change, found, origin)
    if isinstance(result, Step):
        made.planned.append(Planned(change, found.key if found else _new_key(change, result), found, result))
    else:
        made.rejections += (rejection(change, fault) for fault in result)


def _new_key(change: Change, step: Step) -> str:
    candidates = stored.lookup_keys(change.kind, change.name, change.namespace)
    if not change.kind.tiered or step.after is None:
        return candidates[0]
    return change.kind.key(change.kind.new_name(change.name, _tier_of(step.after.resource)), change.namespace)


# --- rules between objects ----------------------------------------------------------------------------------------


def _between(one: Planned, world: ChangedWorld, upkeep: Upkeep) -> Iterator[Fault]:
    if one.step.after is not None:
        for broken in conflicts(one.step.after.resource, world, creates=one.before is None):
            yield Fault(str(broken), field=broken.field)
    elif one.before is not None:
        resource = one.before.resource
        yield from (Fault(str(broken), exit_code=REFUSED) for broken in reasons_to_keep(resource, world))
        yield from _upkeep(one, resource, upkeep)


def _after_nodes(one: Planned) -> bool:
    """Pools come last: a node that goes gives addresses back."""
    return one.change.kind.name == "IPPool"


def _upkeep(one: Planned, resource: Resource, upkeep: Upkeep) -> Iterator[Fault]:
    force = isinstance(one.change, Deletion) and one.change.force
    lines: Iterable[str | Fault] = ()
    if isinstance(resource, IPPool):
        lines = upkeep.forget_pool(resource, force=force)
    elif isinstance(resource, Node):
        lines = upkeep.forget_node(resource, force=force)
    for line in lines:
        if isinstance(line, Fault):
            yield line
        else:
            one.also.append(line)


def _tier(one: Planned) -> str:
    """Of a policy that will be there; else nothing."""
    return _tier_of(one.step.after.resource) if one.step.after else ""


def _tier_of(resource: Resource) -> str:
    policies = NetworkPolicy | GlobalNetworkPolicy | StagedNetworkPolicy | StagedGlobalNetworkPolicy
    return resource.spec.tier if isinstance(resource, policies) else ""


# --- the transaction ----------------------------------------------------------------------------------------------


def _transaction(made: Plan, view: View, upkeep: Upkeep) -> None:
    written = [one for one in made.planned if one.writes]
    operations = upkeep.operations() | {one.key: _operation(one) for one in written}
    conditions = upkeep.conditions()
    for one in made.planned:  # also what stays as it is: all of it holds at the revision of the commit
        conditions += _relied_on(one, view)
    tiers = {TIERS + tier for one in written if (tier := _tier(one)) not in ("", *FIXED_TIERS)}
    for key in sorted(tiers - operations.keys()):
        conditions.append(Compare(key, view.modified(key)))
    if operations:
        made.operations = list(operations.values())
        made.conditions = _few_enough([view.lock(), *dict.fromkeys(conditions)], view)


def _operation(one: Planned) -> Operation:
    if one.step.after is None:
        return Delete(one.key)
    return Put(one.key, stored.value(one.change.kind, one.key, one.step.after.raw))


def _relied_on(one: Planned, view: View) -> Iterator[Condition]:
    kind = one.change.kind
    lies_at = {one.key} if one.found else {one.key, *stored.lookup_keys(kind, one.change.name, one.change.namespace)}
    yield from (Compare(key, view.modified(key)) for key in sorted(lies_at))
    if not one.writes:
        return
    if kind.name == "IPPool" and one.before is None:
        yield Unchanged(keys.POOLS, view.read_at(keys.POOLS))
    if kind.name == "Tier" and one.step.after is None:
        yield from (Unchanged(policies.prefix(), view.read_at(policies.prefix())) for policies in POLICIES)


def _few_enough(conditions: list[Condition], view: View) -> list[Condition]:
    """The prefixes with the most compares take theirs together, until the rest is few."""
    crowd = Counter(prefix for one in conditions if isinstance(one, Compare) for prefix in _covering(one.key, view))
    for prefix, _ in crowd.most_common():
        if len(conditions) <= MOST:
            break
        others = (one for one in conditions if not (isinstance(one, Compare) and one.key.startswith(prefix)))
        conditions = list(dict.fromkeys((*others, Unchanged(prefix, view.read[prefix]))))
    return conditions


def _covering(key: str, view: View) -> Iterator[str]:
    return (prefix for prefix in view.read if key.startswith(prefix))


def _at_revision(document: Document, revision: int | None) -> Document:
    """As a reader finds it now."""
    version = "" if revision is None else str(revision)
    metadata = replace(document.resource.metadata, resource_version=version)
    resource = cast("Resource", replace(cast("Struct", document.resource), metadata=metadata))
    return replace(document, resource=resource, raw=merge_metadata(document.raw, resourceVersion=version or None))
