"""A real calicoctl and ours on the same etcd: each reads what the other wrote, and neither harms it."""

from __future__ import annotations

import json

import pytest
import yaml
from calicoctl_bed import MANIFESTS, RECORDED, Bed, Failed, needed, settled, supported

from ocicat.model.v3.document import parse
from ocicat.model.v3.kinds import KINDS
from ocicat.model.v3.metadata import API_VERSION
from ocicat.resources import Create, Delete, Label, Listing, Patch, Rejected, Replace, commit, get, listing, placed
from ocicat.store.base import Put
from ocicat.validate import validate

DOCUMENTS = list(yaml.safe_load_all(MANIFESTS.read_text()))
OURS = [supported(one) for one in DOCUMENTS]  # those that we write too
SHOWN = sorted({one["kind"] for one in DOCUMENTS})  # every kind that the tool knows but ClusterInformation


@pytest.fixture(scope="module")
def started():
    bed = Bed(needed())
    yield bed
    bed.close()


@pytest.fixture
def bed(started):
    yield started
    started.empty()


@pytest.fixture
def calicoctl(bed):
    return bed.calicoctl


def resource(kind: str, name: str, spec: dict | None = None, **metadata) -> dict:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name, **metadata}, "spec": spec or {}}


def create(bed, *documents: dict) -> None:
    """As `ocicat create` does."""

    async def scenario(store):
        await commit(store, [Create(document=placed(parse(one), "default")) for one in documents])

    bed.play(scenario)


def change(bed, *changes) -> None:
    async def scenario(store):
        await commit(store, changes)

    bed.play(scenario)


def read(bed, kind: str, name: str, namespace: str = ""):
    async def scenario(store):
        return await get(store, KINDS[kind], name, namespace)

    return bed.play(scenario)


def listed(bed, kind: str) -> Listing:
    async def scenario(store):
        return await listing(store, KINDS[kind])

    return bed.play(scenario)


# --- what the tool wrote ------------------------------------------------------------------------------------------


def test_everything_it_stores_is_understood(bed, calicoctl):
    calicoctl("create", "-f", str(MANIFESTS))
    stored = bed.stored()
    assert len(stored) == len(DOCUMENTS) + 1
    for key, value in stored.items():
        document = parse(value)
        assert (key, document.unknown, validate(document.resource)) == (key, (), ())


def test_the_recording_is_what_it_stores(bed, calicoctl):
    if calicoctl.version() not in ("", RECORDED):
        pytest.skip(f"recorded with {RECORDED}")
    calicoctl("create", "-f", str(MANIFESTS))
    recorded = json.loads((MANIFESTS.parent / "stored.json").read_text())
    stored = {key: json.loads(value) for key, value in bed.stored().items()}
    assert {key: settled(value) for key, value in stored.items()} == {
        key: settled(value) for key, value in recorded.items()
    }


def test_all_of_it_is_listed_under_the_names_that_it_shows(bed, calicoctl):
    calicoctl("create", "-f", str(MANIFESTS))
    for kind in (*SHOWN, "ClusterInformation"):
        ours = listed(bed, kind)
        theirs = [item["metadata"] for item in calicoctl.get(kind) if "uid" in item["metadata"]]
        assert ours.problems == ()
        assert [(one.namespace, one.name, str(one.revision)) for one in ours.items] == sorted(
            (item.get("namespace", ""), item["name"], item["resourceVersion"]) for item in theirs
        )


def test_what_we_do_not_know_survives_our_changes(bed, calicoctl):
    calicoctl("create", "-f", "-", stdin=resource("GlobalNetworkPolicy", "web", {"order": 1}))
    key = KINDS["GlobalNetworkPolicy"].key("default.web")
    newer = json.loads(bed.stored(key)[key])
    newer["spec"]["novel"] = {"deep": [1]}
    newer["metadata"]["managedFields"] = [{"manager": "x"}]

    async def write(store):
        await store.commit([], [Put(key, json.dumps(newer).encode())])

    bed.play(write)
    kind = KINDS["GlobalNetworkPolicy"]
    change(bed, Label(kind=kind, name="web", put={"a": "b"}))
    change(bed, Patch(kind=kind, name="web", patch={"spec": {"order": 2}}))
    after = json.loads(bed.stored(key)[key])
    assert after == newer | {
        "metadata": newer["metadata"] | {"labels": {"a": "b"}},
        "spec": newer["spec"] | {"order": 2},
    }


