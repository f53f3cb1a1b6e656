"""Addresses and prefixes, keys, and the JSON that Calico's tools read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocicat.errors import UserError
from ocicat.model import keys
from ocicat.model import resources as r
from ocicat.model.codec import decode_json, encode_json
from ocicat.model.net import Addr, Cidr, Lpm, parse_interface

addresses = st.one_of(
    st.builds(Addr, st.just(4), st.integers(0, 2**32 - 1)), st.builds(Addr, st.just(6), st.integers(0, 2**128 - 1))
)


@settings(deadline=None)
@given(addresses)
def test_an_address_survives_text_and_bytes(address):
    assert Addr.parse(str(address)) == address
    assert Addr.unpack(address.pack()) == address


@settings(deadline=None)
@given(addresses, st.integers(0, 128))
def test_a_prefix_holds_what_it_was_made_of(address, length):
    cidr = Cidr.of(address, min(length, 32 if address.family == 4 else 128))
    assert address in cidr
    assert Cidr.parse(str(cidr)) == cidr


@pytest.mark.parametrize(
    "text", ["", "10.0.0", "10.0.0.256", "010.0.0.1", "::1%eth0", "x", "10.0.0.1/24x", "1.2.3.4/-1", "::/129"]
)
def test_what_is_no_prefix_is_refused_by_its_text(text):
    with pytest.raises(UserError, match="is not"):
        Cidr.parse(text)


def test_host_bits_are_refused_with_the_prefix_that_was_meant():
    with pytest.raises(UserError, match=r"did you mean 10\.0\.0\.0/24"):
        Cidr.parse("10.0.0.1/24")


def test_an_interface_address_keeps_its_subnet():
    assert parse_interface("10.0.0.5/24") == (Addr.parse("10.0.0.5"), Cidr.parse("10.0.0.0/24"))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)), max_size=30), st.integers(0, 2**32 - 1))
def test_the_longest_prefix_wins(prefixes, value):
    table = Lpm()
    cidrs = {Cidr.of(Addr(4, network), length) for network, length in prefixes}
    for cidr in cidrs:
        table[cidr] = cidr
    holding = [cidr for cidr in cidrs if Addr(4, value) in cidr]
    assert table.lookup(Addr(4, value)) == max(holding, key=lambda cidr: cidr.length, default=None)
    for cidr in cidrs:
        del table[cidr]
    assert table.lookup(Addr(4, value)) is None


def test_keys_are_calicos():
    cidr = Cidr.parse("10.65.0.64/26")
    assert keys.block(cidr) == "/calico/ipam/v2/assignment/ipv4/block/10.65.0.64-26"
    assert keys.affinity("h1", cidr) == "/calico/ipam/v2/host/h1/ipv4/block/10.65.0.64-26"
    assert keys.block_cidr(keys.block(cidr)) == cidr
    assert keys.affinity_parts(keys.affinity("h1", cidr)) == ("h1", cidr)
    assert keys.workload("default", "h1-cni-c-eth0").endswith(
        "projectcalico.org/workloadendpoints/default/h1-cni-c-eth0"
    )


def test_a_block_is_written_as_calico_reads_it():
    block = r.Block(
        cidr="10.0.0.0/30",
        affinity="host:h1",
        allocations=(0, None, None, None),
        unallocated=(1, 2, 3),
        attributes=(r.AllocationAttribute("c1.eth0", {"node": "h1"}),),
        sequence_number=5,
        sequence_number_for_allocation={"0": 4},
    )
    assert json.loads(encode_json(block)) == {
        "cidr": "10.0.0.0/30",
        "affinity": "host:h1",
        "allocations": [0, None, None, None],
        "unallocated": [1, 2, 3],
        "attributes": [{"handle_id": "c1.eth0", "secondary": {"node": "h1"}}],
        "deleted": False,
        "sequenceNumber": 5,
        "sequenceNumberForAllocation": {"0": 4},
    }
    assert decode_json(r.Block, encode_json(block)) == block


def test_a_resource_is_written_as_calico_reads_it():
    node = r.Node(metadata=r.Metadata(name="h1"), spec=r.NodeSpec(bgp=r.NodeBGPSpec(ipv4_address="10.0.0.1/24")))
    assert json.loads(encode_json(node)) == {
        "kind": "Node",
        "apiVersion": "projectcalico.org/v3",
        "metadata": {"name": "h1"},
        "spec": {"bgp": {"ipv4Address": "10.0.0.1/24"}},
    }


def test_what_cannot_be_read_names_the_document_and_the_field():
    with pytest.raises(UserError, match=r"pool p: spec\.blockSize: expected `int`, got `str`"):
        decode_json(r.IPPool, b'{"metadata":{"name":"p"},"spec":{"cidr":"10.0.0.0/8","blockSize":"x"}}', what="pool p")


def test_unknown_fields_are_skipped():
    assert decode_json(r.Node, b'{"metadata":{"name":"h"},"spec":{},"status":{"new":1}}').metadata.name == "h"
