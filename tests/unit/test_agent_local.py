"""What the agent remembers of this host's endpoints."""

from __future__ import annotations

import pytest

from ocicat.agent.local import Local
from ocicat.model import keys
from ocicat.model.codec import encode_json
from ocicat.model.names import WorkloadEndpointIds
from ocicat.model.resources import Metadata, WorkloadEndpoint, WorkloadEndpointSpec

NAME = WorkloadEndpointIds(node="here", orchestrator="cni", container_id="c1", endpoint="eth0").name()


def endpoint(namespace, node="here"):
    spec = WorkloadEndpointSpec(orchestrator="cni", node=node, container_id="c1", endpoint="eth0")
    value = WorkloadEndpoint(metadata=Metadata(name=NAME, namespace=namespace), spec=spec)
    return keys.workload(namespace, NAME), encode_json(value)


@pytest.fixture
def local():
    return Local("here")


def test_an_endpoint_is_found_by_container_and_interface_until_it_goes(local):
    key, value = endpoint("mesos")
    local.observe(key, value)
    assert local.find("c1", "eth0")[0] == key
    local.observe(key, None)
    assert local.find("c1", "eth0") is None


def test_another_hosts_endpoint_is_not_kept(local):
    local.observe(*endpoint("mesos", node="there"))
    assert not local.endpoints


def test_an_endpoint_that_came_before_its_predecessor_went_stays(local):
    """Of a store that is read anew, deletions come last."""
    (before, old), (after, new) = endpoint("mesos"), endpoint("other")
    local.observe(before, old)
    local.observe(after, new)
    local.observe(before, None)
    assert local.find("c1", "eth0")[0] == after
