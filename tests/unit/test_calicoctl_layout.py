"""What a real calicoctl stored (tests/golden/calicoctl): we read all of it, lose nothing, and would have stored the same."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import yaml
from ipam_bed import pool

from ocicat.clock import ManualClock
from ocicat.errors import Refused
from ocicat.ipam.allocator import Allocator
from ocicat.ipam.block import address, cidr_of, owner, unusable
from ocicat.ipam.ledger import Limits
from ocicat.ipam.request import Request
from ocicat.model import keys
from ocicat.model.base import fields, replace
from ocicat.model.codec import decode_json, encode_json
from ocicat.model.resources import Block, BlockAffinity, Handle
from ocicat.model.v3.defaults import with_defaults
from ocicat.model.v3.document import Document, merged, parse
from ocicat.model.v3.kinds import KINDS
from ocicat.model.v3.metadata import API_VERSION
from ocicat.resources import stored
from ocicat.store.base import KeyValue, Put
from ocicat.store.memory import MemoryStore
from ocicat.validate import validate

GOLDEN = Path(__file__).parent.parent / "golden" / "calicoctl"
STORED = json.loads((GOLDEN / "stored.json").read_text())
IPAM = json.loads((GOLDEN / "ipam.json").read_text())
MANIFESTS = list(yaml.safe_load_all((GOLDEN / "manifests.yaml").read_text()))
NOT_CREATED = {"ClusterInformation"}  # the tool makes it by itself


def value(key: str) -> bytes:
    return json.dumps(STORED[key]).encode()


def each_stored(test):
    return pytest.mark.parametrize("key", STORED, ids=lambda key: "/".join(key.split("/")[5:]))(test)


# --- reading ------------------------------------------------------------------------------------------------------


@each_stored
def test_every_field_is_known_and_right(key):
    document = parse(value(key))
    assert document.unknown == ()
    assert validate(document.resource) == ()


@each_stored
def test_nothing_changed_nothing_written_differently(key):
    document = parse(value(key))
    assert json.loads(merged(document, document.resource)) == STORED[key]


@each_stored
def test_a_change_touches_nothing_else(key):
    document = parse(value(key))
    labels = {**document.resource.metadata.labels, "added": "1"}
    changed = replace(document.resource, metadata=replace(document.resource.metadata, labels=labels))
    expected = json.loads(value(key))
    expected["metadata"]["labels"] = labels
    assert json.loads(merged(document, changed)) == expected


@each_stored
def test_the_resource_layer_gives_back_what_it_read(key):
    kind = KINDS[STORED[key]["kind"]]
    found = stored.read(kind, KeyValue(key, value(key), 7, 7))
    assert json.loads(stored.value(kind, key, found.document.raw)) == STORED[key]
    assert key in stored.lookup_keys(kind, found.name, found.namespace)


def test_every_kind_that_the_tool_knows_is_recorded():
    kinds = {one["kind"] for one in MANIFESTS}
    assert kinds | NOT_CREATED == {one["kind"] for one in STORED.values()}
    assert len(kinds) == 15


# --- writing ------------------------------------------------------------------------------------------------------

# Where the tool writes another text for the same thing, or fills in what nobody reads here (eBPF). What we have instead.
SAME_THING = {
    ("BGPPeer", "dotted-as"): {"as_number": "64512.1"},
    ("FelixConfiguration", "default"): {
        "bpf_connect_time_load_balancing": "TCP",
        "bpf_host_networked_nat_without_ctlb": "Enabled",
    },
    ("FelixConfiguration", "node.host-2"): {
        "bpf_connect_time_load_balancing": "",
        "bpf_host_networked_nat_without_ctlb": "",
        "floating_i_ps": "",
        "iptables_refresh_interval": "90s",
    },
}


def each_manifest(test):
    return pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")(
        test
    )


def in_namespace(manifest: dict) -> Document:
    """As the tool takes it: what is in no namespace is in `default`."""
    namespace = {"namespace": "default"} if KINDS[manifest["kind"]].namespaced else {}
    return parse({**manifest, "metadata": {**namespace, **manifest["metadata"]}})


@each_manifest
def test_we_would_have_stored_the_same(manifest):
    document = in_namespace(manifest)
    assert validate(document.resource) == ()
    mine = with_defaults(document.resource)
    key = stored.lookup_keys(document.kind, mine.metadata.name, mine.metadata.namespace)[0]
    theirs = parse(value(key)).resource
    names = [field.name for field in fields(mine.spec)]
    differing = {
        name: getattr(mine.spec, name) for name in names if getattr(mine.spec, name) != getattr(theirs.spec, name)
    }
    assert differing == SAME_THING.get((manifest["kind"], mine.metadata.name), {})
    assert (mine.metadata.labels, mine.metadata.annotations) == (theirs.metadata.labels, theirs.metadata.annotations)


def test_a_pool_is_stored_under_its_one_spelling():
    """Calico's tools compare texts when they update a pool: any other spelling could not be updated any more."""
    pool = parse(
        {"apiVersion": API_VERSION, "kind": "IPPool", "metadata": {"name": "p"}, "spec": {"cidr": "FD00:0::/64"}}
    )
    assert with_defaults(pool.resource).spec.cidr == "fd00::/64"


