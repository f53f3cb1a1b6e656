"""What Mesos gets to read, byte for byte, and what we make of what it writes."""

from __future__ import annotations

import json

import pytest

from ocicat.mesos.types import (
    NetworkRequest,
    NetworkStatus,
    Offer,
    PortMapping,
    PortRange,
    TaskSpec,
    TaskState,
    problem_of,
)
from ocicat.mesos.wire import Event, RawOffer, Status, offer_of, status_of
from ocicat.mesos.wire_task import network_info, task_info
from ocicat.model.codec import decode_json, encode_json

OFFER = Offer(id="o1", agent_id="s1", hostname="h1", role="*", cpus=4, mem_mb=1024)


def written(value):
    return json.loads(encode_json(value))


def test_a_network_request_becomes_a_network_info():
    request = NetworkRequest(
        "ocicat",
        groups=("a", "b"),
        labels={"app": "x"},
        ip_addresses=("10.1.0.7", "fd00::7"),
        port_mappings=(PortMapping(8080, 80),),
    )
    assert written(network_info(request)) == {
        "name": "ocicat",
        "groups": ["a", "b"],
        "labels": {"labels": [{"key": "app", "value": "x"}]},
        "ip_addresses": [{"ip_address": "10.1.0.7"}, {"ip_address": "fd00::7", "protocol": "IPv6"}],
        "port_mappings": [{"host_port": 8080, "container_port": 80, "protocol": "tcp"}],
    }


def test_nothing_empty_is_written():
    assert written(network_info(NetworkRequest("ocicat"))) == {"name": "ocicat"}


def test_a_shell_task_on_the_host_network():
    assert written(task_info(TaskSpec("web", "sleep 1"), "web.1", OFFER)) == {
        "name": "web",
        "task_id": {"value": "web.1"},
        "agent_id": {"value": "s1"},
        "resources": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}, "allocation_info": {"role": "*"}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 32.0}, "allocation_info": {"role": "*"}},
        ],
        "command": {"value": "sleep 1"},
    }


def test_an_argv_task_with_everything():
    spec = TaskSpec(
        "web",
        ("sleep", "1"),
        network=NetworkRequest("ocicat"),
        labels={"tier": "db"},
        user="nobody",
        environment={"A": "1"},
    )
    task = written(task_info(spec, "web.1", OFFER))
    assert task["command"] == {
        "value": "sleep",
        "shell": False,
        "arguments": ["sleep", "1"],
        "user": "nobody",
        "environment": {"variables": [{"name": "A", "value": "1"}]},
    }
    assert task["container"] == {"type": "MESOS", "network_infos": [{"name": "ocicat"}]}
    assert task["labels"] == {"labels": [{"key": "tier", "value": "db"}]}


def test_a_status_carries_addresses_and_the_whole_container_id():
    status = status_of(
        decode_json(
            Status,
            json.dumps(
                {
                    "task_id": {"value": "t"},
                    "state": "TASK_RUNNING",
                    "uuid": "abc=",
                    "healthy": True,
                    "agent_id": {"value": "s1"},
                    "container_status": {
                        "container_id": {"value": "c", "parent": {"value": "p"}},
                        "cgroup_info": {},
                        "network_infos": [
                            {
                                "name": "ocicat",
                                "groups": ["a"],
                                "ip_addresses": [{"protocol": "IPv4", "ip_address": "10.1.0.7"}, {}],
                            }
                        ],
                    },
                }
            ),
        )
    )
    assert (status.state, status.container_id, status.agent_id) == (TaskState.RUNNING, "p.c", "s1")
    assert status.networks == (NetworkStatus("ocicat", ("a",), {}, ("10.1.0.7",)),)
    assert status.ip_addresses == ("10.1.0.7",)


def test_a_state_of_a_newer_mesos_is_unknown_and_not_the_end():
    status = decode_json(Status, b'{"task_id":{"value":"t"},"state":"TASK_DREAMING"}')
    assert status.state is TaskState.UNKNOWN
    assert not status.state.terminal


def test_an_event_of_a_newer_mesos_is_read_as_far_as_known():
    assert decode_json(Event, b'{"type":"SOMETHING","something":{"a":[1]}}').type == "SOMETHING"


def resource(name, value, **more):
    return {"name": name, "type": "SCALAR", "scalar": {"value": value}, **more}


def test_an_offer_counts_only_what_anybody_may_use():
    raw = {
        "id": {"value": "o"},
        "agent_id": {"value": "s"},
        "hostname": "h",
        "allocation_info": {"role": "web"},
        "resources": [
            resource("cpus", 2, role="*"),
            resource("cpus", 1.5),
            resource("cpus", 8, role="db"),
            resource("cpus", 8, reservations=[{"role": "web"}]),
            resource("cpus", 8, revocable={}),
            resource("mem", 512),
            resource("disk", 9),
            {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 1, "end": 2}]}},
            {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 5, "end": 6}]}, "role": "db"},
        ],
        "attributes": [
            {"name": "rack", "type": "TEXT", "text": {"value": "a"}},
            {"name": "height", "type": "SCALAR", "scalar": {"value": 3}},
        ],
    }
    attributes = {"rack": "a", "height": "3"}
    expected = Offer("o", "s", "h", "web", 3.5, 512, 9, (PortRange(1, 2),), attributes)
    assert offer_of(decode_json(RawOffer, json.dumps(raw))) == expected


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (TaskSpec("", "true"), "no name"),
        (TaskSpec("t", ""), "command is empty"),
        (TaskSpec("t", ()), "command is empty"),
        (TaskSpec("t", "true", cpus=0.001), "cpus is 0.001"),
        (TaskSpec("t", "true", mem_mb=0), "mem_mb is 0"),
        (TaskSpec("t", "true", network=NetworkRequest("")), "network has no name"),
        (TaskSpec("t", "true", network=NetworkRequest("n", ip_addresses=("10.1",))), "'10.1' is not an IP address"),
        (TaskSpec("t", "true", network=NetworkRequest("n", port_mappings=(PortMapping(0, 80),))), "port 0 is not"),
    ],
)
def test_a_wrong_spec_is_named(spec, problem):
    assert problem in problem_of(spec)


def test_a_right_spec_has_no_problem():
    network = NetworkRequest("n", ip_addresses=("10.1.0.1",), port_mappings=(PortMapping(8080, 80),))
    assert problem_of(TaskSpec("t", ("true",), network=network)) == ""
