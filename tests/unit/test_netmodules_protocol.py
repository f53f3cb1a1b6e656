"""What each version of the network isolator module says, and what it is answered; and what is wrong, in the words of old.

The table's first request was recorded; the others are composed as the module composes them: Mesos' JSON of its messages, keys in
their order, no empty lists. The errors are those that the tests of Calico's plugin asserted, and some more.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ocicat.errors import UserError
from ocicat.mesos.netmodules import protocol
from ocicat.mesos.netmodules.protocol import Allocate, Cleanup, Isolate, ReleaseAddresses, ReleaseOwner, Reserve
from ocicat.model.codec import encode_json
from ocicat.model.net import Addr

TABLE = json.loads((Path(__file__).parents[1] / "data" / "netmodules.json").read_text())
CALLS = [
    pytest.param(call, id=f"{sequence['mesos']} {json.loads(call['request'])['command']}")
    for sequence in TABLE["sequences"]
    for call in sequence["calls"]
]


def plain(request):
    fields = {name: getattr(request, name) for name in request.__struct_fields__}
    for name in ("addresses", "static"):
        if name in fields:
            fields[name] = [str(address) for address in fields[name]]
    return {type(request).__name__: json.loads(encode_json(fields))}


@pytest.mark.parametrize("call", CALLS)
def test_a_request_means_what_it_says(call):
    assert plain(protocol.parse(call["request"].encode())) == call["means"]


@pytest.mark.parametrize("row", TABLE["errors"], ids=lambda row: row["error"] or row["request"])
def test_what_is_wrong(row):
    text = row.get("request") or json.dumps({"command": row["command"], "args": row["args"]})
    with pytest.raises(UserError) as refused:
        protocol.parse(text.encode())
    assert "\n" not in str(refused.value)
    if row["error"] is not None:
        assert refused.value.message == row["error"]
    reply = json.loads(protocol.failed(str(refused.value)))
    assert reply == {"error": str(refused.value)}


@pytest.mark.parametrize("call", CALLS)
def test_replies_are_written_as_they_were(call):
    wanted = json.loads(call["reply"])
    made = protocol.succeeded()
    if "ipv4" in wanted:
        made = protocol.allocated(map(Addr.parse, (*wanted["ipv4"], *wanted["ipv6"])))
    assert made.decode() == call["reply"]
    assert len(made) < protocol.REPLY_LIMIT_BYTES


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (None, {}),
        ({}, {}),
        ([], {}),
        ({"labels": []}, {}),
        ({"labels": "x"}, {"labels": "x"}),
        ({"rack": "3A", "n": 1}, {"rack": "3A", "n": "1"}),
        ([{"key": "rack", "value": "3A"}, {"key": "bare"}], {"rack": "3A", "bare": ""}),
        ({"labels": [{"key": "rack", "value": "3A"}]}, {"rack": "3A"}),
    ],
)
def test_labels_in_each_form(labels, expected):
    args = {"container_id": "c", "hostname": "h", "pid": 1, "ipv4_addrs": ["10.0.0.1"], "labels": labels}
    assert protocol.parse(json.dumps({"command": "isolate", "args": args}).encode()).labels == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("[]", []),
        ("['192.168.3.1']", ["192.168.3.1"]),
        ('["192.168.3.1", "192.168.3.2"]', ["192.168.3.1", "192.168.3.2"]),
        ("('192.168.3.1',)", ["192.168.3.1"]),
        ("192.168.3.1,192.168.3.1", ["192.168.3.1"]),
        (" 192.168.3.1 ", ["192.168.3.1"]),
    ],
)
def test_addresses_in_a_label(text, expected):
    args = {"uid": "u", "hostname": "", "num_ipv4": "1", "num_ipv6": 0, "labels": {"ipv4_addrs": text}}
    found = protocol.parse(json.dumps({"command": "allocate", "args": args}).encode())
    assert [str(address) for address in found.static] == expected


def test_failures_are_never_empty_and_never_too_long():
    assert json.loads(protocol.failed(""))["error"]
    assert len(protocol.failed("\x00" * 100_000)) < protocol.REPLY_LIMIT_BYTES


def test_requests_about_the_same_thing_take_turns():
    address = (Addr.parse("10.0.0.1"),)
    assert protocol.subject(Reserve("u", address)) == protocol.subject(Allocate("u", 1, 0))
    assert protocol.subject(Reserve("u", address)) == protocol.subject(ReleaseOwner("u"))
    assert protocol.subject(Isolate("c", 1, address)) == protocol.subject(Cleanup("c")) == ("c", "eth0")
    assert protocol.subject(ReleaseAddresses(address)) != protocol.subject(ReleaseOwner("u"))
