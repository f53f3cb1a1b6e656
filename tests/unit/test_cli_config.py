"""`ocicat config`, and every other command that takes something from the configuration file."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess

import pytest
from cli_bed import Shell

from ocicat.cli import defaults, inforce
from ocicat.model.v3.kinds import KINDS
from ocicat.settings import reading, table
from ocicat.settings.arguments import Process
from ocicat.store.base import Put

FELIX, BGP = (KINDS[kind].prefix() for kind in ("FelixConfiguration", "BGPConfiguration"))
GOOD = """
[host]
name = "h1"
address = "10.0.0.11/24"
[mesos]
master = "zk://me:secret@10.0.0.1:2181/mesos"
[felix]
vxlanPort = 4791
"""


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    for name in [name for name in os.environ if name.startswith(("OCICAT_", "FELIX_"))]:
        monkeypatch.delenv(name)
    return Shell(tmp_path, monkeypatch, capsys)


@pytest.fixture
def file(tmp_path, monkeypatch):
    path = tmp_path / "ocicat.toml"
    path.write_text(GOOD)
    path.chmod(0o600)
    monkeypatch.setenv("OCICAT_CONFIG", str(path))
    return path


def stored(shell, prefix, name, kind, **spec):
    value = {"kind": kind, "apiVersion": "projectcalico.org/v3", "metadata": {"name": name}, "spec": spec}
    shell.write(Put(prefix + name, json.dumps(value).encode()))


def shown(shell, *words):
    return {one["key"]: one for one in json.loads(shell.ok("config", "show", "-o", "json", *words).out)}


# --- default ----------------------------------------------------------------------------------------------------------


def test_the_default_file_may_be_used_as_it_is(shell, tmp_path, monkeypatch):
    path = tmp_path / "default.toml"
    path.write_text(shell.ok("config", "default").out)
    path.chmod(0o644)
    monkeypatch.setenv("OCICAT_CONFIG", str(path))
    monkeypatch.setenv("OCICAT_HOST", "h1")
    monkeypatch.setenv("OCICAT_ADDRESS", "10.0.0.1/24")
    ended = shell.ok("config", "check")
    assert (ended.out, ended.err) == ("", "ocicat: nothing is wrong\n")


# --- show -------------------------------------------------------------------------------------------------------------


def test_every_setting_is_shown_with_who_says_it(shell, file):
    found = shown(shell, "--no-store")
    assert list(found) == [one.key for one in table.SETTINGS]
    assert (found["host.name"]["value"], found["host.name"]["source"]) == ("h1", f"{file}:3")
    assert (found["store.url"]["value"], found["store.url"]["source"]) == (shell.url, "OCICAT_STORE")
    assert (found["agent.mtu"]["value"], found["agent.mtu"]["source"]) == (0, "default")
    assert (found["log.level"]["effect"], found["agent.mtu"]["effect"]) == ("live", "restart")


@pytest.mark.parametrize("password", ["secret", "sec@secret", "se/secret", "secret@x/y"])
def test_a_password_is_shown_nowhere(shell, file, password):
    file.write_text(GOOD.replace("me:secret@", f"me:{password}@"))
    for words in (("show",), ("show", "-o", "wide"), ("show", "-o", "json"), ("explain", "mesos.master"), ("check",)):
        ended = shell("config", *words)
        assert "secret" not in ended.out + ended.err
    assert shown(shell)["mesos.master"]["value"] == "zk://me:***@10.0.0.1:2181/mesos"
    file.chmod(0o644)
    assert "mesos.master: holds a password, and everybody may read" in shell("config", "check").out


def test_the_datastore_comes_after_the_host_and_before_the_defaults(shell, file):
    stored(shell, FELIX, "default", "FelixConfiguration", vxlanPort=4790, logPrefix="all", wireguardEnabled=True)
    stored(shell, FELIX, "node.h1", "FelixConfiguration", logPrefix="mine", logSeverityScreen="Warning")
    found = shown(shell)
    assert (found["felix.vxlanPort"]["value"], found["felix.vxlanPort"]["source"]) == (4791, f"{file}:8")
    assert found["felix.vxlanPort"]["instead_of"] == [{"value": 4790, "source": "FelixConfiguration default"}]
    assert (found["felix.logPrefix"]["value"], found["felix.logPrefix"]["source"]) == (
        "mine",
        "FelixConfiguration node.h1",
    )
    assert (found["log.level"]["value"], found["log.level"]["source"]) == ("warning", "FelixConfiguration node.h1")
    assert found["felix.wireguardEnabled"]["effect"] == "none: traffic between hosts is not encrypted here"


def test_for_another_host_the_datastore_alone_is_asked(shell, file):
    stored(shell, FELIX, "default", "FelixConfiguration", vxlanPort=4790)
    stored(shell, FELIX, "node.h2", "FelixConfiguration", logPrefix="two")
    found = shown(shell, "--host", "h2")
    assert (found["felix.vxlanPort"]["value"], found["felix.logPrefix"]["value"]) == (4790, "two")
    assert "host.name" not in found


def test_what_bgp_configuration_says_is_shown_with_its_lack_of_effect(shell, file):
    stored(shell, BGP, "default", "BGPConfiguration", asNumber=64999, nodeToNodeMeshEnabled=False)
    found = shown(shell)
    assert (found["bgp.asNumber"]["value"], found["bgp.nodeToNodeMeshEnabled"]["value"]) == (64999, False)
    assert found["bgp.asNumber"]["effect"].startswith("none: there is no BGP here")


def test_a_datastore_that_is_not_there_is_told_and_hides_nothing(shell, file):
    ended = shell.ok("config", "show")
    assert "without what the datastore says" in ended.err
    assert "felix.vxlanPort" in ended.out


def test_the_agent_that_runs_is_asked_through_its_process(shell, file, tmp_path, monkeypatch):
    other = tmp_path / "other.toml"
    other.write_text('host.name = "h9"\n')
    words = ("/usr/bin/python3", "/usr/bin/ocicat", "agent", "--config", str(other), "--mtu", "1400")
    monkeypatch.setattr(inforce, "process_behind", lambda _: os.getpid())
    monkeypatch.setattr(inforce, "process", lambda _: Process(words, ("OCICAT_LOG_LEVEL=error",)))
    found = shown(shell, "--no-store")
    assert [(found[key]["value"], found[key]["source"]) for key in ("host.name", "agent.mtu", "log.level")] == [
        ("h9", f"{other}:1"),
        (1400, "--mtu"),
        ("error", "OCICAT_LOG_LEVEL"),
    ]
    assert shown(shell, "--no-store", "--no-agent")["host.name"]["value"] == "h1"
    assert f"process {os.getpid()}" in shell.ok("config", "show", "--no-store").err


def test_the_file_of_the_agent_that_runs_is_the_one_that_it_sees(shell, file, tmp_path, monkeypatch):
    place = tmp_path / "elsewhere"
    place.mkdir()
    told = place / "o.toml"
    told.write_text('host.name = "h9"\n')
    told.chmod(0o622)
    with subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "cat"], stdin=subprocess.PIPE, cwd=place) as agent:
        monkeypatch.setattr(inforce, "process_behind", lambda _: agent.pid)
        monkeypatch.setattr(inforce, "process", lambda _: Process(("ocicat", "agent", "--config", "o.toml")))
        assert (shown(shell, "--no-store")["host.name"]["source"]) == f"{told}:1"
        checked = shell("config", "check").out
        agent.stdin.close()
    assert f"{told}: mode 0622: others may change what the agent does" in checked


def test_the_file_of_an_agent_in_a_container_is_the_one_in_there(shell, file, tmp_path, monkeypatch):
    place = tmp_path / "etc"
    place.mkdir()
    inside = f"mount -t tmpfs none {place}; echo 'host.name = \"inside\"' >{place}/o.toml; chmod 622 {place}/o.toml"
    command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "sh", "-ec", f"{inside}; echo here; exec cat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as agent:
        assert agent.stdout.readline() == "here\n"
        monkeypatch.setattr(inforce, "process_behind", lambda _: agent.pid)
        monkeypatch.setattr(inforce, "process", lambda _: Process(("ocicat", "agent", "--config", f"{place}/o.toml")))
        found = shown(shell, "--no-store")["host.name"]
        checked = shell("config", "check").out
        agent.stdin.close()
    assert (found["value"], found["source"]) == ("inside", f"{place}/o.toml:1")
    assert f"{place}/o.toml: mode 0622: others may change what the agent does" in checked


def test_where_no_agent_runs_that_is_said(shell, file, tmp_path, monkeypatch):
    monkeypatch.setenv("OCICAT_SOCKET", str(tmp_path / "none.sock"))
    said = f"no agent serves {tmp_path}/none.sock: this is as one started from here would have it"
    assert said in shell.ok("config", "show", "--no-store").err
    assert "no agent serves" not in shell.ok("config", "show", "--no-store", "--no-agent").err


def test_the_process_behind_a_socket_is_who_holds_its_lock(tmp_path):
    assert reading.process_behind(str(tmp_path / "a")) is None
    with (tmp_path / "a.lock").open("w") as lock:
        assert reading.process_behind(str(tmp_path / "a")) is None
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert reading.process_behind(str(tmp_path / "a")) == os.getpid()
    own = reading.process(os.getpid())
    assert own.words[0]
    assert "PATH" in own.variables
    assert reading.process(2**22 + 1) is None


# --- explain ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["felix.vxlanPort", "vxlanPort", "FELIX_VXLANPORT"])
def test_a_setting_is_explained_by_any_of_its_names(shell, file, name):
    lines = shell.ok("config", "explain", name, "--no-store").out.splitlines()
    told = dict(line.split("  ", 1) for line in lines)
    assert told["VALUE"].strip() == "4791"
    assert told["SOURCE"].strip() == f"{file}:8"
    assert told["CALICO"].strip() == "vxlanPort of FelixConfiguration"
    assert told["EFFECT"].strip() == "live, when the agent gets SIGHUP"


@pytest.mark.parametrize(
    "name", ["log.level", "logSeverityScreen", "FELIX_LOGSEVERITYSCREEN", "felix.logSeverityScreen"]
)
def test_a_setting_that_felix_has_too_is_explained_by_felixs_names(shell, file, name):
    assert shell.ok("config", "explain", name, "--no-store", "-o", "name").out == "log.level\n"


def test_every_setting_can_be_explained(shell, file):
    for one in table.SETTINGS:
        explained = json.loads(shell.ok("config", "explain", one.key, "--no-store", "-o", "json").out)
        assert explained["does"] == one.does
        assert explained["shown"]["variable"] == one.variable


def test_what_is_no_setting_is_told_with_the_nearest(shell, file):
    ended = shell("config", "explain", "agent.mtux")
    assert (ended.code, ended.err) == (5, "ocicat: 'agent.mtux' is no setting\n  did you mean agent.mtu?\n")


# --- check ------------------------------------------------------------------------------------------------------------


def test_everything_that_is_wrong_is_told_at_once_in_the_order_of_the_lines(shell, file, tmp_path, monkeypatch):
    credential = tmp_path / "credential"
    credential.write_text("me secret")
    credential.chmod(0o644)
    file.write_text(
        'agent.mtux = 1\nagent.add_timeout_s = "x"\nhost.name = "H"\nhost.address = "10.0.0.1"\n'
        f'mesos.credential = "{credential}"\ndns.only = ["visible"]\nlog.level = "loud"\nfelix.vxlanPort = 0\n'
        'felix.wireguardEnabled = true\nstore.url = "etcd://h?ca=/none"\n'
    )
    file.chmod(0o622)
    monkeypatch.delenv("OCICAT_STORE")
    monkeypatch.setenv("OCICAT_DNS_TTL", "long")
    ended = shell("config", "check", "-o", "json")
    assert ended.code == 1
    told = [(one["where"].removeprefix(f"{file}"), one["key"]) for one in json.loads(ended.out)]
    assert sorted(told, key=lambda one: one[0].startswith("OCICAT")) == [
        ("", ""),
        (":1", "agent.mtux"),
        (":2", "agent.add_timeout_s"),
        (":3", "host.name"),
        (":4", "host.address"),
        (":5", "mesos.credential"),
        (":6", "dns.only"),
        (":7", "log.level"),
        (":8", "felix.vxlanPort"),
        (":9", "felix.wireguardEnabled"),
        (":10", "store.url"),
        ("OCICAT_DNS_TTL", "dns.ttl_s"),
    ]


def test_what_is_no_toml_is_one_error(shell, file):
    file.write_text("[host\n")
    ended = shell("config", "check")
    assert ended.code == 1
    assert ended.out.startswith(f"{file}:1: is no TOML")


def test_a_file_that_is_named_is_looked_at_alone(shell, file, tmp_path, monkeypatch):
    monkeypatch.setenv("OCICAT_MTU", "nonsense")
    assert shell("config", "check").code == 1
    assert shell("config", "check", str(file)).code == 0
    assert shell("config", "check", str(tmp_path / "none")).code == 2


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("etcd://h?x=1", "has no parameter x"),
        ("postgres://h", "store 'postgres://h': is no address of a store"),
        ("etcd://h:1?cert=/none", "has to have ca, cert and key together"),
        ("etcd://me:pw@h", "no user in front of the hosts"),
    ],
)
def test_an_address_that_is_none_of_a_store_is_told(shell, file, monkeypatch, url, told):
    monkeypatch.delenv("OCICAT_STORE")
    file.write_text(GOOD + f'[store]\nurl = "{url}"\n')
    ended = shell("config", "check")
    assert (ended.code, "pw" in ended.out) == (1, False)
    assert f"{file}:10: store.url: " in ended.out
    assert told in ended.out


# --- the other commands -------------------------------------------------------------------------------------------------


def test_commands_find_the_datastore_by_the_file(shell, file, monkeypatch, tmp_path):
    shell.ok("store", "init", "--pool", "p=10.65.0.0/16")
    monkeypatch.delenv("OCICAT_STORE")
    file.write_text(GOOD + f'[store]\nurl = "{shell.url}"\n')
    assert shell.ok("get", "ippools", "-o", "name").out == "ippool/p\n"
    assert shell("get", "ippools", "--store", f"sqlite://{tmp_path}/none.db").code == 5
    monkeypatch.setenv("OCICAT_STORE", f"sqlite://{tmp_path}/none.db")
    assert shell("get", "ippools").code == 5


def test_a_command_is_kept_from_its_work_only_by_the_setting_that_it_needs(shell, file, monkeypatch):
    shell.ok("store", "init")
    monkeypatch.delenv("OCICAT_STORE")
    url = f'[store]\nurl = "{shell.url}"\n'
    file.write_text(url + "[agent]\nmtu = 'x'\n[felix]\nvxlanPort = -1\n")
    shell.ok("get", "tiers")
    file.write_text("[store]\nurl = 1\n")
    ended = shell("get", "tiers")
    assert (ended.code, ended.err.splitlines()[0]) == (2, f"ocicat: {file}:2: store.url: is not a text in quotes")
    file.write_text("[store\n")
    assert shell("get", "tiers").err.startswith(f"ocicat: {file}:1: is no TOML")
    monkeypatch.setenv("OCICAT_CONFIG", "/none.toml")
    ended = shell("get", "tiers")
    assert (ended.code, ended.err.splitlines()[0]) == (5, "ocicat: configuration file /none.toml: there is none")


def test_the_file_says_master_framework_and_names_for_commands(shell, file):
    file.write_text('mesos.master = "m:1"\nmesos.framework = "f"\ndns.zone = "z"\ndns.server = "10.0.0.9"\n')
    assert (defaults.mesos_master(), defaults.framework()) == ("m:1", "f")
    assert (defaults.dns_zone(), defaults.dns_server()) == ("z", "10.0.0.9")
    file.write_text("")
    assert (defaults.mesos_master(), defaults.framework(), defaults.dns_zone()) == ("127.0.0.1:5050", "ocicat", "mesos")


def test_the_socket_is_the_variables_before_it_is_the_files(shell, file, monkeypatch, tmp_path):
    file.write_text(f'[agent]\nsocket = "{tmp_path}/file.sock"\n')
    for command in ("status", "reload"):
        monkeypatch.delenv("OCICAT_SOCKET", raising=False)
        assert f"no agent serves {tmp_path}/file.sock" in shell("node", command).err
        monkeypatch.setenv("OCICAT_SOCKET", f"{tmp_path}/variable.sock")
        assert f"no agent serves {tmp_path}/variable.sock" in shell("node", command).err
        assert (
            f"no agent serves {tmp_path}/option.sock"
            in shell("node", command, "--socket", f"{tmp_path}/option.sock").err
        )
    file.write_text("[agent]\nsocket = 1\n")
    assert "variable.sock" in shell("node", "reload").err


# --- the agent ----------------------------------------------------------------------------------------------------------


def test_an_agent_without_options_begins_by_the_file(shell, file, monkeypatch):
    started = []

    async def run(config, reread):
        started.append((config, reread))

    monkeypatch.setattr("ocicat.agent.daemon.run", run)
    shell.ok("agent")
    shell.ok("agent", "--mtu", "1400")
    monkeypatch.setenv("OCICAT_MTU", "1300")
    shell.ok("agent", "--mtu", "1200")
    shell.ok("agent", "--config", str(file))
    found = [config for config, _ in started]
    assert [(one.host, one.address, one.store, one.mtu) for one in found] == [
        ("h1", "10.0.0.11/24", shell.url, mtu) for mtu in (0, 1400, 1200, 1300)
    ]
    assert {one.live.felix.vxlan_port for one in found} == {4791}
    reread = started[-1][1]
    file.write_text(GOOD.replace("4791", "4792") + '[log]\nlevel = "debug"\n')
    assert (reread().felix.vxlan_port, reread().log_level) == (4792, "debug")


def test_an_agent_does_not_begin_with_what_is_wrong_and_tells_all_of_it(shell, file):
    file.write_text("[agent]\nmtu = 'x'\n[dns]\nttl_s = -1\n")
    ended = shell("agent")
    assert (ended.code, ended.out) == (78, "")
    assert f"{file}:2: agent.mtu: is not a whole number" in ended.err
    assert f"{file}:4: dns.ttl_s: -1 is not in 0 to 604800 seconds" in ended.err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((), '[store]\nurl = "postgres://h"\n'),
        ((), '[store]\nurl = "etcd://h?x=1"\n'),
        ((), "[host\n"),
        ((), ""),
        (("--nonsense",), ""),
        (("--agent-port", "x"), ""),
        (("--config", "/none.toml"), ""),
    ],
)
def test_what_starting_again_does_not_mend_has_an_exit_code_of_its_own(shell, file, monkeypatch, words, text):
    monkeypatch.delenv("OCICAT_STORE")
    file.write_text(text)
    assert shell("agent", *words).code == 78


def test_what_may_heal_by_itself_has_another(shell, file, monkeypatch):
    """An address that an interface gets later, a certificate that is brought later."""
    monkeypatch.delenv("OCICAT_STORE")
    for store in ("memory://", "etcd://127.0.0.1:1?ca=/none"):
        file.write_text(GOOD + f'[store]\nurl = "{store}"\n[agent]\nsocket = "{file.parent}/a.sock"\n')
        assert shell("agent").code == 2
