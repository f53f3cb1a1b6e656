"""Delta against a model that computes the difference anew each time, in any sequence of operations."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ocicat.dataplane.reconcile.delta import Delta

KEYS = st.integers(0, 6)
VALUES = st.sampled_from("xyz")


class DeltaAgainstModel(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.delta = Delta()
        self.wanted = {}
        self.there = {}
        self.released = set()

    def _settle(self):
        self.released = {key for key in self.released if key in self.there and key not in self.wanted}

    @rule(key=KEYS, value=VALUES)
    def want(self, key, value):
        self.delta.want(key, value)
        self.wanted[key] = value
        self._settle()

    @rule(key=KEYS)
    def unwant(self, key):
        self.delta.unwant(key)
        self.wanted.pop(key, None)
        self.released.add(key)
        self._settle()

    @rule(key=KEYS, value=VALUES)
    def now_there(self, key, value):
        self.delta.now_there(key, value)
        self.there[key] = value
        self._settle()

    @rule(key=KEYS)
    def now_gone(self, key):
        self.delta.now_gone(key)
        self.there.pop(key, None)
        self._settle()

    @rule(there=st.dictionaries(KEYS, VALUES))
    def found(self, there):
        self.delta.found(there)
        self.there = dict(there)
        self._settle()

    @rule()
    def apply_everything(self):
        for key, value in self.delta.updates().items():
            self.now_there(key, value)
        for key in self.delta.deletes(sweep=True):
            self.now_gone(key)
        assert self.there == self.wanted

    @invariant()
    def updates_are_what_is_missing_or_different(self):
        expected = {key: value for key, value in self.wanted.items() if self.there.get(key) != value}
        assert self.delta.updates() == expected

    @invariant()
    def deletes_are_what_is_there_and_not_wanted(self):
        assert set(self.delta.deletes(sweep=True)) == self.there.keys() - self.wanted.keys()
        assert set(self.delta.deletes(sweep=False)) == self.released

    @invariant()
    def a_key_is_settled_when_nothing_is_to_be_done_about_it(self):
        open_keys = {*self.delta.updates(), *self.delta.deletes(sweep=True)}
        assert all(self.delta.settled(key) == (key not in open_keys) for key in range(7))
        assert self.delta.pending == bool(open_keys)


DeltaAgainstModel.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestDelta = DeltaAgainstModel.TestCase


def test_updates_come_in_the_order_in_which_they_were_asked_for():
    delta = Delta()
    for key in "cab":
        delta.want(key, 1)
    assert list(delta.updates()) == ["c", "a", "b"]
