"""Reading resources: one, all, and what becomes of them; also those that the datastore keeps in another form."""

from __future__ import annotations

from contextlib import aclosing

import pytest
from resources_bed import SHOP, Bed, apply, create, delete, manifest, put, run

from ocicat.errors import NotFound, UserError
from ocicat.ipam import block as arithmetic
from ocicat.model import keys
from ocicat.model.codec import encode_json
from ocicat.model.net import Cidr
from ocicat.model.v3.kinds import KINDS
from ocicat.resources import Label, get, listing, watch
from ocicat.store.base import Delete, Put

PROFILES = KINDS["Profile"]


@pytest.fixture
def bed():
    return Bed()


# --- one ----------------------------------------------------------------------------------------------------------


def test_get(bed):
    async def scenario():
        await bed.commit(create("Profile", "b"))
        await bed.commit(create("Profile", "a"))
        found = await bed.get("Profile", "a")
        assert (found.key, found.revision, found.kind.name, found.namespace) == (keys.profile("a"), 2, "Profile", "")
        assert found.resource.metadata.resource_version == "2"
        assert found.document.raw["metadata"]["resourceVersion"] == "2"

    run(scenario())


@pytest.mark.parametrize(
    ("kind", "name", "namespace", "error", "message"),
    [
        ("Profile", "nix", "", NotFound, "Profile nix: there is none"),
        ("NetworkSet", "nix", SHOP, NotFound, "NetworkSet shop/nix: there is none"),
        ("NetworkSet", "nix", "", UserError, "NetworkSet 'nix' lies in a namespace: say which"),
        ("Profile", "a", SHOP, UserError, "Profile 'a' lies in no namespace: leave it out"),
        ("Profile", "broken", "", UserError, "Profile broken: spec: expected `object`, got `int`"),
        ("Profile", "other", "", UserError, "Profile other: kind: 'Tier' must be 'Profile'"),
        ("Profile", "list", "", UserError, "Profile list: expected `object`, got `array`"),
        ("BlockAffinity", "nix", "", NotFound, "BlockAffinity nix: there is none"),
        ("IPAMConfiguration", "other", "", NotFound, "IPAMConfiguration other: there is none"),
    ],
)
def test_what_cannot_be_got(bed, kind, name, namespace, error, message):
    async def scenario():
        await bed.store.write(
            put(keys.profile("broken"), manifest("Profile", "broken") | {"spec": 7}),
            put(keys.profile("other"), manifest("Tier", "other")),
            put(keys.profile("list"), []),
        )
        with pytest.raises(error) as caught:
            await get(bed.store, KINDS[kind], name, namespace)
        assert caught.value.message == message

    run(scenario())


def test_the_key_decides_what_an_object_is_called(bed):
    async def scenario():
        await bed.store.write(put(keys.profile("a"), manifest("Profile", "liar", resourceVersion="99")))
        found = await bed.get("Profile", "a")
        assert (found.name, found.resource.metadata.resource_version) == ("a", "1")

    run(scenario())


# --- all ----------------------------------------------------------------------------------------------------------


def test_listing(bed):
    async def scenario():
        sets = [("shop", "b"), ("shop", "a"), ("bar", "z")]
        await bed.commit(*(create("NetworkSet", name, namespace=namespace) for namespace, name in sets))
        kind = KINDS["NetworkSet"]
        everything = await listing(bed.store, kind)
        assert [(one.namespace, one.name) for one in everything.items] == sorted(sets)
        assert everything.revision == 1
        assert [one.name for one in (await listing(bed.store, kind, "shop")).items] == ["a", "b"]
        assert (await listing(bed.store, kind, "sho")).items == ()
        with pytest.raises(UserError, match="lies in no namespace"):
            await listing(bed.store, PROFILES, "shop")

    run(scenario())


def test_listing_by_labels(bed):
    async def scenario():
        await bed.commit(create("Profile", "a", labels={"x": "1"}), create("Profile", "b"))
        assert [one.name for one in (await listing(bed.store, PROFILES, selector="has(x)")).items] == ["a"]
        assert [one.name for one in (await listing(bed.store, PROFILES, selector="!has(x)")).items] == ["b"]
        with pytest.raises(UserError):
            await listing(bed.store, PROFILES, selector="x ==")

    run(scenario())


def test_one_unreadable_object_hides_no_other(bed):
    async def scenario():
        await bed.commit(create("Profile", "a"))
        await bed.store.write(put(keys.profile("b"), b"\xff"), put(keys.profile("c/d"), {}))
        found = await listing(bed.store, PROFILES)
        assert [one.name for one in found.items] == ["a"]
        assert len(found.problems) == 1
        assert found.problems[0].startswith("Profile b: ")

    run(scenario())


# --- what becomes of them -----------------------------------------------------------------------------------------


def seen(bed, count, **options):
    async def collect():
        got = []
        async with aclosing(watch(bed.store.real, PROFILES, **options)) as changes:
            async for change in changes:
                got.append((change.action, change.name, change.revision))
                if len(got) == count:
                    return got
        return got

    return collect()


def label(name, labels):
    return Label(kind=PROFILES, name=name, put=labels, overwrite=True)


