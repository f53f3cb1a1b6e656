"""Changing resources: what each verb does, what it keeps, and what it refuses, all in one line each."""

from __future__ import annotations

import json

import pytest
from resources_bed import CREATED, SHOP, Bed, actions, apply, create, delete, doc, manifest, put, replace, run

from ocicat.errors import Conflict, NotFound, Refused, UserError
from ocicat.model import keys
from ocicat.model.codec import encode_json
from ocicat.model.v3.document import parse
from ocicat.model.v3.kinds import KINDS
from ocicat.resources import (
    Apply,
    Label,
    Patch,
    Rejected,
    Rejection,
    Replace,
    commit,
    commit_each,
    deletion,
    get,
    placed,
    validate_only,
)
from ocicat.store.base import Put
from ocicat.store.memory import MemoryStore

POOL = {"cidr": "10.0.0.0/16"}
POLICIES = "/calico/resources/v3/projectcalico.org/networkpolicies/shop/"


@pytest.fixture
def bed():
    return Bed()


def label(kind, name, put=None, remove=(), **options):
    return Label(kind=KINDS[kind], name=name, put=put or {}, remove=remove, **options)


def patch(kind, name, change, style="strategic", **options):
    return Patch(kind=KINDS[kind], name=name, patch=change, style=style, **options)


# --- create -------------------------------------------------------------------------------------------------------


def test_create_fills_in_what_the_datastore_knows(bed):
    async def scenario():
        (made,) = await bed.commit(create("IPPool", "p", POOL, labels={"a": "b"}))
        assert (made.action, made.before, made.after.raw["metadata"]["resourceVersion"]) == ("created", None, "1")
        assert await bed.raw(keys.pool("p")) == {
            "apiVersion": "projectcalico.org/v3",
            "kind": "IPPool",
            "metadata": {"name": "p", "labels": {"a": "b"}, "uid": "u1", "creationTimestamp": CREATED},
            "spec": {"cidr": "10.0.0.0/16", "blockSize": 26},
        }
        read = await bed.get("IPPool", "p")
        assert read.document == made.after

    run(scenario())


def test_a_new_object_never_takes_over_an_old_identity(bed):
    """Who copies an object to a new name must not get two with one uid."""

    async def scenario():
        await bed.commit(create("Profile", "a", uid="old", creationTimestamp="2020-01-01T00:00:00Z"))
        metadata = (await bed.raw(keys.profile("a")))["metadata"]
        assert (metadata["uid"], metadata["creationTimestamp"]) == ("u1", CREATED)

    run(scenario())


def test_create_refuses_what_exists_and_versions(bed):
    async def scenario():
        await bed.commit(create("Profile", "a"))
        assert await bed.rejected(create("Profile", "a", where="f:3")) == [
            "f:3: Profile a: exists already (apply or replace it to change it)"
        ]
        assert await bed.rejected(create("Profile", "b", resourceVersion="7")) == [
            "Profile b: metadata.resourceVersion: must not be given for a new object"
        ]
        assert actions(await bed.commit(create("Profile", "a", skip_existing=True))) == ["skipped"]

    run(scenario())


def test_the_real_uid_and_time_differ_from_object_to_object():
    async def scenario():
        store = MemoryStore()
        await commit(store, [create("Profile", "a"), create("Profile", "b")])
        one, other = [(await get(store, KINDS["Profile"], name)).resource.metadata for name in "ab"]
        assert len(one.uid) == 36
        assert one.uid != other.uid
        assert one.creation_timestamp.startswith("20")
        assert one.creation_timestamp.endswith("Z")

    run(scenario())


# --- apply and replace --------------------------------------------------------------------------------------------


def test_apply_creates_changes_and_leaves_alone(bed):
    async def scenario():
        first = apply("Profile", "a", labels={"x": "1"})
        assert actions(await bed.commit(first)) == ["created"]
        assert actions(await bed.commit(first)) == ["unchanged"]
        assert bed.store.commits == 1
        (changed,) = await bed.commit(apply("Profile", "a", {"labelsToApply": {"g": "a"}}))
        assert changed.action == "configured"
        assert changed.before.resource.metadata.labels == {"x": "1"}
        stored = await bed.raw(keys.profile("a"))
        assert stored["metadata"] == {"name": "a", "uid": "u1", "creationTimestamp": CREATED}
        assert stored["spec"] == {"labelsToApply": {"g": "a"}}

    run(scenario())


def test_replace_needs_something_to_replace(bed):
    async def scenario():
        assert await bed.rejected(replace("Profile", "a")) == ["Profile a: there is none"]
        await bed.commit(create("Profile", "a"))
        assert actions(await bed.commit(replace("Profile", "a", {"labelsToApply": {"g": "a"}}))) == ["replaced"]

    run(scenario())


def test_what_was_read_can_be_applied_again(bed):
    async def scenario():
        await bed.commit(create("IPPool", "p", POOL))
        read = (await bed.get("IPPool", "p")).document
        assert actions(await bed.commit(Apply(document=parse(read.raw)))) == ["unchanged"]
        other = Bed()
        (made,) = await other.commit(Apply(document=parse(read.raw)))  # into another store: there it is new
        assert made.action == "created"

    run(scenario())


