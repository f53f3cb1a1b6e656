"""What groups allowed in Calico's Mesos plugin, sentence by sentence, and that they allow it here, on both ways into the agent.

Judged by the reference of policy (`policy.evaluate`), over the endpoints and profiles that the agent stores.
"""

from __future__ import annotations

import json
from itertools import product

import pytest
from agent_bed import scenario
from policy_bed import cluster, passage, resource, tcp

from ocicat.agent import identity, profiles
from ocicat.agent.netmodules import _interface
from ocicat.cni.request import parse
from ocicat.mesos.netmodules.protocol import Isolate
from ocicat.model import keys
from ocicat.model.base import replace
from ocicat.model.codec import decode_json, encode_json
from ocicat.model.net import Addr
from ocicat.model.resources import Profile, Rule
from ocicat.store.base import Put

AGENT = "192.168.0.1"  # of policy_bed's host h1


def by_cni(name, groups, **labels):
    info = {
        "name": "blue",
        "groups": list(groups),
        "labels": {"labels": [{"key": key, "value": value} for key, value in labels.items()]},
    }
    document = {"name": "blue", "type": "ocicat", "args": {"org.apache.mesos": {"network_info": info}}}
    environment = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": name, "CNI_IFNAME": "eth0", "CNI_NETNS": "/x"}
    return parse(environment, json.dumps(document).encode())


def by_label(name, groups):
    """As Marathon since 1.5 can say it."""
    return by_cni(name, (), **({"mesos-groups": ",".join(groups)} if groups else {}))


def by_net_modules(name, groups):
    return _interface("ADD", name, "/x", Isolate(name, 7, (), tuple(groups)))


class Tasks:
    """Some tasks on one host; "" is the host itself."""

    def __init__(self, way, *groups, host=None, **changed):
        self.endpoints = {}
        for number, each in enumerate(groups):
            request = way(f"t{number}", each)
            ids = identity.identify("h1", request)
            self.endpoints[f"t{number}"] = identity.endpoint("h1", request, ids, (Addr.parse(f"10.0.0.{number + 1}"),))
        names = {name for endpoint in self.endpoints.values() for name in endpoint.spec.profiles}
        made = {name: profiles.group_profile(name) for name in names} | changed
        settings = [resource("FelixConfiguration", "default", host)] if host else []
        self.cluster = cluster(*made.values(), *self.endpoints.values(), *settings, agent_ports=(5051,))

    def reaches(self, source, target, port=80):
        enters, leaves = (self.endpoints[name].spec.interface_name if name else "" for name in (source, target))
        packet = tcp(self._address(source), self._address(target), port)
        return passage(self.cluster, packet, ("h1", enters, leaves)).action == "Allow"

    def _address(self, name):
        return self.endpoints[name].spec.ip_networks[0].partition("/")[0] if name else AGENT


WAYS = pytest.mark.parametrize("way", [by_cni, by_label, by_net_modules])


@WAYS
def test_two_tasks_talk_if_they_share_one_group(way):
    groups = ("a",), ("b",), ("a", "b"), ("a", "c"), ("c",)
    tasks = Tasks(way, *groups)
    for source, target in product(range(len(groups)), repeat=2):
        if source != target:
            shared = bool(set(groups[source]) & set(groups[target]))
            assert tasks.reaches(f"t{source}", f"t{target}") == shared, (groups[source], groups[target])


@WAYS
def test_public_tasks_accept_all_and_a_target_that_is_not_public_still_refuses_them(way):
    tasks = Tasks(way, ("public",), ("a",), ("a", "public"))
    assert tasks.reaches("t1", "t0")
    assert not tasks.reaches("t0", "t1")
    assert tasks.reaches("t0", "t2")
    assert tasks.reaches("t2", "t1")


@WAYS
def test_a_task_reaches_its_own_mesos_agent_and_the_agent_reaches_it_whatever_its_groups(way):
    tasks = Tasks(way, ("a",), ("public",), ())
    for name in tasks.endpoints:
        assert tasks.reaches(name, "", 5051)
        assert tasks.reaches("", name)


@WAYS
def test_other_ports_of_its_host_are_the_hosts_to_give(way):
    """The original opened all of them; here the operator does, with the word that Calico has for it."""
    assert not Tasks(way, ("a",)).reaches("t0", "", 22)
    assert Tasks(way, ("a",), host={"defaultEndpointToHostAction": "Accept"}).reaches("t0", "", 22)


def test_without_a_group_net_modules_leave_a_task_nothing_but_its_agent():
    tasks = Tasks(by_net_modules, (), (), ("public",))
    assert tasks.endpoints["t0"].spec.profiles == ()
    assert not tasks.reaches("t0", "t1")
    assert not tasks.reaches("t0", "t2")
    assert tasks.reaches("t0", "", 5051)


@pytest.mark.parametrize("way", [by_cni, by_label])
def test_without_a_group_the_profile_of_the_network_is_a_group_of_its_tasks(way):
    tasks = Tasks(way, (), (), ("a",))
    assert tasks.endpoints["t0"].spec.profiles == ("blue",)
    assert tasks.reaches("t0", "t1")
    assert not tasks.reaches("t2", "t0")


@WAYS
def test_public_stands_first_and_then_the_groups_in_their_order(way):
    tasks = Tasks(way, ("b", "public", "a"))
    assert tasks.endpoints["t0"].spec.profiles == ("public", "b", "a")


@WAYS
def test_what_an_operator_makes_of_a_group_is_in_force(way):
    made = profiles.group_profile("a")
    closed = replace(made, spec=replace(made.spec, ingress=(Rule(action="Deny"),)))
    assert not Tasks(way, ("a",), ("a",), a=closed).reaches("t0", "t1")


@scenario()
async def test_a_profile_is_made_once_kept_as_edited_and_never_deleted(one):
    await one.add(container="c1", groups=("web",))
    key = keys.profile("web")
    made = decode_json(Profile, (await one.store.get(key)).value)
    assert made.spec == profiles.group_profile("web").spec
    edited = replace(made, spec=replace(made.spec, ingress=()))
    await one.store.write(Put(key, encode_json(edited)))
    await one.add(container="c2", groups=("web",))
    for container in ("c1", "c2"):
        await one.delete(container=container)
    await one.nothing_left()
    assert decode_json(Profile, (await one.store.get(key)).value) == edited
