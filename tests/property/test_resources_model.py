"""Any batches of changes, and somebody else in between, against a model in a dictionary: all or nothing, and the right all."""

from __future__ import annotations

import asyncio

from hypothesis import example, given, settings
from hypothesis import strategies as st

from ocicat.model.v3.document import parse
from ocicat.model.v3.kinds import KINDS
from ocicat.resources import Apply, Create, Delete, Label, Rejected, Rejection, Replace, commit, commit_each, listing
from ocicat.store.memory import MemoryStore

TIERS, POLICIES = ("red", "blue"), ("a", "b", "red.c")
WORDS = {
    "create": Create,
    "apply": Apply,
    "replace": Replace,
}

# What is kept of an object: its labels and, of a policy, its tier.
names = st.one_of(
    st.tuples(st.just("Tier"), st.sampled_from(TIERS)),
    st.tuples(st.just("GlobalNetworkPolicy"), st.sampled_from(POLICIES)),
)
contents = st.tuples(st.sampled_from(["", "1", "2"]), st.sampled_from(["default", *TIERS]))
asked = st.tuples(st.sampled_from([*WORDS, "delete", "label"]), names, contents)
batches = st.lists(asked, min_size=1, max_size=5, unique_by=lambda one: one[1])


few = st.lists(asked, min_size=1, max_size=2, unique_by=lambda one: one[1])

# A tier with a policy in it, and one without: where the rules between objects begin to bite.
START = [("create", ("Tier", "red"), ("1", "")), ("create", ("Tier", "blue"), ("1", ""))]
HELD = ("create", ("GlobalNetworkPolicy", "a"), ("1", "red"))


def change(verb, target, content):
    kind, name = target
    label, tier = content
    if verb == "delete":
        return Delete(kind=KINDS[kind], name=name)
    if verb == "label":
        return Label(kind=KINDS[kind], name=name, put={"l": label}, overwrite=True)
    metadata = {"name": name, "labels": {"l": label}}
    spec = {"order": 1} if kind == "Tier" else {"tier": tier}
    document = parse({"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": metadata, "spec": spec})
    return WORDS[verb](document=document)


def predicted(state, batch):
    """The state after the batch and the targets that stand in its way, without any thought of how it is done."""
    after, wrong = dict(state), set()
    for verb, target, (label, tier) in batch:
        there = target in state
        if (verb == "create" and there) or (verb in ("replace", "delete", "label") and not there):
            wrong.add(target)
        elif verb == "delete":
            del after[target]
        elif verb == "label":
            after[target] = (label, state[target][1])
        else:
            after[target] = (label, "" if target[0] == "Tier" else tier)
    written = {target for _, target, _ in batch if after.get(target) != state.get(target)} - wrong
    for target in written:
        kind, name = target
        if kind == "Tier":
            if target not in after and any(of[0] != "Tier" and held[1] == name for of, held in after.items()):
                wrong.add(target)
        elif target in after and after[target][1] not in ("default", *(of[1] for of in after if of[0] == "Tier")):
            wrong.add(target)
    return after, wrong


async def contents_of(store):
    found = [one for kind in ("Tier", "GlobalNetworkPolicy") for one in (await listing(store, KINDS[kind])).items]
    return {
        (one.kind.name, one.name): (one.resource.metadata.labels["l"], getattr(one.resource.spec, "tier", ""))
        for one in found
    }


class Rivalled(MemoryStore):
    """Somebody else commits a batch before our first commit."""

    rival = None

    async def commit(self, conditions, operations):
        rival, self.rival = self.rival, None
        if rival is not None:
            await write(self, rival)
        return await super().commit(conditions, operations)


async def write(store, batch):
    """The targets in its way."""
    try:
        await commit(store, [change(*one) for one in batch])
    except Rejected as error:
        return {(one.kind.name, one.name) for one in error.rejections}
    return set()


@given(st.lists(batches, min_size=1, max_size=6))
@settings(max_examples=150, deadline=None)
def test_all_or_nothing(steps):
    async def scenario():
        store, state = MemoryStore(), {}
        for batch in [[*START, HELD], *steps]:
            after, wrong = predicted(state, batch)
            assert await write(store, batch) == wrong
            state = state if wrong else after
            assert await contents_of(store) == state

    asyncio.run(scenario())


@given(held=st.booleans(), rival=few, ours=few)
@example(
    held=False,
    rival=[("create", ("GlobalNetworkPolicy", "b"), ("1", "blue"))],
    ours=[("delete", ("Tier", "blue"), ("", ""))],
)
@example(
    held=False,
    rival=[("apply", ("Tier", "red"), ("", ""))],
    ours=[("create", ("GlobalNetworkPolicy", "a"), ("", "default")), ("apply", ("Tier", "red"), ("1", ""))],
)
@settings(max_examples=300, deadline=None)
def test_a_rival_is_as_if_he_had_come_before_or_after(held, rival, ours):
    async def scenario():
        store = Rivalled()
        start = [*START, HELD] if held else START
        await write(store, start)
        state, _ = predicted({}, start)
        store.rival = rival
        rejected = await write(store, ours)
        if store.rival is not None:  # it never came to a commit: nothing to write, or refused at once
            after, wrong = predicted(state, ours)
            assert rejected == wrong
            assert wrong or after == state
            return
        before, wrong = predicted(state, rival)
        state = state if wrong else before
        after, wrong = predicted(state, ours)
        assert rejected == wrong
        assert await contents_of(store) == (state if wrong else after)

    asyncio.run(scenario())


@given(batches)
@settings(max_examples=150, deadline=None)
def test_each_leaves_out_only_what_cannot_be(batch):
    async def scenario():
        store = MemoryStore()
        await write(store, [*START, HELD])
        state, _ = predicted({}, [*START, HELD])
        done = await commit_each(store, [change(*one) for one in batch])
        rejected = {(one.kind.name, one.name) for one in done if isinstance(one, Rejection)}
        left = [one for one in batch if one[1] not in rejected]
        after, wrong = predicted(state, left)
        assert not wrong
        assert await contents_of(store) == after
        assert {(one.kind.name, one.name) for one in done} == {target for _, target, _ in batch}
        assert predicted(state, batch)[1] <= rejected

    asyncio.run(scenario())