def test_a_stale_version_is_a_conflict_with_both_versions(bed):
    async def scenario():
        await bed.commit(create("Profile", "a"))
        await bed.commit(label("Profile", "a", {"x": "1"}))
        stale = replace("Profile", "a", resourceVersion="1")
        with pytest.raises(Rejected) as caught:
            await bed.commit(stale)
        assert caught.value.exit_code == 3
        assert str(caught.value) == (
            "Profile a: resource version 1 was given, the present one is 2: somebody changed it "
            "(read it again and decide again)"
        )
        assert actions(await bed.commit(replace("Profile", "a", resourceVersion="2"))) == ["replaced"]

    run(scenario())


def test_a_uid_of_another_life_is_a_conflict(bed):
    async def scenario():
        await bed.commit(create("Profile", "a"))
        with pytest.raises(Rejected, match="uid u9 was given, the present one is u1") as caught:
            await bed.commit(apply("Profile", "a", uid="u9"))
        assert caught.value.exit_code == 3

    run(scenario())


def test_fields_that_never_change(bed):
    async def scenario():
        await bed.commit(create("IPPool", "p", POOL))
        assert await bed.rejected(apply("IPPool", "p", {"cidr": "10.1.0.0/16", "blockSize": 27})) == [
            'IPPool p: spec.cidr = "10.1.0.0/16": cannot be changed from "10.0.0.0/16": make a new object instead',
            "IPPool p: spec.blockSize = 27: cannot be changed from 26: make a new object instead",
        ]

    run(scenario())


def test_an_object_without_identity_gets_one(bed):
    """calicoctl refuses to change an object that has none."""

    async def scenario():
        changes = [apply("Profile", "a"), label("Profile", "a", {"x": "1"}), patch("Profile", "a", {"spec": {}})]
        for change in changes:
            await bed.store.write(put(keys.profile("a"), manifest("Profile", "a")))
            await bed.commit(change)
            metadata = (await bed.raw(keys.profile("a")))["metadata"]
            assert (metadata["uid"], metadata["creationTimestamp"]) == (f"u{bed.uids}", CREATED)

    run(scenario())


def test_owners_and_finalizers_stay_unless_they_are_said_anew(bed):
    async def scenario():
        owner = {"apiVersion": "v1", "kind": "Framework", "name": "f", "uid": "1"}
        await bed.commit(create("Profile", "a", ownerReferences=[owner], finalizers=["x/y"]))
        await bed.commit(apply("Profile", "a", {"labelsToApply": {"g": "a"}}))
        metadata = (await bed.raw(keys.profile("a")))["metadata"]
        assert (metadata["ownerReferences"], metadata["finalizers"]) == ([owner], ["x/y"])
        await bed.commit(apply("Profile", "a", finalizers=["z/z"]))
        assert (await bed.raw(keys.profile("a")))["metadata"]["finalizers"] == ["z/z"]

    run(scenario())


def test_status_stays_with_who_wrote_it(bed):
    async def scenario():
        await bed.commit(create("IPPool", "p", POOL))
        status = {"conditions": [{"type": "Allocatable", "status": "True", "reason": "OK"}]}
        await bed.store.write(put(keys.pool("p"), (await bed.raw(keys.pool("p"))) | {"status": status}))
        await bed.commit(apply("IPPool", "p", POOL | {"natOutgoing": True}))
        assert (await bed.raw(keys.pool("p")))["status"] == status

    run(scenario())


# --- fields that we have no word for ------------------------------------------------------------------------------

NEWER = manifest(
    "Profile",
    "a",
    {"ingress": [{"action": "Allow", "newMatch": {"deep": 1}}], "newField": [1, None]},
    uid="u",
    creationTimestamp=CREATED,
)


def test_unknown_fields_are_refused_with_the_nearest_name(bed):
    async def scenario():
        spec = {"ingres": [], "ingress": [{"action": "Allow", "protocl": "TCP", "source": {"selectr": "a"}}]}
        assert await bed.rejected(create("NetworkPolicy", "np", spec, where="f.yaml:2")) == [
            "f.yaml:2: NetworkPolicy shop/np: spec.ingres: there is no such field (did you mean ingress?)",
            "f.yaml:2: NetworkPolicy shop/np: spec.ingress[0].protocl: there is no such field (did you mean protocol?)",
            "f.yaml:2: NetworkPolicy shop/np: spec.ingress[0].source.selectr: there is no such field (did you mean selector?)",
        ]

    run(scenario())


def test_unknown_fields_that_are_stored_survive_every_verb(bed):
    async def scenario():
        await bed.store.write(put(keys.profile("a"), NEWER))
        read = (await bed.get("Profile", "a")).document
        assert actions(await bed.commit(Replace(document=parse(read.raw)))) == ["unchanged"]
        await bed.commit(label("Profile", "a", {"x": "1"}))
        await bed.commit(patch("Profile", "a", {"spec": {"labelsToApply": {"g": "a"}}}))
        await bed.commit(apply("Profile", "a", {"ingress": [{"action": "Deny"}]}))
        stored = await bed.raw(keys.profile("a"))
        assert stored["spec"] == {"ingress": [{"action": "Deny", "newMatch": {"deep": 1}}], "newField": [1, None]}

    run(scenario())


