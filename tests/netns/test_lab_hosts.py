"""The lab's hosts: real namespaces that reach each other, and nothing outside of them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from ocicat.errors import Conflict
from ocicat.lab import hosts
from ocicat.lab.processes import enter
from ocicat.lab.spec import LabSpec
from ocicat.lab.sweep import traces
from ocicat.netlink import namespace

pytestmark = pytest.mark.netns

SPEC = LabSpec(hosts=2, name="t-hosts", directory="/nonexistent/oct-hosts")


def names() -> tuple[str, ...]:
    return traces(SPEC.name, SPEC.root).namespaces


@pytest.fixture
def built() -> Iterator[LabSpec]:
    hosts.remove(names())
    try:
        namespace.create(SPEC.fabric)
        hosts.build(SPEC.fabric, (SPEC.master, *SPEC.nodes))
        yield SPEC
    finally:
        hosts.remove(names())


def run(host: str, *command: str) -> str:
    return subprocess.run([*enter(host), *command], capture_output=True, text=True, check=True, timeout=10).stdout


def outside() -> str:
    """Everything of the network of the namespace we are in."""
    commands = (["ip", "-o", "address"], ["ip", "route", "show", "table", "all"], ["ip", "rule"])
    return "".join(subprocess.run(line, capture_output=True, text=True, check=True).stdout for line in commands)


def test_every_host_reaches_every_other_and_the_master(built: LabSpec) -> None:
    ends = (built.master, *built.nodes)
    for source in ends:
        for target in ends:
            run(source.namespace, "ping", "-c", "1", "-W", "2", "-q", target.ip)


def test_a_host_has_a_loopback_an_address_and_a_route_for_everything(built: LabSpec) -> None:
    host = built.nodes[0]
    assert "UP" in run(host.namespace, "ip", "-o", "link", "show", "lo")
    assert "172.30.77.11/24" in run(host.namespace, "ip", "-o", "-4", "address", "show", "eth0")
    assert run(host.namespace, "ip", "route", "show", "default").startswith("default dev lo")


def test_forwarding_is_left_to_the_agent(built: LabSpec) -> None:
    assert run(built.nodes[0].namespace, "cat", "/proc/sys/net/ipv4/ip_forward") == fresh_namespace_forwarding()


def fresh_namespace_forwarding() -> str:
    command = ["unshare", "--net", "cat", "/proc/sys/net/ipv4/ip_forward"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_namespace_it_is_made_from_stays_as_it_was() -> None:
    before = outside()
    try:
        namespace.create(SPEC.fabric)
        hosts.build(SPEC.fabric, (SPEC.master, *SPEC.nodes))
        assert outside() == before
    finally:
        hosts.remove(names())
    assert outside() == before


def test_removing_leaves_nothing_and_may_be_repeated(built: LabSpec) -> None:
    assert hosts.remove(names()) == 4
    assert names() == ()
    assert hosts.remove([built.fabric]) == 0


def test_a_host_that_is_there_already_is_a_conflict() -> None:
    try:
        namespace.create(SPEC.fabric)
        namespace.create(SPEC.master.namespace)
        with pytest.raises(Conflict, match="oct-hosts-master"):
            hosts.build(SPEC.fabric, (SPEC.master,))
    finally:
        hosts.remove(names())
