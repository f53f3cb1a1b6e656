"""What the command line says of Docker's containers, and how the agent is told of Docker."""

from __future__ import annotations

import pytest
from cli_bed import Shell

from ocicat.model import keys
from ocicat.model.codec import encode_json
from ocicat.model.resources import Metadata, WorkloadEndpoint, WorkloadEndpointSpec
from ocicat.store.base import Put

ID = "0123456789abcdef" * 4


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    return Shell(tmp_path, monkeypatch, capsys)


def endpoint(**labels):
    name = f"h1-libnetwork-libnetwork-{ID}"
    spec = WorkloadEndpointSpec(
        orchestrator="libnetwork", node="h1", container_id="libnetwork", endpoint=ID, ip_networks=("10.65.0.1/32",)
    )
    labels = {f"docker/{key}": value for key, value in labels.items()}
    stored = WorkloadEndpoint(metadata=Metadata(name=name, namespace="default", labels=labels), spec=spec)
    return Put(keys.workload("default", name), encode_json(stored))


@pytest.mark.parametrize(("labels", "name"), [({"container": "web.1"}, "web.1"), ({}, "libnetwork")])
def test_a_container_is_listed_by_its_name(shell, labels, name):
    shell.write(endpoint(**labels))
    assert shell.ok("endpoints").out.splitlines()[1].split()[:4] == ["h1", name, "0123456789ab", "10.65.0.1"]


def test_a_wrong_socket_of_docker_is_78_before_anything_is_touched(shell):
    ended = shell("agent", "--host=h1", "--address=10.0.0.1/24", "--docker-plugin=ocicat.sock")
    assert ended.code == 78
    assert ended.err.startswith("ocicat: --docker-plugin 'ocicat.sock' is no socket")
