"""`ocicat get`: what is printed of which objects, and how names are understood."""

from __future__ import annotations

import json

import pytest
import yaml
from cli_bed import Shell

from ocicat.cli.columns import columns_of, row
from ocicat.cli.naming import asked
from ocicat.errors import UserError
from ocicat.model.v3.document import parse
from ocicat.model.v3.kinds import KINDS
from ocicat.store.base import Put

API = "projectcalico.org/v3"


def raw(kind, name, spec=None, *, namespace="", labels=None):
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {}) | ({"labels": labels} if labels else {})
    return {"apiVersion": API, "kind": kind, "metadata": metadata, "spec": spec or {}}


OBJECTS = [
    raw("IPPool", "big", {"cidr": "10.0.0.0/16", "natOutgoing": True}, labels={"zone": "a"}),
    raw("IPPool", "small", {"cidr": "10.1.0.0/24", "disabled": True}, labels={"zone": "b"}),
    raw("Tier", "sec", {"order": 10}),
    raw("NetworkPolicy", "web", {"selector": "app == 'web'"}, namespace="default"),
    raw("NetworkPolicy", "web", {"order": 5}, namespace="shop"),
]


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    shell = Shell(tmp_path, monkeypatch, capsys)
    shell.ok("create", "-f", "-", stdin=json.dumps(OBJECTS))
    return shell


# --- which ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["pools"], ["ippool/big", "ippool/small"]),
        (["IPPool", "small"], ["ippool/small"]),
        (["ippool/big", "tier/sec"], ["ippool/big", "tier/sec"]),
        (["ipp", "small", "big", "small"], ["ippool/small", "ippool/big"]),
        (["np"], ["networkpolicy/default/web"]),
        (["np", "-n", "shop"], ["networkpolicy/shop/web"]),
        (["np", "-A"], ["networkpolicy/default/web", "networkpolicy/shop/web"]),
        (["networkpolicy/shop/web", "np/web"], ["networkpolicy/shop/web", "networkpolicy/default/web"]),
        (["np/web", "-n", "shop"], ["networkpolicy/shop/web"]),
        (["tiers,pools"], ["tier/sec", "ippool/big", "ippool/small"]),
        (["pools,np", "-n", "shop"], ["ippool/big", "ippool/small", "networkpolicy/shop/web"]),
        (["all"], ["ippool/big", "ippool/small", "networkpolicy/default/web", "tier/sec"]),
        (["pools", "-l", "zone == 'b'"], ["ippool/small"]),
        (["pools", "-l", "!has(zone)"], []),
        (["nodes"], []),
    ],
)
def test_what_is_asked_for(shell, words, names):
    assert shell.ok("get", *words, "-o", "name").out.splitlines() == names


def test_a_name_that_is_printed_can_be_typed(shell):
    names = shell.ok("get", "all", "-A", "-o", "name").out.split()
    assert shell.ok("get", *names, "-o", "name").out.split() == names
    assert len(names) == len(OBJECTS)


def test_5_for_a_name_that_is_not_there_after_those_that_are(shell):
    ended = shell("get", "pools", "none", "big", "nor", "-o", "name")
    assert (ended.code, ended.out) == (5, "ippool/big\n")
    assert ended.err == "ocicat: IPPool none: there is none\nocicat: IPPool nor: there is none\n"
    for style in ("table", "json", "yaml"):
        alone = shell("get", "ippool/none", "-o", style)
        assert (alone.code, alone.out) == (5, "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name a kind, or give files with -f"),
        (["pools", "-f", "x"], "name a kind, or give files with -f"),
        (["pol", "-n", "a", "-A"], "-n names one namespace and -A all of them"),
        (["pools", "-n", "a"], "IPPool lies in no namespace"),
        (["pools", "-A"], "IPPool lies in no namespace"),
        (["ippool/a/b"], "IPPool lies in no namespace"),
        (["np/a/b", "-n", "c"], "the namespace is 'a' in the name and 'c' with -n"),
        (["np", "web", "-A"], "a name lies in one namespace, and -A means all of them"),
        (["np/web", "-A"], "lies in one namespace, and -A means all of them"),
        (["pools,tiers", "a"], "names are of one"),
        (["tire"], "'tire' is no kind of resource\n  did you mean Tier?"),
        (["pools,"], "'' is no kind of resource"),
        (["tier/"], "'tier/' is not KIND/NAME"),
        (["tier/a", "tier"], "'tier' is not KIND/NAME"),
        (["a/b/c/d"], "is not KIND/NAME"),
        (["pools", "-l", "zone = 'a'"], "column 6"),
        (["pools", "big", "-l", "all()"], "names name them"),
        (["pools", "-o", "xml"], "'xml' is not one of"),
    ],
)
def test_2_when_it_is_asked_wrongly(shell, words, said):
    ended = shell("get", *words)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


