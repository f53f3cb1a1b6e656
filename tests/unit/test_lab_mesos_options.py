"""The command lines of master and agent, and the Mesos flags they become."""

from __future__ import annotations

import pytest

from ocicat.errors import UserError
from ocicat.lab.mesos.masterinfo import encode_master_info
from ocicat.lab.mesos.options import AgentOptions, MasterOptions, parse
from ocicat.supervise.interpreter import module_line

MASTER = MasterOptions(ip="10.0.0.1", work_dir="/x/m", cluster="c", flags={"agent_ping_timeout": "1secs"})
AGENT = AgentOptions(
    ip="10.0.0.2",
    master="10.0.0.1:5050",
    work_dir="/x/w",
    runtime_dir="/x/r",
    launcher_dir="/x/l",
    cgroups_root="oct-x",
    hostname="h1",
    attributes="rack:a",
)


SEVERAL = "zk://10.0.0.1:2181,10.0.0.2:2181/mesos"
ELECTED = MasterOptions(ip="10.0.0.1", work_dir="/x/m", zk=SEVERAL, quorum=2)
FOLLOWING = AgentOptions(
    ip="10.0.0.2",
    master=SEVERAL,
    ask="10.0.0.1:5050,10.0.0.2:5050",
    work_dir="/w",
    runtime_dir="/r",
    launcher_dir="/l",
    cgroups_root="o",
)


@pytest.mark.parametrize("options", [MASTER, AGENT, ELECTED, FOLLOWING])
def test_a_command_line_gives_the_options_it_was_made_of(options):
    assert parse(type(options), options.argv()[len(module_line("")) :]) == options


def test_flags_become_variables_and_a_given_one_wins():
    environment = AgentOptions(**{**fields(AGENT), "flags": {"launcher": "posix"}}).environment()
    assert environment["LIBPROCESS_IP"] == "10.0.0.2"
    assert environment["LIBPROCESS_PORT"] == "5051"
    assert environment["MESOS_LAUNCHER"] == "posix"
    assert environment["MESOS_HOSTNAME"] == "h1"
    assert environment["MESOS_ISOLATION"] == "network/cni,filesystem/linux"


def test_what_is_not_given_is_no_variable():
    assert "MESOS_NETWORK_CNI_CONFIG_DIR" not in AGENT.environment()


def test_the_host_name_is_the_address_unless_given():
    assert MASTER.environment()["MESOS_HOSTNAME"] == "10.0.0.1"


def fields(options):
    return {name: getattr(options, name) for name in options.__struct_fields__}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"master": "zk://10.0.0.1:2181/mesos"}, "wants --ask"),
        ({"master": "zk://10.0.0.1:2181", "ask": "10.0.0.1:5050"}, "no path"),
        ({"master": "zk://u:p@10.0.0.1/mesos", "ask": "10.0.0.1:5050"}, r"--master zk://u:\*\*\*@"),
        ({"master": "zk://10.0.0.1:2181/mesos", "ask": "10.0.0.1:5050,x"}, "--ask x"),
        ({"master": "10.0.0.1"}, "IP:PORT"),
        ({"master": "master:5050"}, "--master master"),
        ({"ip": "host1"}, "--ip host1"),
        ({"cni_config_dir": "/x/cni"}, "belong together"),
    ],
)
def test_a_wrong_value_is_named(change, words):
    options = AgentOptions(**{**fields(AGENT), **change})
    with pytest.raises(UserError, match=words):
        parse(AgentOptions, options.argv()[len(module_line("")) :])


@pytest.mark.parametrize("zk", ["10.0.0.1:2181", "zk://10.0.0.1", "zk://u:p@10.0.0.1/mesos"])
def test_a_masters_zookeeper_is_checked(zk):
    options = MasterOptions(ip="10.0.0.1", work_dir="/x", zk=zk)
    with pytest.raises(UserError, match="zk"):
        parse(MasterOptions, options.argv()[len(module_line("")) :])


def test_a_master_alone_keeps_its_registry_in_memory_and_one_of_several_in_a_log():
    alone, several = (MasterOptions(ip="10.0.0.1", work_dir="/x", zk=zk).environment() for zk in ("", "zk://z/m"))
    assert (alone["MESOS_REGISTRY"], several["MESOS_REGISTRY"]) == ("in_memory", "replicated_log")
    assert several["MESOS_WORK_DIR"] == "/x"


def test_a_flag_without_value_is_refused():
    with pytest.raises(UserError, match="NAME=VALUE"):
        parse(MasterOptions, ["--ip", "10.0.0.1", "--work-dir", "/x", "--flag", "quiet"])


def test_a_missing_option_is_named(capsys):
    with pytest.raises(SystemExit):
        parse(MasterOptions, ["--ip", "10.0.0.1"])
    assert "work_dir" in capsys.readouterr().err


def test_a_master_info_is_what_protobuf_makes_of_it():
    address = b"\x0a\x0810.0.0.1" + b"\x12\x0810.0.0.1" + b"\x18\xba\x27"
    pid = b"master@10.0.0.1:5050"
    expected = b"\x0a\x14" + pid + b"\x10\x8a\x80\x80\x08" + b"\x18\xba\x27" + b"\x22\x14" + pid + b"\x2a\x0810.0.0.1"
    assert encode_master_info("10.0.0.1", 5050, "master") == expected + b"\x3a" + bytes([len(address)]) + address