def test_unknown_fields_cannot_be_changed_but_be_patched_away(bed):
    async def scenario():
        await bed.store.write(put(keys.profile("a"), NEWER))
        edited = json.loads(json.dumps(NEWER))
        edited["spec"]["ingress"][0]["newMatch"]["deep"] = 2
        expected = ["Profile a: spec.ingress[0].newMatch: there is no such field"]
        assert await bed.rejected(Apply(document=parse(edited))) == expected
        change = [{"op": "replace", "path": "/spec/ingress/0/newMatch/deep", "value": 2}]
        assert await bed.rejected(patch("Profile", "a", change, "json")) == expected
        await bed.commit(patch("Profile", "a", {"spec": {"newField": None}}))
        assert "newField" not in (await bed.raw(keys.profile("a")))["spec"]
        # A rule put before moves the unknown field to another place: it is still the stored one.
        before = [{"op": "add", "path": "/spec/ingress/0", "value": {"action": "Log"}}]
        await bed.commit(patch("Profile", "a", before, "json"))
        assert (await bed.raw(keys.profile("a")))["spec"]["ingress"][1]["newMatch"] == {"deep": 1}

    run(scenario())


# --- patch and label ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "style"),
    [
        ({"spec": {"disabled": True}}, "strategic"),
        ({"spec": {"disabled": True}}, "merge"),
        ([{"op": "add", "path": "/spec/disabled", "value": True}], "json"),
    ],
)
def test_patch(bed, change, style):
    async def scenario():
        await bed.commit(create("IPPool", "p", POOL, labels={"a": "b"}))
        assert actions(await bed.commit(patch("IPPool", "p", change, style))) == ["patched"]
        assert actions(await bed.commit(patch("IPPool", "p", change, style))) == ["unchanged"]
        stored = await bed.raw(keys.pool("p"))
        assert stored["spec"] == {"cidr": "10.0.0.0/16", "blockSize": 26, "disabled": True}
        assert stored["metadata"]["labels"] == {"a": "b"}

    run(scenario())


@pytest.mark.parametrize(
    ("change", "style", "message"),
    [
        ([], "merge", 'patch: must be an object (for example {"spec": {"disabled": true}})'),
        ({"kind": "Profile"}, "merge", "kind: cannot be changed to Profile"),
        ({"kind": "Nix"}, "merge", "'Nix' is no kind of resource"),
        (
            {"metadata": {"name": "q"}},
            "merge",
            'metadata.name = "q": cannot be changed from "p": make a new object instead',
        ),
        (
            {"metadata": {"uid": "u2"}},
            "merge",
            'metadata.uid = "u2": cannot be changed from "u1": make a new object instead',
        ),
        ({"metadata": {"uid": None}}, "merge", "metadata.uid: cannot be changed"),
        ({"metadata": {"creationTimestamp": None}}, "merge", "metadata.creationTimestamp: cannot be changed"),
        ({"metadata": {"resourceVersion": "9"}}, "merge", "resource version 9 was given, the present one is 1"),
        ({"spec": {"cidr": "10.2.0.0/16"}}, "merge", 'spec.cidr = "10.2.0.0/16": cannot be changed from "10.0.0.0/16"'),
        (
            {"spec": {"natOutgoin": True}},
            "merge",
            "spec.natOutgoin: there is no such field (did you mean natOutgoing?)",
        ),
        ({"spec": {"disabled": "yes"}}, "merge", "IPPool p: spec.disabled: expected `bool`, got `str`"),
        ({"spec": None}, "merge", "IPPool p: object missing required field `spec`"),
        ({"kind": None}, "merge", "IPPool p: kind: is missing"),
        ({"spec": {"nodeSelector": "a =="}}, "merge", 'spec.nodeSelector = "a =="'),
        ([{"op": "remove", "path": "/spec/nix"}], "json", "patch[0]: path: there is no /spec/nix"),
        ([{"op": "replace", "path": "", "value": 1}], "json", "patch: leaves no object"),
    ],
)
def test_patches_that_cannot_be(bed, change, style, message):
    async def scenario():
        await bed.commit(create("IPPool", "p", POOL))
        lines = await bed.rejected(patch("IPPool", "p", change, style))
        assert any(message in line for line in lines), lines
        assert all(line.count("IPPool p: ") == 1 for line in lines), lines

    run(scenario())


def test_patch_and_label_of_nothing(bed):
    assert run(bed.rejected(patch("Profile", "a", {}), label("Profile", "b"))) == [
        "Profile a: there is none",
        "Profile b: there is none",
    ]


