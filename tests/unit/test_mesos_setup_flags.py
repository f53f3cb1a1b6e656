"""Reading what a Mesos agent is started with, from each place that can say so; and versions."""

import pytest
from setup_bed import PACKAGES, SERVICE, VARIABLES, host, settings

from ocicat.errors import Refused, UserError
from ocicat.mesos.setup import flags, places, version
from ocicat.mesos.setup.version import Version


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("mesos 1.11.0\n", (1, 11, 0)), ("0.28", (0, 28, 0)), ("1.8.0-rc1", (1, 8, 0)), ("v1.0.3", (1, 0, 3))],
)
def test_versions(text, wanted):
    assert version.parse(text) == Version(*wanted)


@pytest.mark.parametrize(("text", "error"), [("mesos", UserError), ("1", UserError), ("0.23.1", Refused)])
def test_no_versions(text, error):
    with pytest.raises(error):
        version.parse(text)


def test_the_three_shapes(tmp_path):
    assert settings(host(tmp_path / "a", PACKAGES)) == {"work_dir": "/var/lib/mesos", "switch_user": "true"}
    assert settings(host(tmp_path / "b", VARIABLES)) == {"master": "zk://z1:2181/mesos", "port": "5051"}
    assert settings(host(tmp_path / "c", SERVICE)) == {
        "hostname": "h1",
        "master": "10.0.0.1:5050",
        "work_dir": "/var/lib/mesos",
        "switch_user": "false",
    }


def test_the_command_line_wins_over_the_file_and_the_file_over_the_unit(tmp_path):
    unit = (
        "[Service]\nEnvironment=MESOS_PORT=1 MESOS_IP=1 MESOS_HOSTNAME=1\nEnvironmentFile=/etc/v\n"
        "ExecStart=/usr/sbin/mesos-agent --port=3\n"
    )
    tree = host(
        tmp_path, {"/etc/systemd/system/mesos-agent.service": unit, "/etc/v": "MESOS_PORT=2\nexport MESOS_IP='2'\n"}
    )
    assert settings(tree) == {"port": "3", "ip": "2", "hostname": "1"}


def test_a_drop_in_replaces_the_command(tmp_path):
    path = "/etc/systemd/system/mesos-agent.service.d/10-mine.conf"
    tree = host(tmp_path, {**SERVICE, path: "[Service]\nExecStart=\nExecStart=/usr/sbin/mesos-agent --port=7\n"})
    assert settings(tree) == {"hostname": "h1", "port": "7"}


def test_what_is_empty_takes_back_what_was_said_before(tmp_path):
    path = "/etc/systemd/system/mesos-agent.service.d/10-mine.conf"
    said = "[Service]\nEnvironment=\nEnvironment=MESOS_IP=2\nEnvironmentFile=\n"
    tree = host(tmp_path, {**VARIABLES, path: said})
    assert settings(tree) == {"ip": "2"}
    assert places.place(tree, places.unit(tree)).kind == "drop-in"


def test_drop_ins_of_every_directory_count_in_the_order_of_their_names(tmp_path):
    """systemd.unit(5): of one name in two directories the one in /etc counts; others after their names, wherever they lie."""
    drop_ins = {
        "/usr/lib/systemd/system/mesos-agent.service.d/20-b.conf": "MESOS_PORT=2",
        "/etc/systemd/system/mesos-agent.service.d/10-a.conf": "MESOS_PORT=1",
        "/run/systemd/system/mesos-agent.service.d/30-c.conf": "MESOS_IP=3",
        "/usr/local/lib/systemd/system/mesos-agent.service.d/40-d.conf": "MESOS_HOSTNAME=local",
        "/usr/local/lib/systemd/system/mesos-agent.service.d/50-e.conf": "MESOS_RACK=5",
        "/lib/systemd/system/mesos-agent.service.d/50-e.conf": "MESOS_RACK=lib",
        "/lib/systemd/system/mesos-agent.service.d/40-d.conf": "MESOS_HOSTNAME=lib",
        "/etc/systemd/system/mesos-agent.service.d/40-d.conf": "MESOS_HOSTNAME=etc",
    }
    files = {path: f"[Service]\nEnvironment={text}\n" for path, text in drop_ins.items()}
    tree = host(tmp_path, {"/lib/systemd/system/mesos-agent.service": "[Service]\nExecStart=/x\n", **files})
    assert settings(tree) == {"port": "2", "ip": "3", "hostname": "etc", "rack": "5"}


def test_flags_of_a_directory_that_no_wrapper_reads_do_not_count(tmp_path):
    tree = host(tmp_path, {**SERVICE, "/etc/mesos-agent/port": "7"})
    assert "port" not in settings(tree)
    assert places.place(tree, places.unit(tree)).kind == "drop-in"


def test_a_line_that_is_no_assignment_is_passed_over():
    text = '# MESOS_A=1\nif true; then\n MESOS_B="x y"  # why\nMESOS_C=\'unclosed\nMESOS_D=\n'
    assert flags.of_variables(flags.of_environment(text)) == {"b": "x y", "c": "'unclosed", "d": ""}
