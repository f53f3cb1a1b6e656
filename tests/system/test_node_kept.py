"""Who keeps the agent of a host with systemd: stopped by the wrong word, or told something wrong, the host is as it was."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from bare_host import CHECKOUT, bare_hosts, wait_for

pytestmark = [pytest.mark.system, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

UNIT = CHECKOUT / "packaging/systemd/ocicat-agent.service"
DROP_IN = "/etc/systemd/system/ocicat-agent.service.d/node-start.conf"
OPTIONS = "--host h1 --address 172.31.9.11/24"
STORE = "sqlite:///var/lib/ocicat/store.db"
NETWORK = '{"cniVersion":"1.0.0","name":"ocicat","type":"ocicat"}'
VARIABLES = {"CNI_CONTAINERID": "c1", "CNI_NETNS": "/run/netns/c1", "CNI_IFNAME": "eth0"}


def given(_host):
    """Our package's unit; the agent's environment is that of the checkout."""
    program = Path(sys.executable).with_name("ocicat")
    unit = UNIT.read_text().replace("OOMScoreAdjust=-500\n", "").replace("/opt/ocicat/venv/bin/ocicat", str(program))
    return {
        "/usr/lib/systemd/system/ocicat-agent.service": unit,
        "/usr/bin/ocicat": f'#!/bin/sh\nexec {program} "$@"\n',
    }


@pytest.fixture(scope="module")
def host():
    with bare_hosts("h1", systemd=True, given=given) as bed:
        yield bed["h1"]


@pytest.fixture(autouse=True)
def nothing_runs_afterwards(host):
    yield
    for kind in ("systemd", "native"):
        host.run(f"ocicat node stop --with {kind} --purge", check=False)


def status(host):
    return json.loads(host.run("ocicat node status -o json", check=False).out)[0]


def serves(host):
    wait_for(lambda: status(host)["state"] == "well", "the agent")
    return status(host)["agent"]["pid"]


def container(host):
    """One, with a network; its address."""
    host.run(f"ocicat pool add default 10.66.0.0/24 --store {STORE}; ip netns add c1", check=False)
    host.run(f"{sys.executable} -m ocicat.cni.install /tmp/plugins")
    added = host.run(["/tmp/plugins/ocicat"], given=NETWORK, CNI_COMMAND="ADD", **VARIABLES).out
    return json.loads(added)["ips"][0]["address"].partition("/")[0]


@pytest.mark.parametrize("kind", ["native", "systemd"])
def test_an_agent_that_another_keeps_is_neither_stopped_nor_purged(host, kind):
    host.run(f"ocicat node start --with {kind} -- {OPTIONS}")
    pid, address = serves(host), container(host)
    for other in sorted({"docker", "native", "systemd"} - {kind}):
        for more in (" --purge", " --dry-run"):
            refused = host.run(f"ocicat node stop --with {other}{more}", check=False)
            assert (refused.status, refused.out) == (1, "")
            assert f"this host's agent is kept by {kind}" in refused.err
    assert serves(host) == pid
    host.run("test -S /run/ocicat/agent.sock -a -e /run/ocicat/agent.sock.lock")
    host.run(f"ping -c1 -W5 {address}")
    host.run("ip netns delete c1")


def test_an_agent_that_nobody_keeps_is_not_purged_whatever_is_said(host):
    own = host.spawn(f"ocicat agent {OPTIONS}", log="/var/log/own.log")
    pid = serves(host)
    for word in ("", "--with docker", "--with native", "--with systemd"):
        refused = host.run(f"ocicat node stop --purge {word}", check=False)
        assert (refused.status, refused.out) == (1, "")
        assert f"process {pid}" in refused.err
    assert serves(host) == pid
    host.run(f"kill {pid}")
    own.wait(60)


@pytest.mark.parametrize("before", ["enabled", "disabled"])
def test_a_failed_start_leaves_the_unit_and_its_options_as_they_were(host, before):
    host.run(f"ocicat node start --with systemd -- {OPTIONS} --mtu 1400")
    host.run("systemctl stop ocicat-agent")
    host.run("systemctl disable ocicat-agent" if before == "disabled" else "true")
    told = host.read(DROP_IN)
    wrong = host.run(f"ocicat node start --with systemd -- {OPTIONS} --mtu 1", check=False)
    assert wrong.status == 1
    assert "mtu 1 is not in 576 to 65535" in wrong.err
    assert "runs again" not in wrong.err
    assert host.run("systemctl is-enabled ocicat-agent", check=False).out == f"{before}\n"
    assert host.run("systemctl show -P ActiveState ocicat-agent").out in {"inactive\n", "failed\n"}
    assert host.read(DROP_IN) == told
    assert "--mtu 1400" in host.run("systemctl show -P ExecStart ocicat-agent").out


def test_a_failed_first_start_leaves_nothing(host):
    host.run("systemctl enable ocicat-agent")
    host.mark()
    assert host.run(f"ocicat node start --with systemd -- {OPTIONS} --mtu 1", check=False).status == 1
    assert host.run("systemctl is-enabled ocicat-agent").out == "enabled\n"
    assert [path for path in host.changed() if "ocicat-agent" in path or "node-start" in path] == []


def test_disabling_one_that_does_not_run_needs_its_name(host):
    host.run("systemctl enable ocicat-agent")
    assert host.run("ocicat node stop").err == "ocicat: there is nothing to stop\n"
    host.run("ocicat node stop --with systemd")
    assert host.run("systemctl is-enabled ocicat-agent", check=False).out == "disabled\n"


def test_the_log_of_who_kept_it_last_is_shown(host):
    for kind, is_native in (("native", True), ("systemd", False), ("native", True)):
        host.run(f"ocicat node start --with {kind} -- {OPTIONS}")
        pid = serves(host)
        host.run("ocicat node stop")
        log = host.run("ocicat node logs").out
        assert ("supervise" in log) is is_native, (kind, pid, log)


FILE = "/etc/ocicat/ocicat.toml"
GOOD = '[host]\nname = "h1"\naddress = "172.31.9.11/24"\n'
WRONG = GOOD + "[agent]\nmtu = 1\n"
WHY = f"{FILE}:5: agent.mtu: mtu 1 is not in 576 to 65535"
SAID = "its settings cannot be used (status 78): see `ocicat config check` and `ocicat node logs`"


@pytest.fixture
def file(host):
    yield
    host.run(f"rm {FILE}")


def show(host, name):
    return host.run(f"systemctl show -P {name} ocicat-agent").out.strip()


def test_systemd_does_not_try_again_what_it_cannot_be_told_and_says_why(host, file):
    host.write(FILE, WRONG)
    host.run("systemctl start ocicat-agent")
    wait_for(lambda: show(host, "ActiveState") == "failed", "systemd to leave it")
    assert (show(host, "NRestarts"), show(host, "ExecMainStatus")) == ("0", "78")
    told = host.run("systemctl status ocicat-agent", check=False).out
    assert "78/CONFIG" in told
    assert WHY in told
    found = status(host)
    assert (found["state"], found["kept_by"]) == ("down", "systemd")
    assert found["problem"] == f"no agent serves /run/ocicat/agent.sock: ocicat-agent.service is failed: {SAID}"
    host.write(FILE, GOOD)
    host.run("systemctl start ocicat-agent")
    serves(host)


def test_nor_does_our_own_keeper(host, file):
    host.write(FILE, GOOD)
    host.run("ocicat node start --with native")
    pid = serves(host)
    host.write(FILE, WRONG)
    host.run(f"kill -KILL {pid}")
    wait_for(lambda: SAID in status(host)["problem"], "the keeper to leave it")
    assert status(host)["kept_by"] == "native"
    assert host.run("ocicat node logs").out.count(WHY) == 1
    again = host.run("ocicat node start --with native", check=False)
    assert (again.status, SAID in again.err, "runs again" in again.err) == (1, True, False)
    host.write(FILE, GOOD)
    host.run("ocicat node start --with native")
    serves(host)