def test_labels(bed):
    async def scenario():
        await bed.commit(create("Profile", "a", labels={"x": "1", "y": "2"}))
        assert actions(await bed.commit(label("Profile", "a", {"z": "3"}, ("y",)))) == ["labeled"]
        assert (await bed.raw(keys.profile("a")))["metadata"]["labels"] == {"x": "1", "z": "3"}
        assert actions(await bed.commit(label("Profile", "a", {"x": "1"}))) == ["unchanged"]
        await bed.commit(label("Profile", "a", {"x": "9"}, overwrite=True))
        assert (await bed.raw(keys.profile("a")))["metadata"]["labels"] == {"x": "9", "z": "3"}
        await bed.commit(label("Profile", "a", remove=("x", "z")))
        assert "labels" not in (await bed.raw(keys.profile("a")))["metadata"]

    run(scenario())


def test_labels_that_cannot_be(bed):
    async def scenario():
        await bed.commit(create("Profile", "a", labels={"x": "1"}))
        assert await bed.rejected(label("Profile", "a", {"x": "2"}, ("nix",))) == [
            "Profile a: has no label 'nix' to remove (it has: x)",
            "Profile a: label 'x' is '1' already (overwrite it expressly)",
        ]
        assert await bed.rejected(label("Profile", "a", {"x": "1"}, ("x",))) == [
            "Profile a: label 'x' is both set and removed (say one of them)"
        ]
        (line,) = await bed.rejected(label("Profile", "a", {"a b": "2"}))
        assert line.startswith("Profile a: metadata.labels")
        assert len(await bed.rejected(label("Profile", "a", {"q": "2"}, resource_version="77"))) == 1

    run(scenario())


# --- delete -------------------------------------------------------------------------------------------------------


def test_delete(bed):
    async def scenario():
        await bed.commit(create("Profile", "a"))
        (gone,) = await bed.commit(delete("Profile", "a"))
        assert (gone.action, gone.after, gone.before.resource.metadata.uid) == ("deleted", None, "u1")
        assert await bed.raw(keys.profile("a")) is None
        assert await bed.rejected(delete("Profile", "a")) == ["Profile a: there is none"]
        assert actions(await bed.commit(delete("Profile", "a", skip_missing=True))) == ["skipped"]

    run(scenario())


def test_delete_honours_version_and_uid(bed):
    async def scenario():
        await bed.commit(create("Profile", "a"))
        read = (await bed.get("Profile", "a")).document
        assert len(await bed.rejected(delete("Profile", "a", resource_version="9"))) == 1
        assert len(await bed.rejected(delete("Profile", "a", uid="u9"))) == 1
        await bed.commit(label("Profile", "a", {"x": "1"}))
        assert len(await bed.rejected(deletion(read))) == 1
        assert actions(await bed.commit(deletion(doc("Profile", "a")))) == ["deleted"]

    run(scenario())


def test_what_cannot_be_read_can_be_replaced_or_deleted(bed):
    async def scenario():
        broken = {"kind": "Profile", "apiVersion": "projectcalico.org/v3", "metadata": {"name": "a"}, "spec": 7}
        await bed.store.write(put(keys.profile("a"), broken), put(keys.profile("b"), b"\xff{"))
        assert (await bed.rejected(label("Profile", "a", {"x": "1"})))[0].startswith("Profile a: cannot be read: ")
        assert len(await bed.rejected(patch("Profile", "b", {}))) == 1
        overtaken = "resource version 7 was given, the present one is 1"
        assert overtaken in (await bed.rejected(apply("Profile", "a", resourceVersion="7")))[0]
        assert overtaken in (await bed.rejected(delete("Profile", "b", resource_version="7")))[0]
        (mended,) = await bed.commit(apply("Profile", "a"))
        assert (mended.action, mended.before) == ("configured", None)
        assert (await bed.get("Profile", "a")).resource.metadata.uid.startswith("u")
        assert actions(await bed.commit(delete("Profile", "b"))) == ["deleted"]

    run(scenario())


# --- many at once -------------------------------------------------------------------------------------------------


def test_all_or_nothing_and_every_reason(bed):
    async def scenario():
        await bed.commit(create("Profile", "there"))
        lines = await bed.rejected(
            create("Profile", "fine", where="f:1"),
            create("Profile", "there", where="f:5"),
            create("IPPool", "p", {"cidr": "10.0.0.1/16", "blockSize": 99}, where="f:9"),
            delete("Profile", "nix"),
            create("NetworkPolicy", "np", {"tier": "nix"}, where="f:20"),
        )
        assert lines[0] == "f:5: Profile there: exists already (apply or replace it to change it)"
        assert [line.split(": ")[1] for line in lines[1:-2]] == ["IPPool p"] * (len(lines) - 3)
        assert lines[-2:] == [
            "Profile nix: there is none",
            'f:20: NetworkPolicy shop/np: spec.tier = "nix": there is no such tier: create it first',
        ]

    run(scenario())