def test_what_a_file_names(shell, tmp_path):
    file = tmp_path / "f.yaml"
    file.write_text(yaml.safe_dump_all([raw("IPPool", "small", {"cidr": "1.0.0.0/8"}), raw("NetworkPolicy", "web")]))
    assert shell.ok("get", "-f", str(file), "-o", "name").out == "ippool/small\nnetworkpolicy/default/web\n"
    found = list(yaml.safe_load_all(shell.ok("get", "-f", str(file), "-o", "yaml").out))
    assert [one["spec"].get("cidr") for one in found] == ["10.1.0.0/24", None]


def test_one_bad_object_is_told_and_hides_no_other(shell):
    shell.write(Put("/calico/resources/v3/projectcalico.org/ippools/bad", b'{"kind": 1}'))
    ended = shell.ok("get", "pools", "-o", "name")
    assert ended.out == "ippool/big\nippool/small\n"
    assert ended.err.startswith("ocicat: left out: IPPool bad: ")
    assert shell("get", "pools", "bad").code == 2


# --- how --------------------------------------------------------------------------------------------------------


def test_a_table(shell):
    assert shell.ok("get", "pools").out == (
        "NAME   CIDR         SELECTOR\nbig    10.0.0.0/16  all()\nsmall  10.1.0.0/24  all()\n"
    )
    assert shell.ok("get", "pools", "-o", "wide").out == (
        "NAME   CIDR         SELECTOR  NAT    IPIPMODE  VXLANMODE  BLOCKSIZE  DISABLED  DISABLEBGPEXPORT\n"
        "big    10.0.0.0/16  all()     true   Never     Never      26         false     false\n"
        "small  10.1.0.0/24  all()     false  Never     Never      26         true      false\n"
    )
    assert shell.ok("get", "np", "-A", "-o", "wide").out == (
        "NAMESPACE  NAME  TIER     ORDER  SELECTOR\n"
        "default    web   default  -      app == 'web'\n"
        "shop       web   default  5      -\n"
    )


def test_tables_of_several_kinds_say_which(shell):
    assert shell.ok("get", "tiers,pools,nodes").out == (
        "KIND  NAME  ORDER\nTier  sec   10\n\n"
        "KIND    NAME   CIDR         SELECTOR\nIPPool  big    10.0.0.0/16  all()\nIPPool  small  10.1.0.0/24  all()\n"
    )


def test_nothing_is_a_table_without_rows_and_an_empty_list(shell):
    assert shell.ok("get", "nodes").out == "NAME\n"
    assert shell.ok("get", "nodes", "-o", "name").out == ""
    listed = json.loads(shell.ok("get", "nodes", "-o", "json").out)
    assert (listed["kind"], listed["apiVersion"], listed["items"]) == ("NodeList", API, [])
    assert shell.ok("get", "nodes,heps", "-o", "json").out == "[]\n"


def test_one_object_is_itself_and_several_are_a_list(shell):
    one = json.loads(shell.ok("get", "pools", "big", "-o", "json").out)
    assert (one["kind"], one["metadata"]["name"], one["metadata"]["resourceVersion"]) == ("IPPool", "big", "1")
    for words in (["pools"], ["pools", "big", "small"], ["pools", "-l", "zone == 'a'"]):
        listed = json.loads(shell.ok("get", *words, "-o", "json").out)
        assert (listed["kind"], listed["metadata"]) == ("IPPoolList", {"resourceVersion": "1"})
        assert listed["items"][0] == one
        assert yaml.safe_load(shell.ok("get", *words, "-o", "yaml").out) == listed


def test_several_kinds_are_documents_in_yaml_and_an_array_in_json(shell):
    array = json.loads(shell.ok("get", "pools,tiers", "-o", "json").out)
    assert [one["metadata"]["name"] for one in array] == ["big", "small", "sec"]
    assert list(yaml.safe_load_all(shell.ok("get", "pools,tiers", "-o", "yaml").out)) == array


@pytest.mark.parametrize("style", ["yaml", "json"])
def test_what_is_printed_can_be_applied(shell, tmp_path, style):
    text = shell.ok("get", "all", "-A", "-o", style).out
    assert shell.ok("apply", "-f", "-", stdin=text).out.count(" unchanged\n") == len(OBJECTS)
    other = f"sqlite://{tmp_path}/other.db"
    assert shell.ok("apply", "-f", "-", "--store", other, stdin=text).out.count(" created\n") == len(OBJECTS)
    again = shell.ok("get", "all", "-A", "-o", "json", "--store", other).out
    assert [one["spec"] for one in json.loads(again)] == [
        one["spec"] for one in json.loads(shell.ok("get", "all", "-A", "-o", "json").out)
    ]