def test_a_range_that_is_none_is_left_to_the_validation():
    pool = parse(
        {"apiVersion": API_VERSION, "kind": "IPPool", "metadata": {"name": "p"}, "spec": {"cidr": "10.0.0.1/8"}}
    )
    assert with_defaults(pool.resource).spec.cidr == "10.0.0.1/8"
    assert validate(with_defaults(pool.resource))


# --- addresses ----------------------------------------------------------------------------------------------------


def ipam(prefix: str) -> dict[str, bytes]:
    return {key: json.dumps(one).encode() for key, one in IPAM.items() if key.startswith(prefix)}


def test_a_block_is_understood_and_written_as_it_was():
    blocks = ipam(keys.BLOCKS)
    assert len(blocks) > 1
    for key, text in blocks.items():
        block = decode_json(Block, text)
        assert keys.block(cidr_of(block)) == key
        assert unusable(block) == []  # sequence numbers of addresses that are free again stay behind: they do no harm
        assert json.loads(encode_json(block)) == IPAM[key]


def test_an_affinity_is_understood_and_written_as_it_was():
    affinities = ipam(keys.AFFINITIES)
    assert {keys.affinity(*keys.affinity_parts(key)) for key in affinities} == set(affinities) != set()
    for key, text in affinities.items():
        assert json.loads(encode_json(decode_json(BlockAffinity, text))) == IPAM[key]


def test_a_handle_is_understood_and_written_as_it_was():
    handles = ipam(keys.HANDLES)
    assert handles
    for key, text in handles.items():
        assert json.loads(encode_json(decode_json(Handle, text))) == IPAM[key]


def test_the_settings_are_understood():
    (text,) = ipam(keys.IPAM_CONFIG).values()
    assert decode_json(Limits, text) == Limits(auto_allocate_blocks=True, strict_affinity=True)


def on_recorded_addresses(scenario):
    """Runs a coroutine function with our allocator on the host whose addresses were recorded."""

    async def run():
        store = MemoryStore()
        await store.commit([], [Put(key, json.dumps(one).encode()) for key, one in IPAM.items()])
        await store.commit([], [pool("p4", "10.65.0.0/27", block_size=29), pool("p6", "fd00:65::/124", block_size=126)])
        allocator = Allocator(store, "host-1", ManualClock())
        await allocator.start()
        try:
            await asyncio.wait_for(scenario(store, allocator), 10)
        finally:
            await allocator.close()

    asyncio.run(run())