def test_exit_codes(bed):
    async def scenario():
        await bed.commit(create("Profile", "there"))
        exists, missing = create("Profile", "there"), delete("Profile", "nix")
        invalid = create("IPPool", "p", {"cidr": "nix"})
        for changes, code in [((exists,), 3), ((missing,), 5), ((missing, exists), 5), ((missing, exists, invalid), 2)]:
            with pytest.raises(Rejected) as caught:
                await bed.commit(*changes)
            assert caught.value.exit_code == code

    run(scenario())


def test_one_object_twice_in_one_call(bed):
    assert run(bed.rejected(apply("Profile", "a", where="f:1"), apply("Profile", "a", where="g:1"))) == [
        "g:1: Profile a: is given twice, also at f:1 (say once what shall become of it)"
    ]


def test_one_policy_by_two_names_in_one_call(bed):
    assert run(bed.rejected(create("NetworkPolicy", "web"), create("NetworkPolicy", "default.web"))) == [
        "NetworkPolicy shop/default.web: is given twice (say once what shall become of it)"
    ]


def test_one_call_is_one_revision(bed):
    async def scenario():
        outcomes = await bed.commit(*(apply("Profile", f"p{number}") for number in range(200)))
        assert {outcome.after.raw["metadata"]["resourceVersion"] for outcome in outcomes} == {"1"}
        assert (await bed.store.real.status()).revision == 1

    run(scenario())


def test_each_writes_what_can_be_written(bed):
    async def scenario():
        done = await commit_each(
            bed.store,
            [
                create("Profile", "fine"),
                create("IPPool", "bad", {"cidr": "nix"}),
                create("Tier", "broken", {"defaultAction": "Nix"}),
                create("NetworkPolicy", "leans", {"tier": "broken"}),
            ],
        )
        assert [one.action for one in done if not isinstance(one, Rejection)] == ["created"]
        rejected = [(one.name, one.field, one.exit_code) for one in done if isinstance(one, Rejection)]
        assert rejected == [("bad", "spec.cidr", 2), ("broken", "spec.defaultAction", 2), ("leans", "spec.tier", 2)]
        assert (await bed.get("Profile", "fine")).revision == 1

    run(scenario())


def test_a_dry_run_writes_nothing_and_tells_all(bed):
    async def scenario():
        (would,) = await bed.commit(apply("IPPool", "p", POOL), dry_run=True)
        assert would.action == "created"
        assert would.after.raw["spec"] == {"cidr": "10.0.0.0/16", "blockSize": 26}
        assert "resourceVersion" not in would.after.raw["metadata"]
        assert bed.store.commits == 0
        with pytest.raises(Rejected):
            await bed.commit(apply("IPPool", "p", {"cidr": "nix"}), dry_run=True)

    run(scenario())


def test_nothing_to_do_is_fine(bed):
    assert run(bed.commit()) == ()


# --- rules between objects ----------------------------------------------------------------------------------------


def test_a_policy_may_use_a_tier_that_comes_with_it(bed):
    async def scenario():
        await bed.commit(create("NetworkPolicy", "sec.a", {"tier": "sec"}), create("Tier", "sec", {"order": 5}))
        holds = 'Tier sec: metadata.name = "sec": the tier holds 1 policies (sec.a): delete or move them first'
        assert await bed.rejected(delete("Tier", "sec")) == [holds]
        assert actions(await bed.commit(delete("Tier", "sec"), delete("NetworkPolicy", "sec.a"))) == ["deleted"] * 2

    run(scenario())


def test_a_policy_in_a_tier_that_is_there(bed):
    async def scenario():
        await bed.commit(create("Tier", "sec", {"order": 5}))
        assert actions(await bed.commit(create("NetworkPolicy", "sec.a", {"tier": "sec"}))) == ["created"]
        assert actions(await bed.commit(label("NetworkPolicy", "sec.a", {"x": "1"}, namespace=SHOP))) == ["labeled"]

    run(scenario())


def test_a_tier_that_goes_takes_no_new_policy(bed):
    async def scenario():
        await bed.commit(create("Tier", "sec", {"order": 5}))
        lines = await bed.rejected(delete("Tier", "sec"), create("NetworkPolicy", "sec.a", {"tier": "sec"}))
        assert [line.partition(":")[0] for line in lines] == ["Tier sec", "NetworkPolicy shop/sec.a"]

    run(scenario())


def test_a_policy_may_move_out_of_a_tier_that_goes(bed):
    async def scenario():
        await bed.commit(create("Tier", "sec", {"order": 5}), create("NetworkPolicy", "web", {"tier": "sec"}))
        await bed.commit(apply("NetworkPolicy", "web", {}), delete("Tier", "sec"))
        assert (await bed.get("NetworkPolicy", "web")).resource.spec.tier == "default"

    run(scenario())


def test_pools_do_not_overlap_also_within_one_call(bed):
    async def scenario():
        await bed.commit(create("IPPool", "a", POOL))
        assert await bed.rejected(create("IPPool", "b", {"cidr": "10.0.1.0/24"})) == [
            'IPPool b: spec.cidr = "10.0.1.0/24": overlaps with the pool a (10.0.0.0/16)'
        ]
        inner, outer = create("IPPool", "c", {"cidr": "10.8.1.0/24"}), create("IPPool", "d", {"cidr": "10.8.0.0/16"})
        assert len(await bed.rejected(inner, outer)) == 2
        assert actions(await bed.commit(delete("IPPool", "a"), create("IPPool", "b", {"cidr": "10.0.1.0/24"}))) == [
            "deleted",
            "created",
        ]

    run(scenario())