def test_watch(bed):
    async def scenario():
        await bed.commit(create("Profile", "a"))
        known = (await listing(bed.store, PROFILES)).items
        await bed.commit(label("a", {"x": "1"}))
        await bed.commit(create("Tier", "sec", {"order": 1}))
        await bed.commit(create("Profile", "b"))
        await bed.commit(delete("Profile", "a"))
        await bed.commit(create("Profile", "a"))
        assert await seen(bed, 4, revision=2, known=known) == [
            ("modified", "a", 2),
            ("added", "b", 4),
            ("deleted", "a", 5),
            ("added", "a", 6),
        ]
        assert await seen(bed, 1, revision=2, name="b") == [("added", "b", 4)]

    run(scenario())


def test_what_ceases_to_match_is_gone_for_who_watches(bed):
    async def scenario():
        await bed.commit(create("Profile", "a", labels={"x": "1"}), create("Profile", "b"))
        known = (await listing(bed.store, PROFILES, selector="x == '1'")).items
        await bed.commit(label("b", {"y": "1"}))
        await bed.commit(label("a", {"x": "2"}))
        await bed.commit(label("b", {"x": "1"}))
        await bed.commit(delete("Profile", "a"))
        await bed.commit(delete("Profile", "b"))
        assert await seen(bed, 3, revision=2, selector="x == '1'", known=known) == [
            ("deleted", "a", 3),
            ("added", "b", 4),
            ("deleted", "b", 6),
        ]

    run(scenario())


def test_a_watch_tells_what_cannot_be_read(bed):
    async def scenario():
        await bed.store.write(put(keys.profile("a"), b"{"))
        async with aclosing(watch(bed.store.real, PROFILES, revision=1)) as changes:
            change = await anext(changes)
        assert (change.action, change.item) == ("added", None)
        assert change.problem.startswith("Profile a: ")

    run(scenario())


# --- records of the address manager -------------------------------------------------------------------------------

BLOCK, BLOCK6 = Cidr.parse("10.0.0.0/26"), Cidr.parse("fd00::40/122")


async def address_management(bed):
    block, _ = arithmetic.take(arithmetic.new(BLOCK, "h-1", 5), "handle.1", {"node": "h-1"})
    await bed.store.write(
        Put(keys.block(BLOCK), encode_json(block)),
        Put(keys.block(BLOCK6), encode_json(arithmetic.new(BLOCK6, "h-1", 5))),
        put(keys.affinity("h-1", BLOCK), {"state": "confirmed", "deleted": False}),
        put(keys.affinity("h-1", BLOCK6), {"state": "pending", "deleted": False}),
        put(keys.handle("handle.1"), {"block": {"10.0.0.0/26": 1}, "deleted": False}),
        put(keys.AFFINITIES + "h-1", {}),
        put(keys.IPAM_CONFIG, {"strict_affinity": True}),
    )


@pytest.mark.parametrize(
    ("kind", "name", "spec"),
    [
        (
            "BlockAffinity",
            "h-1-10-0-0-0-26",
            {"node": "h-1", "cidr": "10.0.0.0/26", "state": "confirmed", "deleted": False},
        ),
        (
            "BlockAffinity",
            "h-1-fd00--40-122",
            {"node": "h-1", "cidr": "fd00::40/122", "state": "pending", "deleted": False},
        ),
        ("IPAMHandle", "handle.1", {"handleID": "handle.1", "block": {"10.0.0.0/26": 1}, "deleted": False}),
        ("IPAMConfiguration", "default", {"strictAffinity": True, "autoAllocateBlocks": False}),
    ],
)
def test_records_in_the_form_of_resources(bed, kind, name, spec):
    async def scenario():
        await address_management(bed)
        found = await bed.get(kind, name)
        assert found.document.raw["spec"] == spec
        assert found.document.unknown == ()
        assert found in (await listing(bed.store, KINDS[kind])).items

    run(scenario())


def test_blocks(bed):
    async def scenario():
        await address_management(bed)
        found = (await listing(bed.store, KINDS["IPAMBlock"])).items
        assert [one.name for one in found] == ["10-0-0-0-26", "fd00--40-122"]
        spec = (await bed.get("IPAMBlock", "10-0-0-0-26")).resource.spec
        assert (spec.cidr, spec.affinity, spec.allocations[:2]) == ("10.0.0.0/26", "host:h-1", (0, None))
        assert spec.attributes[0].handle_id == "handle.1"
        assert (await bed.get("IPAMBlock", "fd00--40-122")).resource.spec.cidr == "fd00::40/122"

    run(scenario())


def test_no_record_is_there_twice_or_foreign(bed):
    async def scenario():
        await address_management(bed)
        await bed.store.write(put(keys.IPAM_CONFIG + "uration", {}), put(keys.HANDLES + "a/b", {}))
        counts = {kind: len((await listing(bed.store, KINDS[kind])).items) for kind in KINDS if KINDS[kind].internal}
        assert counts == {"BlockAffinity": 2, "IPAMBlock": 2, "IPAMConfiguration": 1, "IPAMHandle": 1}
        assert (await listing(bed.store, KINDS["BlockAffinity"])).problems == ()

    run(scenario())


def test_watching_records(bed):
    async def scenario():
        await address_management(bed)
        await bed.store.write(Delete(keys.handle("handle.1")))
        async with aclosing(watch(bed.store.real, KINDS["IPAMHandle"], revision=1)) as changes:
            assert [(await anext(changes)).action for _ in range(2)] == ["added", "deleted"]

    run(scenario())


def test_what_was_listed_can_be_applied(bed):
    async def scenario():
        await bed.commit(apply("NetworkPolicy", "web", {"order": 1}))
        (found,) = (await listing(bed.store, KINDS["NetworkPolicy"])).items
        assert found.name == "web"
        assert found.key.endswith("/default.web")

    run(scenario())
