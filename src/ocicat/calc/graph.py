"""The nodes, wired: updates of the datastore in, batches for this host's dataplane out.

    update(key, value)
           |
      Dispatcher ----------------------------------------------------------> problems()
           | blocks, nodes     | profiles                  | endpoints
           |                   |                           |
           |                   +-> labels --> LabelIndex <-+-> addresses --> SetMembers
           |                   |                 ^   |     |                   ^  |
           v                   v rules           |   +-----|-- match started --+  |
        Routes          ActivePolicies <---------|---------+    or stopped        |
           |                   | profiles        |         | those of this host   |
           |                   v in use          |         |                      |
           |              RuleScanner -- sets opened, closed ----------(also)-----+
           |                   |                           |                      |
           | blocks            | rules                     | endpoints            | members
           +-------------------+-------- Sequencer --------+----------------------+
                                             |
                                         flush() -> Batch

Promises: 1. `update` never raises for what a value holds; 2. `flush` gives nothing before `in_sync`, then everything once, then
changes; 3. the sum of all batches depends on what the datastore holds now, never on the order in which it came.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from ocicat.calc.active_policies import ActivePolicies
from ocicat.calc.dispatcher import Dispatcher, feed
from ocicat.calc.label_index import LabelIndex
from ocicat.calc.records import (
    BlockRecord,
    EndpointRecord,
    NodeRecord,
    read_block,
    read_endpoint,
    read_node,
    read_profile,
)
from ocicat.calc.routes import Routes
from ocicat.calc.rule_scan import RuleScanner
from ocicat.calc.sequencer import Sequencer
from ocicat.calc.set_members import SetMembers
from ocicat.model import keys
from ocicat.model.resources import ProfileSpec
from ocicat.model.wanted import Batch, Endpoint
from ocicat.selector import Selector


class Graph:
    """`host` is the name by which endpoints (`spec.node`) and blocks (`host:NAME`) call the host we calculate for."""

    __slots__ = ("_active", "_dispatcher", "_labels", "_members", "_routes", "_scanner", "_sequencer")

    def __init__(self, host: str) -> None:
        self._sequencer = Sequencer()
        self._routes = Routes(host, self._sequencer)
        self._members = SetMembers(self._sequencer)
        self._labels = LabelIndex(started=self._members.match_started, stopped=self._members.match_stopped)
        self._scanner = RuleScanner(self._sequencer, opened=self._open_set, closed=self._close_set)
        self._active = ActivePolicies(self._scanner)
        self._dispatcher = Dispatcher(
            {
                keys.WORKLOADS: feed(partial(read_endpoint, host), self._endpoint),
                keys.PROFILES: feed(read_profile, self._profile),
                keys.NODES: feed(read_node, self._node),
                keys.BLOCKS: feed(read_block, self._block),
            }
        )

    def update(self, key: str, value: bytes | None) -> None:
        """`key` holds `value` from now on; None: it does not exist. Keys of kinds we do not use are skipped."""
        self._dispatcher.update(key, value)

    def in_sync(self) -> None:
        """All that the datastore held at the start has been passed to `update`."""
        self._sequencer.in_sync()

    def flush(self, revision: int) -> Batch:
        """What changed since the last flush; `revision` is that of the last update."""
        return self._sequencer.flush(revision)

    def problems(self) -> Mapping[str, str]:
        """What is wrong with the datastore's objects now, by key: unreadable ones, and rules in use here that we cannot enforce."""
        found = [*self._dispatcher.problems(), *self._scanner.problems()]
        return {problem.key: problem.text for problem in sorted(found, key=lambda problem: problem.key)}

    def _endpoint(self, key: str, record: EndpointRecord | None) -> None:
        # The address first: sets that the endpoint goes on matching exchange it, and those it leaves give back the new one.
        self._members.readdress(key, record.addresses if record else (), self._labels.matches(key))
        if record is None:
            self._labels.remove_item(key)
        else:
            self._labels.set_item(key, record.labels, record.profiles)
        self._local_endpoint(key, record)

    def _local_endpoint(self, key: str, record: EndpointRecord | None) -> None:
        if record is None or record.interface is None:
            self._active.set_endpoint(key, ())
            self._sequencer.endpoint(key, None)
        else:
            self._active.set_endpoint(key, record.profiles)
            wanted = Endpoint(key, record.interface, record.addresses, record.profiles)
            self._sequencer.endpoint(key, wanted)

    def _profile(self, key: str, profile: ProfileSpec | None) -> None:
        name = keys.name_of(key)
        self._labels.set_parent(name, profile.labels_to_apply if profile else {})
        self._active.set_profile(name, profile)

    def _node(self, key: str, node: NodeRecord | None) -> None:
        self._routes.set_node(keys.name_of(key), node)

    def _block(self, key: str, block: BlockRecord | None) -> None:
        self._routes.set_block(key, block)

    def _open_set(self, selector: Selector) -> None:
        self._members.open(selector.uid)
        self._labels.add_selector(selector)

    def _close_set(self, set_id: str) -> None:
        # Forgotten by the index first: nothing may start or stop matching a set that is no more.
        self._labels.remove_selector(set_id)
        self._members.close(set_id)