def test_pools_that_overlap_already_can_be_disabled(bed):
    async def scenario():
        await bed.store.write(stored("IPPool", "a", POOL), stored("IPPool", "b", {"cidr": "10.0.1.0/24"}))
        await bed.commit(patch("IPPool", "b", {"spec": {"disabled": True}}))
        await bed.store.write(put(keys.pool("b"), b"{"))
        assert "overlaps with the pool a" in (await bed.rejected(apply("IPPool", "b", {"cidr": "10.0.1.0/24"})))[0]

    run(scenario())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (delete("Tier", "default"), "Tier default: there is none"),
        (create("Profile", "projectcalico-default-allow"), "always exists and cannot be changed or deleted"),
        (create("ClusterInformation", "default"), "is kept by the system: it can be read, not written"),
        (delete("ClusterInformation", "default"), "is kept by the system: it can be read, not written"),
        (delete("IPAMHandle", "h"), "IPAMHandle h: belongs to the address manager: it can be read, not written"),
        (delete("BlockAffinity", "h-10-0-0-0-26"), "belongs to the address manager: it can be read, not written"),
        (delete("NetworkPolicy", "a", namespace=""), "NetworkPolicy 'default.a' lies in a namespace: say which"),
        (delete("Profile", "a/b"), "Profile a/b: 'a/b': a name holds no '/'"),
        (delete("Profile", ""), "Profile: the name is empty"),
    ],
)
def test_what_the_rules_refuse(bed, change, message):
    (line,) = run(bed.rejected(change))
    assert message in line


ALLOW = {"action": "Allow", "source": {}, "destination": {}}
DEFAULT_ALLOW = ("Profile", "projectcalico-default-allow", {"ingress": [ALLOW], "egress": [ALLOW]})


def test_the_profile_that_always_is_may_be_said_as_it_is(bed):
    """calicoctl lists it among the others."""

    async def scenario():
        same = [apply(*DEFAULT_ALLOW, resourceVersion="1"), create("Profile", "a")]
        assert actions(await bed.commit(*same)) == ["unchanged", "created"]
        assert actions(await bed.commit(replace(*DEFAULT_ALLOW))) == ["unchanged"]
        assert await bed.raw(keys.profile("projectcalico-default-allow")) is None
        labeled = apply(*DEFAULT_ALLOW, labels={"a": "b"})
        for change in (create(*DEFAULT_ALLOW), labeled, apply(*DEFAULT_ALLOW[:2], {"ingress": [ALLOW]})):
            assert "always exists and cannot be changed" in (await bed.rejected(change))[0]

    run(scenario())


def test_a_locked_datastore_is_not_written_to(bed):
    async def scenario():
        spec = {"datastoreReady": False}
        await bed.store.write(put(keys.CLUSTER_INFORMATION, manifest("ClusterInformation", "default", spec)))
        with pytest.raises(Refused, match="the datastore is locked"):
            await bed.commit(create("Profile", "a"))
        await bed.store.write(put(keys.CLUSTER_INFORMATION, b"{nothing that can be read"))
        await bed.commit(create("Profile", "a"))

    run(scenario())


# --- names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "tier", "stored"),
    [
        ("web", "default", "default.web"),
        ("sec.web", "sec", "sec.web"),
        ("web", "sec", "web"),
        ("default.web", "default", "default.web"),
    ],
)
def test_how_policies_are_stored(bed, name, tier, stored):
    async def scenario():
        await bed.commit(create("Tier", "sec", {"order": 5}), create("NetworkPolicy", name, {"tier": tier}))
        assert (await bed.raw(POLICIES + stored))["metadata"]["name"] == stored
        assert (await bed.get("NetworkPolicy", name)).name == stored.removeprefix("default.")
        assert actions(await bed.commit(delete("NetworkPolicy", name))) == ["deleted"]

    run(scenario())


def test_a_policy_without_prefix_stays_where_it_is(bed):
    """As the newest Calico writes it."""

    async def scenario():
        await bed.store.write(put(POLICIES + "web", manifest("NetworkPolicy", "web", {"types": ["Ingress"]})))
        assert len(await bed.rejected(create("NetworkPolicy", "web"))) == 1
        await bed.commit(apply("NetworkPolicy", "web", {"order": 7}))
        assert (await bed.raw(POLICIES + "web"))["spec"]["order"] == 7
        assert await bed.raw(POLICIES + "default.web") is None

    run(scenario())


ENDPOINT = {"node": "h-1", "orchestrator": "mesos", "workload": "w", "endpoint": "eth0", "interfaceName": "oc1"}