def recorded(handle: str = "") -> set[str]:
    """The addresses that are given out, or those of one owner."""
    blocks = [decode_json(Block, text) for text in ipam(keys.BLOCKS).values()]
    return {
        str(address(block, ordinal))
        for block in blocks
        for ordinal in range(len(block.allocations))
        if (found := owner(block, ordinal)) and handle in ("", found)
    }


def test_addresses_that_calico_gave_out_are_not_given_out_again():
    async def scenario(store, allocator):
        given: list[str] = []

        async def until_full():
            while True:
                given.extend(map(str, (await allocator.allocate(Request(handle=f"ours-{len(given)}"))).addresses))

        with pytest.raises(Refused, match="full"):
            await until_full()
        assert len(given) == len(set(given)) == 32 - len([one for one in recorded() if ":" not in one])
        assert not recorded().intersection(given)

    on_recorded_addresses(scenario)


def test_we_release_what_calico_gave_out():
    (handle,) = {owner(block, 0) for text in ipam(keys.BLOCKS).values() for block in [decode_json(Block, text)]} - {
        None
    }

    async def scenario(store, allocator):
        assert {*map(str, await allocator.release(handle))} == recorded(handle) != set()
        assert await store.get(keys.handle(handle)) is None

    on_recorded_addresses(scenario)


# --- what the tool refuses ----------------------------------------------------------------------------------------

REFUSED = [
    ("HostEndpoint", {}, "spec.interfaceName"),
    (
        "GlobalNetworkPolicy",
        {"ingress": [{"action": "Deny", "source": {"nets": ["10.0.0.1/8"]}}]},
        "spec.ingress[0].source.nets[0]",
    ),
    (
        "GlobalNetworkPolicy",
        {"ingress": [{"action": "Deny", "source": {"notNets": ["10.0.0.1"]}}]},
        "spec.ingress[0].source.notNets[0]",
    ),
    (
        "GlobalNetworkPolicy",
        {"ingress": [{"action": "Allow", "http": {"paths": [{"exact": "a"}]}}]},
        "spec.ingress[0].http.paths[0].exact",
    ),
    ("BGPConfiguration", {"serviceClusterIPs": [{"cidr": "10.96.0.1/12"}]}, "spec.serviceClusterIPs[0].cidr"),
    (
        "BGPConfiguration",
        {"prefixAdvertisements": [{"cidr": "10.96.0.1/12", "communities": ["1:2"]}]},
        "spec.prefixAdvertisements[0].cidr",
    ),
    (
        "BGPFilter",
        {"exportV4": [{"action": "Accept", "cidr": "10.0.0.1/8", "matchOperator": "In"}]},
        "spec.exportV4[0].cidr",
    ),
    ("FelixConfiguration", {"natPortRange": "0:5"}, "spec.natPortRange"),
    ("FelixConfiguration", {"externalNodesList": ["fd00::1"]}, "spec.externalNodesList[0]"),
    ("FelixConfiguration", {"wireguardRoutingRulePriority": 32766}, "spec.wireguardRoutingRulePriority"),
    (
        "FelixConfiguration",
        {"healthTimeoutOverrides": [{"name": "a.b", "timeout": "1s"}]},
        "spec.healthTimeoutOverrides[0].name",
    ),
    ("Node", {}, "status.wireguardPublicKey"),
    *(
        (
            "HostEndpoint",
            {"node": "h", "interfaceName": "*", "ports": [{"name": name, "protocol": "TCP", "port": 1}]},
            "spec.ports[0].name",
        )
        for name in ("x" * 16, "80", "UPPER", "a--b", "-a", "a_b")
    ),
]


@pytest.mark.parametrize(("kind", "spec", "field"), REFUSED)
def test_what_the_tool_refuses_is_refused(kind, spec, field):
    status = {"status": {"wireguardPublicKey": "a2V5"}} if kind == "Node" else {}
    name = "default" if kind.endswith("Configuration") else "n"
    document = parse({"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec, **status})
    assert field in {problem.field for problem in validate(document.resource)}
