"""Every setting of an agent that cannot work is refused before anything is touched."""

from __future__ import annotations

import re

import pytest

from ocicat.agent.config import AgentConfig, check
from ocicat.errors import UserError

GOOD = AgentConfig(host="h1.example.com", address="10.0.0.11/24")


def test_a_good_configuration_passes():
    assert check(GOOD) is GOOD
    assert [str(each) for each in GOOD.host_addresses] == ["10.0.0.11"]
    both = AgentConfig(host="h1", address="10.0.0.11/24", address6="2001:db8::11/64")
    assert [str(each) for each in check(both).host_addresses] == ["10.0.0.11", "2001:db8::11"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"host": "H1"}, "host name 'H1' is not a DNS name"),
        ({"host": ""}, "host name ''"),
        ({"address": "10.0.0.11"}, "has no prefix length"),
        ({"address": "10.0.0.300/24"}, "is not an IP address"),
        ({"address": "10.0.0.11/33"}, "the length must be 0 to 32"),
        ({"address": "127.0.0.1/8"}, "cannot be reached by other hosts"),
        ({"address": "fd00::1/64"}, "cannot be reached by other hosts"),
        ({"address": "10.0.0.11/32"}, "other hosts must be in its subnet"),
        ({"address": "0.0.0.0/0"}, "cannot be reached by other hosts"),
        ({"address6": "10.0.0.11/24"}, "give an IPv6 address of this host as --address6"),
        ({"address6": "fe80::1/64"}, "cannot be reached by other hosts"),
        ({"address6": "2001:db8::11"}, "has no prefix length (for example 2001:db8::11/64)"),
        ({"address6": "2001:db8::11/128"}, "other hosts must be in its subnet"),
        ({"address6": "2001:db8::x/64"}, "is not an IP address (for example --address6"),
        ({"agent_ports": (0,)}, "Mesos agent port 0"),
        ({"mesos_agent": "https://h1:5051"}, "Mesos agent https://h1:5051: only plain HTTP"),
        ({"mesos_agent": "fd00::1"}, "Mesos agent: 'fd00::1' is not host:port (--mesos-agent HOST:PORT, or off)"),
        ({"mesos_agent": "off", "mesos_credential": "/x"}, "it is not to be asked"),
        ({"mtu": 100}, "mtu 100"),
        ({"flow_log": "flows.log"}, "flow log 'flows.log' is not the absolute path"),
        ({"add_timeout_s": 0.0}, "greater than 0"),
    ],
)
def test_a_bad_setting_is_named(changed, said):
    settings = {"host": GOOD.host, "address": GOOD.address} | changed
    with pytest.raises(UserError, match=re.escape(said)):
        check(AgentConfig(**settings))


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({}, "10.0.0.11:5051"),
        ({"agent_ports": (5052, 5051)}, "10.0.0.11:5052"),
        ({"mesos_agent": "127.0.0.1"}, "127.0.0.1:5051"),
        ({"mesos_agent": "h1.example.com:6000"}, "h1.example.com:6000"),
        ({"mesos_agent": "http://[fd00::1]:5051/"}, "[fd00::1]:5051"),
        ({"mesos_agent": "off"}, "None"),
        ({"agent_ports": ()}, "None"),
    ],
)
def test_where_the_mesos_agent_is_asked(changed, where):
    config = check(AgentConfig(**({"host": GOOD.host, "address": GOOD.address} | changed)))
    assert str(config.mesos_endpoint) == where