def test_the_name_of_an_endpoint_follows_from_its_fields(bed):
    async def scenario():
        nameless = manifest("WorkloadEndpoint", "x", ENDPOINT)
        del nameless["metadata"]["name"]
        (made,) = await bed.commit(Apply(document=parse(nameless)))
        assert made.name == "h--1-mesos-w-eth0"
        assert made.after.resource.metadata.labels == {
            "projectcalico.org/namespace": SHOP,
            "projectcalico.org/orchestrator": "mesos",
        }
        (line,) = await bed.rejected(create("WorkloadEndpoint", "other", ENDPOINT))
        assert line.startswith('WorkloadEndpoint shop/other: metadata.name = "other": must be h--1-mesos-w-eth0')

    run(scenario())


def test_an_endpoint_without_name_and_fields():
    nameless = manifest("WorkloadEndpoint", "x", {"orchestrator": "mesos"})
    del nameless["metadata"]["name"]
    with pytest.raises(UserError, match="node '' is missing"):
        parse(nameless)


def test_placed():
    bare = manifest("NetworkSet", "n", {}, namespace="")
    assert placed(parse(bare), "default").resource.metadata.namespace == "default"
    assert placed(doc("NetworkSet", "n"), "default").resource.metadata.namespace == SHOP
    assert placed(doc("Profile", "n"), "default").resource.metadata.namespace == ""


# --- the IPAM configuration ---------------------------------------------------------------------------------------


def test_the_ipam_configuration_lies_elsewhere_in_another_form(bed):
    async def scenario():
        spec = {"strictAffinity": True, "autoAllocateBlocks": True, "maxBlocksPerHost": 4}
        await bed.commit(create("IPAMConfiguration", "default", spec))
        stored = {"strict_affinity": True, "auto_allocate_blocks": True, "maxBlocksPerHost": 4}
        assert await bed.raw(keys.IPAM_CONFIG) == stored
        await bed.store.write(put(keys.IPAM_CONFIG, stored | {"newer": 1}))
        await bed.commit(patch("IPAMConfiguration", "default", {"spec": {"maxBlocksPerHost": 5}}))
        assert await bed.raw(keys.IPAM_CONFIG) == stored | {"maxBlocksPerHost": 5, "newer": 1}
        read = (await bed.get("IPAMConfiguration", "default")).document
        assert actions(await bed.commit(Apply(document=parse(read.raw)))) == ["unchanged"]
        assert await bed.rejected(apply("IPAMConfiguration", "default", spec, labels={"a": "b"})) == [
            "IPAMConfiguration default: metadata: labels and annotations of this kind are not kept: leave them out"
        ]
        await bed.commit(delete("IPAMConfiguration", "default"))
        assert await bed.raw(keys.IPAM_CONFIG) is None

    run(scenario())


# --- without a store ----------------------------------------------------------------------------------------------


def test_validate_only():
    fine = [
        (doc("Profile", "a", uid="x", resourceVersion="3"), "f:1"),
        (doc("NetworkPolicy", "b", {"tier": "t"}), "f:2"),
    ]
    assert validate_only(fine) == ()
    wrong = [(doc("IPPool", "p", {"cidr": "nix", "bogus": 1}), "f:3"), (doc("Profile", "A"), "f:9")]
    lines = [str(one) for one in validate_only(wrong)]
    assert lines[0] == "f:3: IPPool p: spec.bogus: there is no such field"
    assert lines[1].startswith('f:3: IPPool p: spec.cidr = "nix": ')
    assert lines[-1].startswith('f:9: Profile A: metadata.name = "A": ')
    (line,) = map(str, validate_only([*fine, (doc("Profile", "a"), "g:1")]))
    assert line.startswith("g:1: Profile a: is given twice, also at f:1")


# --- races --------------------------------------------------------------------------------------------------------


def once(bed, *operations):
    """Somebody else writes this between our reading and our commit, once."""

    async def before():
        bed.store.before_commit = None
        await bed.store.write(*operations)

    bed.store.before_commit = before


def stored(kind, name, spec=None, **metadata):
    return put(KINDS[kind].key(name), manifest(kind, name, spec, **metadata))


def test_a_change_in_between_is_seen_and_nothing_of_it_lost(bed):
    async def scenario():
        await bed.commit(create("Profile", "a"))
        once(bed, stored("Profile", "a", {"labelsToApply": {"g": "a"}}, labels={"other": "1"}))
        await bed.commit(label("Profile", "a", {"x": "1"}))
        raw = await bed.raw(keys.profile("a"))
        assert raw["metadata"]["labels"] == {"other": "1", "x": "1"}
        assert raw["spec"] == {"labelsToApply": {"g": "a"}}

    run(scenario())


def test_a_version_that_is_overtaken_is_a_conflict(bed):
    async def scenario():
        await bed.commit(create("Profile", "a"))
        once(bed, stored("Profile", "a", labels={"other": "1"}))
        with pytest.raises(Rejected, match="resource version 1 was given, the present one is 2"):
            await bed.commit(replace("Profile", "a", {"labelsToApply": {"g": "a"}}, resourceVersion="1"))

    run(scenario())


