"""Every back end does what the reference does: any sequence of calls, compared step by step."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import aclosing
from pathlib import Path

import pytest
from conftest import BACK_ENDS
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from ocicat.errors import Compacted, OcicatError
from ocicat.store.base import Compare, Delete, Put, Unchanged
from ocicat.store.memory import MemoryStore
from ocicat.store.open import open_store

KEYS = st.sampled_from(["/a", "/a/1", "/a/2", "/b/\U0001f408", "/b/é", "/c"])
PREFIXES = st.sampled_from(["", "/", "/a", "/a/", "/b/", "/nothing"])
NAMES = st.integers(1, 3)  # ours for leases; 0: none
OPERATIONS = st.lists(
    st.builds(Put, KEYS, st.binary(max_size=4), st.just(0) | NAMES) | st.builds(Delete, KEYS),
    max_size=4,
    unique_by=lambda one: one.key,
)
LONG_S = 100_000
NEVER_GRANTED = 2**62
EXAMPLES = {"etcd": 8, "etcd-newer": 4, "etcd-cluster": 4}  # a server is started for each, or emptied


class Pair(RuleBasedStateMachine):
    """The same calls to both; `base` is the difference of their revisions."""

    back_end = ""

    @initialize()
    def begin(self):
        self.folder = tempfile.TemporaryDirectory(prefix="oct-")
        self.runner = asyncio.Runner()
        self.model = MemoryStore()
        self.store = self.run(open_store(BACK_ENDS[self.back_end](Path(self.folder.name))))
        self.base = self.run(self.store.status()).revision
        self.leases = {}  # name -> (id in the store, id in the model)

    def run(self, call):
        return self.runner.run(call)

    def both(self, call):
        """The outcomes of `call(store, base)` on both stores: a value, or the type of the error."""
        outcomes = []
        for store, base in ((self.store, self.base), (self.model, 0)):
            try:
                outcomes.append(self.run(call(store, base)))
            except OcicatError as error:
                outcomes.append(type(error))
        return outcomes

    def lease(self, store, name):
        return self.leases.get(name, (NEVER_GRANTED, NEVER_GRANTED))[store is self.model]

    def same_commit(self, condition, operations):
        """`condition` is made from the base; None: no condition."""

        def call(store, base):
            named = [
                one
                if isinstance(one, Delete) or not one.lease
                else Put(one.key, one.value, self.lease(store, one.lease))
                for one in operations
            ]
            return store.commit([condition(base)] if condition else [], named)

        ours, model = self.both(call)
        assert ours == (model + self.base if isinstance(model, int) else model)

    @rule(operations=OPERATIONS)
    def write(self, operations):
        self.same_commit(None, operations)

    @rule(name=NAMES)
    def grant(self, name):
        ours, model = self.both(lambda store, _: store.grant(LONG_S))
        self.leases[name] = (ours.id, model.id)

    @rule(name=NAMES)
    def renew(self, name):
        ours, model = self.both(lambda store, _: store.renew(self.lease(store, name)))
        assert ours == model

    @rule(name=NAMES)
    def revoke(self, name):
        self.both(lambda store, _: store.revoke(self.lease(store, name)))

    @rule(key=KEYS, age=st.integers(0, 2), operations=OPERATIONS)
    def swap(self, key, age, operations):
        """With the right revision, with an older one, or with none."""
        item = self.run(self.model.get(key))
        modified = max(item.modified - age, 0) if item else age
        self.same_commit(lambda base: Compare(key, modified + base if modified else 0), operations)

    @rule(prefix=PREFIXES, back=st.integers(-1, 6), operations=OPERATIONS)
    def swap_prefix(self, prefix, back, operations):
        revision = max(self.revision() - back, 0)
        self.same_commit(lambda base: Unchanged(prefix, revision + base), operations)

    @rule(back=st.integers(-1, 6))
    def compact(self, back):
        ours, model = self.both(lambda store, base: store.compact(self.revision() - back + base))
        assert ours == model

    @rule(prefix=PREFIXES, back=st.integers(0, 8))
    def watch(self, prefix, back):
        """All the events there are, from some revision on."""
        start = max(self.revision() - back, 1)
        ours, model = self.both(lambda store, base: self.history(store, prefix, start + base, self.revision() + base))
        if model is Compacted:
            assert ours is Compacted
        else:
            assert ours == [(key, value, revision + self.base) for key, value, revision in model]

    async def history(self, store, prefix, start, last):
        """Up to `last`, which a commit of this function marks."""
        mark = prefix + "~"
        await store.commit([], [Put(mark, b"")])
        found = []
        async with aclosing(store.watch(prefix, start)) as watch:
            async for batch in watch:
                found += [(event.key, event.value, event.revision) for event in batch.events]
                if found[-1][0] == mark and found[-1][2] > last:
                    break
        return found

    @rule()
    def reopen(self):
        if self.back_end != "memory":
            self.run(self.store.close())
            self.store = self.run(open_store(BACK_ENDS[self.back_end](Path(self.folder.name))))

    @rule(prefix=PREFIXES)
    def range(self, prefix):
        ours, model = self.both(lambda store, _: store.range(prefix))
        assert self.plain(ours, 0) == self.plain(model, 1)

    @invariant()
    def same_present(self):
        if hasattr(self, "store"):
            self.range("")

    def plain(self, snapshot, side):
        base, names = (self.base, 0)[side], {ids[side]: name for name, ids in self.leases.items()}
        items = [
            (item.key, item.value, item.created - base, item.modified - base, self.place(names, item.lease))
            for item in snapshot.items
        ]
        return snapshot.revision - base, items

    def place(self, names, lease):
        """One that was replaced under its name has none any more."""
        return names.get(lease, "replaced") if lease else "none"

    def revision(self):
        return self.run(self.model.status()).revision

    def teardown(self):
        if hasattr(self, "store"):
            self.run(self.store.close())
        self.runner.close()
        self.folder.cleanup()


@pytest.mark.parametrize("back_end", [name for name in BACK_ENDS if name != "memory"])
def test_any_sequence_of_calls_has_the_outcome_of_the_reference(back_end):
    machine = type("Pair", (Pair,), {"back_end": back_end})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES.get(back_end, 25),
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
