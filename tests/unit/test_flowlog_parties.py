"""Who has an address."""

from __future__ import annotations

import random

import pytest

from ocicat.agent.flowlog.parties import Name, Parties
from ocicat.model import keys
from ocicat.model.net import Addr, Cidr
from ocicat.model.v3.kinds import KINDS
from ocicat.policy import HostInterface

WEB, OTHER = keys.workload("shop", "h1-mesos-web-eth0"), keys.workload("shop", "h2-mesos-web-eth0")
HEP = KINDS["HostEndpoint"].prefix() + "h1-up0"
LOCAL_SET, GLOBAL_SET = KINDS["NetworkSet"].prefix() + "shop/partners", KINDS["GlobalNetworkSet"].prefix() + "world"
A, B, A6 = "10.65.0.2", "10.65.0.3", "fd00::2"


def addresses(*texts):
    return tuple(Cidr.parse(text) if "/" in text else Addr.parse(text) for text in texts)


def found(parties, text):
    return parties.find(Addr.parse(text).pack()).name()


@pytest.fixture
def parties():
    return Parties()


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (WEB, Name("wep", "shop", "h1-mesos-web-eth0", ("app=web", "zone=a"))),
        (HEP, Name("hep", "-", "h1-up0", ("app=web", "zone=a"))),
        (LOCAL_SET, Name("ns", "shop", "partners", ("app=web", "zone=a"))),
        (GLOBAL_SET, Name("ns", "-", "world", ("app=web", "zone=a"))),
    ],
)
def test_names_of_each_kind(parties, key, name):
    parties.set(key, {"zone": "a", "app": "web"}, addresses(A, A6))
    assert found(parties, A) == found(parties, A6) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [("10.1.2.3", "pvt"), ("172.31.0.1", "pvt"), ("fd12::1", "pvt"), ("8.8.8.8", "pub"), ("2001:db8::1", "pub")],
)
def test_the_rest_of_the_world(parties, text, name):
    assert found(parties, text) == Name("net", "-", name)


def test_the_most_special_has_the_address(parties):
    holders = [(WEB, [A]), (HEP, [A]), (LOCAL_SET, [A, "10.65.0.0/24"]), (GLOBAL_SET, ["10.65.0.0/16"])]
    for key, texts in reversed(holders):
        parties.set(key, {}, addresses(*texts))
    for key, _ in holders:
        assert parties.find(Addr.parse(A).pack()).key == key
        parties.forget(key)
    assert found(parties, A).type == "net"


def test_the_longest_prefix_wins_whichever_came_first(parties):
    parties.set(LOCAL_SET, {}, addresses("10.65.0.0/24", "0.0.0.0/0"))
    parties.set(GLOBAL_SET, {}, addresses("10.65.0.0/16"))
    assert [found(parties, text).name for text in (A, "10.65.9.1", "8.8.8.8")] == ["partners", "world", "partners"]


def test_of_several_alike_the_first_by_its_key(parties):
    for key in (OTHER, WEB):
        parties.set(key, {}, addresses(A))
    assert found(parties, A).name == "h1-mesos-web-eth0"
    parties.forget(WEB)
    assert found(parties, A).name == "h2-mesos-web-eth0"


def test_what_changes_is_found_anew_and_nothing_old_stays(parties):
    parties.set(WEB, {}, addresses(A, A, A6))
    parties.set(WEB, {"v": "2"}, addresses(B))
    assert (found(parties, A).type, found(parties, A6).type) == ("net", "net")
    assert found(parties, B).labels == ("v=2",)
    parties.forget(WEB)
    parties.forget(WEB)
    assert found(parties, B).type == "net"


def test_the_hosts_own_addresses_are_its_host_endpoints(parties):
    every = KINDS["HostEndpoint"].prefix() + "h1-all"
    parties.set(HEP, {"role": "edge"}, ())
    parties.set(every, {}, ())
    own = [HostInterface("h1", "up0", addresses("10.0.0.1")), HostInterface("h1", "up1", addresses("10.0.1.1"))]
    parties.interfaces(own)
    assert found(parties, "10.0.0.1").type == "net"
    parties.governs("up0", HEP)
    assert (found(parties, "10.0.0.1").labels, found(parties, "10.0.1.1").type) == (("role=edge",), "net")
    parties.governs("*", every)
    assert found(parties, "10.0.1.1").name == "h1-all"
    parties.governs("up0", None)
    assert found(parties, "10.0.0.1").name == "h1-all"
    parties.interfaces(own[1:])
    assert found(parties, "10.0.0.1").type == "net"


def test_it_does_not_matter_how_it_came_to_be():
    rng = random.Random(1)
    choices = [A, B, A6, "10.65.0.0/24", "10.65.0.0/16", "fd00::/64"]
    for _ in range(200):
        worn, state = Parties(), {}
        for _ in range(12):
            key = rng.choice([WEB, OTHER, HEP, LOCAL_SET, GLOBAL_SET])
            if rng.random() < 0.3:
                worn.forget(key)
                state.pop(key, None)
            else:
                state[key] = addresses(*rng.sample(choices, rng.randint(0, 3)))
                worn.set(key, {}, state[key])
        fresh = Parties()
        for key in sorted(state):
            fresh.set(key, {}, state[key])
        for text in (A, B, A6, "10.65.0.9", "10.65.9.9", "fd00::9", "10.66.0.1"):
            assert found(worn, text) == found(fresh, text)