def test_an_object_that_appears_in_between_is_not_written_over(bed):
    async def scenario():
        once(bed, stored("Profile", "a", labels={"other": "1"}))
        with pytest.raises(Rejected, match="exists already"):
            await bed.commit(create("Profile", "a"))
        once(bed, put(POLICIES + "web", manifest("NetworkPolicy", "web")))
        with pytest.raises(Rejected, match="exists already"):
            await bed.commit(create("NetworkPolicy", "web"))

    run(scenario())


def test_a_pool_that_appears_in_between(bed):
    async def scenario():
        once(bed, stored("IPPool", "other", {"cidr": "10.0.1.0/24"}))
        with pytest.raises(Rejected, match="overlaps with the pool other"):
            await bed.commit(create("IPPool", "mine", POOL))

    run(scenario())


def test_a_policy_that_appears_in_a_tier_in_between(bed):
    async def scenario():
        await bed.commit(create("Tier", "sec", {"order": 5}))
        once(bed, put(POLICIES + "sec.a", manifest("NetworkPolicy", "sec.a", {"tier": "sec"})))
        with pytest.raises(Rejected, match="the tier holds 1 policies"):
            await bed.commit(delete("Tier", "sec"))

    run(scenario())


def test_a_tier_that_goes_in_between(bed):
    async def scenario():
        await bed.commit(create("Tier", "sec", {"order": 5}))

        async def before():
            bed.store.before_commit = None
            await commit(bed.store.real, [delete("Tier", "sec")])

        bed.store.before_commit = before
        with pytest.raises(Rejected, match="there is no such tier"):
            await bed.commit(create("NetworkPolicy", "sec.a", {"tier": "sec"}))

    run(scenario())


def test_a_lock_that_comes_in_between(bed):
    async def scenario():
        once(bed, stored("ClusterInformation", "default", {"datastoreReady": False}))
        with pytest.raises(Refused, match="the datastore is locked"):
            await bed.commit(create("Profile", "a"))

    run(scenario())


def test_of_many_objects_too(bed):
    """More than one transaction can compare one by one."""

    async def scenario():
        await bed.commit(*(create("Profile", f"p{number}") for number in range(150)))
        once(bed, stored("Profile", "p77", labels={"other": "1"}), stored("Profile", "new"))
        changes = [apply("Profile", f"p{number}", {"labelsToApply": {"g": "a"}}) for number in range(150)]
        outcomes = await bed.commit(*changes)
        assert outcomes[77].before.resource.metadata.labels == {"other": "1"}
        with pytest.raises(NotFound):
            await bed.get("Profile", "nix")

    run(scenario())


@pytest.mark.parametrize("count", [30, 31, 300])
def test_conditions_fit_into_a_transaction(bed, monkeypatch, count):
    """etcd takes 128 at most; policies have two names each."""
    seen = []

    async def scenario():
        real = bed.store.commit

        async def counted(conditions, operations):
            seen.append(len(conditions))
            return await real(conditions, operations)

        monkeypatch.setattr(bed.store, "commit", counted)
        kinds = [
            "NetworkPolicy",
            "GlobalNetworkPolicy",
            "Profile",
            "NetworkSet",
            "GlobalNetworkSet",
            "StagedNetworkPolicy",
        ]
        changes = [create(kinds[number % len(kinds)], f"o{number}") for number in range(count)]
        await bed.commit(*changes, create("Tier", "sec", {"order": 5}), create("IPPool", "p", POOL))

    run(scenario())
    assert len(seen) == 1
    assert seen[0] <= 100


def test_endless_rivalry_ends(bed, monkeypatch):
    monkeypatch.setattr("ocicat.resources.write.FIRST_PAUSE_S", 0.0)

    async def scenario():
        await bed.commit(create("Profile", "a"))
        rounds = iter(range(1000))

        async def before():
            await bed.store.write(stored("Profile", "a", labels={"n": str(next(rounds))}))

        bed.store.before_commit = before
        with pytest.raises(Conflict, match="is being changed by others all the time"):
            await bed.commit(label("Profile", "a", {"x": "1"}))
        assert next(rounds) == 10

    run(scenario())


def test_numbers_are_written_as_go_writes_them(bed):
    async def scenario():
        for order, text in ((3, b"3"), (3.0, b"3"), (2.5, b"2.5"), (1e20, b"100000000000000000000"), (1e30, b"1e30")):
            await bed.commit(apply("Tier", "a", {"order": order}))
            assert b'"order":' + text + b"}" in (await bed.store.get(keys.RESOURCES + "tiers/a")).value
        assert actions(await bed.commit(apply("Tier", "a", {"order": 1e30}))) == ["unchanged"]

    run(scenario())


def test_raw_bytes_are_those_of_the_codec(bed):
    """Equal objects are equal bytes, so that nobody sees a change where there is none."""

    async def scenario():
        await bed.commit(create("Profile", "a", {"labelsToApply": {"z": "1", "a": "2"}}))
        value = (await bed.store.get(keys.profile("a"))).value
        assert value == encode_json(json.loads(value))
        assert isinstance(Put("k", value).value, bytes)

    run(scenario())
