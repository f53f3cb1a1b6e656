"""Resources on every datastore: what a transaction of theirs needs of a store, and writers that get in each other's way."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing

import pytest

from ocicat.model import keys
from ocicat.model.v3.document import parse
from ocicat.model.v3.kinds import KINDS
from ocicat.resources import Apply, Create, Delete, Label, Rejected, commit, commit_each, get, listing, watch

MANY = 300  # more than a transaction of etcd has compares or operations on one level


def doc(kind, name, spec=None, **metadata):
    own = {"name": name, **({"namespace": "shop"} if KINDS[kind].namespaced else {})} | metadata
    return parse({"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": own, "spec": spec or {}})


def create(kind, name, spec=None):
    return Create(document=doc(kind, name, spec))


def delete(kind, name, **options):
    return Delete(kind=KINDS[kind], name=name, **options)


class Overtaken:
    """The store, with somebody else who writes just before our first commit."""

    def __init__(self, store, *changes):
        self.real = store
        self.changes = changes

    async def get(self, key):
        return await self.real.get(key)

    async def range(self, prefix):
        return await self.real.range(prefix)

    async def commit(self, conditions, operations):
        changes, self.changes = self.changes, ()
        if changes:
            await commit(self.real, changes)
        return await self.real.commit(conditions, operations)


def test_a_life(on_store):
    @on_store
    async def _(store):
        first = await commit(store, [create("NetworkPolicy", "web", {"order": 1})])
        assert first[0].action == "created"
        (found,) = (await listing(store, KINDS["NetworkPolicy"], "shop")).items
        assert found.document == first[0].after
        label = Label(kind=KINDS["NetworkPolicy"], name="web", namespace="shop", put={"a": "b"})
        (labeled,) = await commit(store, [label])
        assert labeled.after == (await get(store, KINDS["NetworkPolicy"], "web", "shop")).document
        stale = Apply(document=first[0].after)
        with pytest.raises(Rejected) as caught:
            await commit(store, [stale])
        assert caught.value.exit_code == 3
        await commit(store, [delete("NetworkPolicy", "web", namespace="shop")])
        async with aclosing(watch(store, KINDS["NetworkPolicy"], revision=found.revision)) as changes:
            seen = [await anext(changes) for _ in range(3)]
        assert [(one.action, one.name) for one in seen] == [("added", "web"), ("modified", "web"), ("deleted", "web")]
        assert seen[1].item.document == labeled.after


def test_many_objects_are_one_transaction(on_store):
    @on_store
    async def _(store):
        names = [f"p{number}" for number in range(MANY)]
        made = await commit(store, [create("Profile", name) for name in names])
        assert len({one.after.raw["metadata"]["resourceVersion"] for one in made}) == 1
        changed = await commit(store, [Apply(document=doc("Profile", name, labels={"a": "b"})) for name in names])
        assert {one.action for one in changed} == {"configured"}
        assert len((await listing(store, KINDS["Profile"], selector="a == 'b'")).items) == MANY
        with pytest.raises(Rejected) as caught:
            await commit(store, [delete("Profile", name) for name in [*names, "nix"]])
        assert [str(one) for one in caught.value.rejections] == ["Profile nix: there is none"]
        done = await commit_each(store, [delete("Profile", name) for name in [*names, "nix"]])
        assert len(done) == MANY + 1
        assert (await listing(store, KINDS["Profile"])).items == ()


def test_one_change_among_many_is_noticed(on_store):
    @on_store
    async def _(store):
        names = [f"p{number}" for number in range(MANY)]
        await commit(store, [create("Profile", name) for name in names])
        other = Label(kind=KINDS["Profile"], name="p200", put={"other": "1"})
        ours = [Label(kind=KINDS["Profile"], name=name, put={"a": "b"}) for name in names]
        await commit(Overtaken(store, other), ours)
        assert (await get(store, KINDS["Profile"], "p200")).resource.metadata.labels == {"a": "b", "other": "1"}


def test_somebody_else_was_first(on_store):
    @on_store
    async def _(store):
        await commit(store, [create("Tier", "sec", {"order": 5}), create("Profile", "a")])
        label = Label(kind=KINDS["Profile"], name="a", put={"mine": "1"})
        await commit(Overtaken(store, Label(kind=KINDS["Profile"], name="a", put={"theirs": "1"})), [label])
        assert (await get(store, KINDS["Profile"], "a")).resource.metadata.labels == {"mine": "1", "theirs": "1"}
        rivals = [
            (
                create("IPPool", "theirs", {"cidr": "10.0.1.0/24"}),
                create("IPPool", "p", {"cidr": "10.0.0.0/16"}),
                "overlaps",
            ),
            (create("NetworkPolicy", "sec.a", {"tier": "sec"}), delete("Tier", "sec"), "holds 1 policies"),
            (create("Profile", "b"), create("Profile", "b"), "exists already"),
            (delete("Profile", "b"), Label(kind=KINDS["Profile"], name="b", put={"a": "b"}), "there is none"),
        ]
        for theirs, ours, message in rivals:
            with pytest.raises(Rejected, match=message):
                await commit(Overtaken(store, theirs), [ours])


def test_of_overlapping_pools_one_is_made(on_store):
    @on_store
    async def _(store):
        pools = [create("IPPool", f"p{length}", {"cidr": f"10.0.0.0/{length}"}) for length in range(16, 24)]
        ended = await asyncio.gather(*(commit(store, [pool]) for pool in pools), return_exceptions=True)
        assert sum(isinstance(one, tuple) for one in ended) == 1
        assert all(isinstance(one, tuple | Rejected) for one in ended)
        assert len((await listing(store, KINDS["IPPool"])).items) == 1


def test_labels_of_many_writers_all_arrive(on_store):
    @on_store
    async def _(store):
        await commit(store, [create("Profile", "a")])

        async def write(number):
            await commit(store, [Label(kind=KINDS["Profile"], name="a", put={f"l{number}": "1"})])

        await asyncio.gather(*(write(number) for number in range(8)))
        assert len((await get(store, KINDS["Profile"], "a")).resource.metadata.labels) == 8


def test_a_node_with_all_that_is_its_own(on_store):
    @on_store
    async def _(store):
        spec = {"node": "h1", "orchestrator": "mesos", "endpoint": "eth0", "interfaceName": "oc1"}
        endpoints = [
            create("WorkloadEndpoint", f"h1-mesos-w{number}-eth0", spec | {"workload": f"w{number}"})
            for number in range(MANY)
        ]
        await commit(store, [create("Node", "h1"), *endpoints])
        (gone,) = await commit(store, [delete("Node", "h1", force=True)])
        assert len(gone.also) == MANY
        assert (await store.range("/calico/")).items == ()


def test_what_lies_in_the_store_is_calicos_form(on_store):
    @on_store
    async def _(store):
        config = {"strictAffinity": True, "autoAllocateBlocks": True}
        await commit(store, [create("IPAMConfiguration", "default", config), create("GlobalNetworkPolicy", "g")])
        stored = {item.key: json.loads(item.value) for item in (await store.range("/")).items}
        policy = "/calico/resources/v3/projectcalico.org/globalnetworkpolicies/default.g"
        assert list(stored) == [keys.IPAM_CONFIG, policy]
        assert stored[keys.IPAM_CONFIG]["strict_affinity"] is True
        assert stored[policy]["metadata"]["name"] == "default.g"
        assert "resourceVersion" not in stored[policy]["metadata"]