def test_what_it_stored_and_we_do_not_support_is_told_and_stays(bed, calicoctl):
    calicoctl("create", "-f", str(MANIFESTS))
    (theirs,) = calicoctl.get("NetworkPolicy", "web")
    assert theirs["spec"]["ingress"][0]["http"]
    change(bed, Patch(kind=KINDS["NetworkPolicy"], name="web", namespace="default", patch={"spec": {"order": 77}}))
    (after,) = calicoctl.get("NetworkPolicy", "web")
    assert after["spec"] == theirs["spec"] | {"order": 77}
    theirs["metadata"] = {"name": "other", "namespace": "default"}
    with pytest.raises(Rejected, match="http: is not supported"):
        create(bed, theirs)


def test_our_change_is_seen_by_it(bed, calicoctl):
    calicoctl("create", "-f", str(MANIFESTS))
    kind = KINDS["NetworkPolicy"]
    change(bed, Patch(kind=kind, name="web", namespace="default", patch={"spec": {"order": 77}}))
    change(bed, Delete(kind=KINDS["NetworkPolicy"], name="egress-only", namespace="prod"))
    (item,) = calicoctl.get("NetworkPolicy", "web")
    assert item["spec"]["order"] == 77
    assert "egress-only" not in [item["metadata"]["name"] for item in calicoctl.get("NetworkPolicy")]


# --- what we wrote ------------------------------------------------------------------------------------------------


def test_it_shows_the_same_whoever_created_it(bed, calicoctl):
    calicoctl("create", "-f", "-", stdin=yaml.safe_dump_all(OURS))
    theirs = {kind: shown(calicoctl, kind) for kind in SHOWN}
    bed.empty()
    create(bed, *OURS)
    for kind in SHOWN:
        assert shown(calicoctl, kind) == theirs[kind]


# What the tool alone fills in when it creates an object: settings of eBPF, and a status that its controllers keep.
FILLED_IN = ("bpfConnectTimeLoadBalancing", "bpfHostNetworkedNATWithoutCTLB", "bpfLogLevel", "floatingIPs")


def shown(calicoctl, kind: str) -> list[dict]:
    """All objects of a kind as the tool shows them, without where they come from."""
    return [without_origin(item) for item in calicoctl.get(kind)]


def without_origin(item: dict) -> dict:
    metadata = {
        name: one for name, one in item["metadata"].items() if name in ("name", "namespace", "labels", "annotations")
    }
    spec = {name: one for name, one in item["spec"].items() if name not in FILLED_IN}
    return {"kind": item["kind"], "metadata": metadata, "spec": spec}


@pytest.mark.parametrize("kind", SHOWN)
def test_it_changes_what_we_created(bed, calicoctl, kind):
    """label, apply, replace and delete of each kind."""
    document = next(one for one in OURS if one["kind"] == kind)
    name, namespace = document["metadata"]["name"], document["metadata"].get("namespace", "")
    namespace = namespace or ("default" if KINDS[kind].namespaced else "")
    if kind == "BGPPeer":
        create(bed, resource("BGPFilter", "f"))
    create(bed, document)
    here = ["--namespace", namespace] if namespace else []
    calicoctl("label", kind, name, "added=1", *here)
    labelled = read(bed, kind, name, namespace)
    assert labelled.resource.metadata.labels["added"] == "1"
    (item,) = calicoctl.get(kind, name, *here)
    for verb in ("apply", "replace"):
        item["metadata"].pop("resourceVersion", None)
        item["metadata"]["labels"] = {**item["metadata"]["labels"], verb: "1"}
        calicoctl(verb, "-f", "-", stdin=item)
    changed = read(bed, kind, name, namespace)
    assert changed.resource.spec == labelled.resource.spec
    assert {"added", "apply", "replace"} <= set(changed.resource.metadata.labels)
    assert changed.resource.metadata.uid == labelled.resource.metadata.uid
    calicoctl("delete", kind, name, *here)
    assert not [one for one in listed(bed, kind).items if (one.name, one.namespace) == (name, namespace)]


