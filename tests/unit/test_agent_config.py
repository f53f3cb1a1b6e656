"""Every setting of an agent that cannot work is refused before anything is touched."""

from __future__ import annotations

import pytest

from ocicat.agent.config import AgentConfig, check
from ocicat.errors import UserError

GOOD = AgentConfig(host="h1.example.com", address="10.0.0.11/24")


def test_a_good_configuration_passes():
    assert check(GOOD) is GOOD
    assert str(GOOD.host_address) == "10.0.0.11"


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
        ({"agent_ports": (0,)}, "Mesos agent port 0"),
        ({"mtu": 100}, "mtu 100"),
        ({"flow_log": "flows.log"}, "flow log 'flows.log' is not the absolute path"),
        ({"add_timeout_s": 0.0}, "greater than 0"),
    ],
)
def test_a_bad_setting_is_named(changed, said):
    settings = {"host": GOOD.host, "address": GOOD.address} | changed
    with pytest.raises(UserError, match=said.replace("(", r"\(")):
        check(AgentConfig(**settings))
