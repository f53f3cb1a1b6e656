"""A workload asks its own host for names, whatever policy says: what the kernel is told, and what a flow is held against."""

from __future__ import annotations

import pytest

from ocicat.dataplane.api import DataplaneConfig
from ocicat.dataplane.flows.judge import FlowJudge, Passage
from ocicat.dataplane.managers.router import Managers
from ocicat.dataplane.reconcile.ledger import Ledger
from ocicat.dataplane.ruleset import nftext
from ocicat.model.net import Addr
from ocicat.model.packet import Packet
from ocicat.model.wanted import Endpoint, HostSettings

HOST, HOST6, TASK = (Addr.parse(text) for text in ("10.0.0.1", "fd00::1", "10.65.0.2"))
SERVERS = ((HOST, 53), (HOST6, 5353))


def managers(config):
    ledger = Ledger()
    made = Managers(config, ledger)
    for message in (HostSettings(), Endpoint("/a", "ocia", (TASK,), ())):  # no profile: nothing is allowed
        made.apply(message)
    return made, ledger


def stages(config):
    _, ledger = managers(config)
    chains = [ledger.chain(name) for name in ledger.chains.updates()]
    text = nftext.transaction([], [chain for chain in chains if chain], counters=())
    return [line.strip() for line in text.splitlines() if "own host's names" in line]


def test_the_rules_say_address_and_port_in_both_protocols():
    rules = {
        line.partition(" comment")[0].partition(" accept")[0] for line in stages(DataplaneConfig(name_servers=SERVERS))
    }
    assert {rule for rule in rules if "dport 53" in rule and "5353" not in rule} == {
        "ip daddr 10.0.0.1 udp dport 53",
        "ip daddr 10.0.0.1 tcp dport 53",
    }
    assert {rule for rule in rules if "5353" in rule} == {
        "ip6 daddr fd00::1 udp dport 5353",
        "ip6 daddr fd00::1 tcp dport 5353",
    }
    assert stages(DataplaneConfig()) == []


@pytest.mark.parametrize(
    ("protocol", "port", "let_through"),
    [(17, 53, True), (6, 53, True), (132, 53, False), (17, 54, False), (6, 5353, False)],
)
def test_a_flow_to_the_names_is_not_cut(protocol, port, let_through):
    config = DataplaneConfig(host_addresses=(HOST,), name_servers=SERVERS)
    made, _ = managers(config)
    passage = Passage(Packet(protocol, TASK, HOST, 40000, port), "ocia", "")
    assert (FlowJudge(config, made).rule(passage).reason == "") == let_through