def test_it_patches_what_we_created(bed, calicoctl):
    create(bed, resource("GlobalNetworkPolicy", "web", {"order": 1, "selector": "a == 'b'"}))
    calicoctl("patch", "gnp", "web", "-p", json.dumps({"spec": {"order": 5}}))
    spec = read(bed, "GlobalNetworkPolicy", "web").resource.spec
    assert (spec.order, spec.selector, spec.types) == (5, "a == 'b'", ("Ingress",))


def test_it_updates_a_pool_that_was_written_in_another_spelling(bed, calicoctl):
    create(bed, resource("IPPool", "six", {"cidr": "FD00:0:0::/64"}))
    calicoctl("apply", "-f", "-", stdin=resource("IPPool", "six", {"cidr": "FD00:0:0::/64", "natOutgoing": True}))
    assert read(bed, "IPPool", "six").resource.spec.nat_outgoing


# --- files --------------------------------------------------------------------------------------------------------


def test_what_it_prints_is_what_we_apply(bed, calicoctl):
    """Not of profiles: it lists one there that nobody can write, and refuses to apply its own list as well."""
    calicoctl("create", "-f", str(MANIFESTS))
    for kind in SHOWN:
        if kind != "Profile":
            printed = calicoctl("get", kind, *everywhere(calicoctl, kind), "-o", "yaml")
            lines = bed.ocicat("apply", "-f", "-", stdin=printed).splitlines()
            assert [line.endswith(" unchanged") for line in lines] == [True] * len(calicoctl.get(kind)), lines


def test_what_we_print_is_what_it_applies(bed, calicoctl):
    bed.ocicat("create", "-f", "-", stdin=yaml.safe_dump_all(OURS))
    for kind in SHOWN:
        before = shown(calicoctl, kind)
        printed = bed.ocicat("get", kind, *everywhere(calicoctl, kind), "-o", "yaml")
        calicoctl("apply", "-f", "-", stdin=printed)
        assert shown(calicoctl, kind) == before


def everywhere(calicoctl, kind: str) -> list[str]:
    return ["-A"] if calicoctl.namespaced(kind) else []


# --- both at once -------------------------------------------------------------------------------------------------


def test_its_stale_replace_is_refused(bed, calicoctl):
    create(bed, resource("Profile", "p"))
    (stale,) = calicoctl.get("Profile", "p")
    change(bed, Label(kind=KINDS["Profile"], name="p", put={"a": "b"}))
    with pytest.raises(Failed, match="update conflict"):
        calicoctl("replace", "-f", "-", stdin=stale)
    assert read(bed, "Profile", "p").resource.metadata.labels == {"a": "b"}


def test_our_stale_replace_is_refused(bed, calicoctl):
    calicoctl("create", "-f", "-", stdin=resource("Profile", "p"))
    stale = read(bed, "Profile", "p")
    calicoctl("label", "Profile", "p", "a=b")
    with pytest.raises(Rejected) as refused:
        change(bed, Replace(document=stale.document))
    assert refused.value.exit_code == 3
    assert read(bed, "Profile", "p").resource.metadata.labels == {"a": "b"}


def test_a_lock_of_either_is_a_lock_for_both(bed, calicoctl):
    calicoctl("create", "-f", "-", stdin=resource("Profile", "p"))
    calicoctl("datastore", "migrate", "lock")
    assert read(bed, "ClusterInformation", "default").resource.spec.datastore_ready is False
    calicoctl("datastore", "migrate", "unlock")
    assert read(bed, "ClusterInformation", "default").resource.spec.datastore_ready is True