# --- columns ----------------------------------------------------------------------------------------------------

SPECS = {
    "BGPPeer": [
        ({"node": "h1", "peerIP": "10.0.0.1", "asNumber": 64512}, ["x", "10.0.0.1", "h1", "64512"]),
        ({"nodeSelector": "all()"}, ["x", "-", "all()", "-"]),
        ({}, ["x", "-", "(global)", "-"]),
    ],
    "BGPFilter": [({"importV4": [{"action": "Accept"}, {"action": "Reject"}]}, ["x", "0", "2", "0", "0"])],
    "BGPConfiguration": [({"nodeToNodeMeshEnabled": False}, ["x", "Info", "false", "-"])],
    "HostEndpoint": [
        (
            {"node": "h1", "interfaceName": "eth0", "expectedIPs": ["10.0.0.1", "10.0.0.2"]},
            ["x", "h1", "eth0", "10.0.0.1,10.0.0.2", "-"],
        )
    ],
    "GlobalNetworkSet": [({"nets": ["10.0.0.0/16"] * 50}, ["x", ("10.0.0.0/16," * 9)[:77] + "..."])],
    "Node": [
        ({"bgp": {"ipv4Address": "10.0.0.1/24"}}, ["x", "(default)", "10.0.0.1/24", "-"]),
        ({"bgp": {"asNumber": 64999}}, ["x", "64999", "-", "-"]),
        ({}, ["x", "-", "-", "-"]),
    ],
    "Profile": [({"labelsToApply": {"b": "2", "a": ""}}, ["x", "a=,b=2"])],
    "Tier": [
        ({"order": 10.5, "defaultAction": "Pass"}, ["x", "10.5", "Pass"]),
        ({"order": 10000000}, ["x", "10000000", "-"]),
        ({}, ["x", "-", "-"]),
    ],
    "WorkloadEndpoint": [
        (
            {
                "orchestrator": "mesos",
                "containerID": "c1",
                "node": "h1",
                "ipNetworks": ["10.0.0.1/32"],
                "interfaceName": "cali1",
                "ipNATs": [{"internalIP": "10.0.0.1", "externalIP": "1.1.1.1"}],
            },
            ["x", "c1", "h1", "10.0.0.1/32", "cali1", "-", "10.0.0.1=1.1.1.1"],
        ),
        ({"orchestrator": "k8s", "pod": "p"}, ["x", "p", "-", "-", "-", "-", "-"]),
    ],
    "IPAMBlock": [
        (
            {"cidr": "10.0.0.0/30", "allocations": [0, None, None, 0], "unallocated": [1, 2], "attributes": [{}]},
            ["x", "10.0.0.0/30", "-", "2/4"],
        )
    ],
}


@pytest.mark.parametrize(("kind", "spec", "cells"), [(kind, *case) for kind, cases in SPECS.items() for case in cases])
def test_the_cells_of_a_row(kind, spec, cells):
    document = parse(raw(kind, "x", spec, namespace="n" if KINDS[kind].namespaced else ""))
    assert row(columns_of(KINDS[kind], wide=True), document.resource) == cells


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_every_column_of_every_kind_names_a_field(kind):
    """A path that leads nowhere would show a dash for ever."""
    from ocicat.model.v3.shape import Record, record

    for head, cell in columns_of(kind, wide=True):
        if callable(cell) or cell == "spec.effective_block_size":
            continue
        shape = record(kind.type)
        for name in cell.split("."):
            assert isinstance(shape, Record), (head, cell)
            found = [member for member in shape.members if member.attribute == name]
            assert found, (head, cell)
            shape = found[0].shape


def test_a_cell_is_one_line():
    document = parse(raw("Profile", "x", {"labelsToApply": {"a": "b\nc"}}))
    assert row(columns_of(KINDS["Profile"], wide=True), document.resource) == ["x", "a=b\\nc"]


# --- names ------------------------------------------------------------------------------------------------------


def test_all_leaves_the_address_managers_records_out():
    kinds = {one.kind.name for one in asked(["all"], "")}
    assert "IPAMBlock" not in kinds
    assert {"IPPool", "NetworkPolicy", "Tier"} <= kinds


def test_a_namespace_means_nothing_to_some_of_several_kinds():
    assert [one.namespace for one in asked(["np,pools"], "shop")] == ["shop", ""]
    with pytest.raises(UserError, match="lies in no namespace"):
        asked(["pools"], "shop")
