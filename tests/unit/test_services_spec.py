"""Who belongs to a cluster, and what each of its hosts is told: the files, the units, the address."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ocicat.cli import services_options
from ocicat.errors import UserError
from ocicat.model.base import replace
from ocicat.services import etcd_config, items, network, packages, running, setup, zookeeper_config
from ocicat.services.setup import Asked
from ocicat.services.spec import Member, Service, own_member, parse_members

HOWS = ("systemd", "supervised", "docker")
THREE = parse_members("h1=10.0.0.1,h2=10.0.0.2,h3=fd00::3")


def service(name: str, **changes: object) -> Service:
    base = Service(
        service=name,  # type: ignore[arg-type]
        how="systemd",
        me="h2",
        members=THREE,
        data=f"/var/lib/ocicat-{name}",
        user=name,
        program="/usr/bin/etcd" if name == "etcd" else "/usr/bin/java",
    )
    return replace(base, **changes)


def settings(text: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in text.splitlines() if ": " in line and not line.startswith("#"))


def test_members_in_any_order_are_the_same_cluster() -> None:
    assert parse_members(" h3=[fd00:0::3], h1=10.0.0.1,h2=10.0.0.2") == THREE
    assert parse_members("h1.example.com") == (Member("h1.example.com", "h1.example.com"),)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not NAME=ADDRESS"),
        ("h1=", "neither an IP address nor a DNS name"),
        ("h1=10.0.0.1:2379", "neither an IP address nor a DNS name"),
        ("h1=0.0.0.0", "no address that others reach"),
        ("h 1=10.0.0.1", "is not NAME=ADDRESS"),
        ("h1=a\nb", "neither an IP address nor a DNS name"),
        ("h1=10.0.0.1,h2=10.0.0.2", "2 members"),
        ("h1=10.0.0.1,h1=10.0.0.2,h3=10.0.0.3", "two members have the name h1"),
        ("h1=10.0.0.1,h2=10.0.0.1,h3=10.0.0.3", "two members have the address 10.0.0.1"),
        (",".join(f"h{n}=10.0.0.{n}" for n in range(1, 9)), "8 members"),
    ],
)
def test_members_that_make_no_cluster(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        parse_members(text)


def test_which_member_this_host_is() -> None:
    assert own_member(THREE, given="h3", host="h1", local=["10.0.0.1"]) == "h3"
    assert own_member(THREE, given="", host="elsewhere", local=["10.0.0.2"]) == "h2"
    assert own_member(THREE, given="", host="h1", local=[]) == "h1"
    with pytest.raises(UserError, match="--name h9: no such member"):
        own_member(THREE, given="h9", host="h1", local=[])
    with pytest.raises(UserError, match="none of the members is this host"):
        own_member(THREE, given="", host="elsewhere", local=["10.0.0.1", "10.0.0.2"])


def test_etcd_is_told_its_addresses_and_the_others() -> None:
    told = settings(etcd_config.text(service("etcd")))
    assert told["listen-peer-urls"] == '"http://10.0.0.2:2380"'
    assert told["initial-cluster"] == '"h1=http://10.0.0.1:2380,h2=http://10.0.0.2:2380,h3=http://[fd00::3]:2380"'
    assert "client-transport-security" not in etcd_config.text(service("etcd"))
    named = service("etcd", members=parse_members("h2=h2.example.com"))
    told = settings(etcd_config.text(named))
    assert told["listen-client-urls"] == '"http://0.0.0.0:2379"'  # it listens on no name
    assert told["advertise-client-urls"] == '"http://h2.example.com:2379"'


def test_etcd_with_tls_asks_everybody_for_a_certificate() -> None:
    text = etcd_config.text(service("etcd", tls="/etc/ocicat/tls/h2"))
    assert "http://" not in text
    assert text.count("client-cert-auth: true") == 2
    assert '  key-file: "/etc/ocicat/services/etcd.tls/tls.key"' in text.splitlines()


def test_the_address_of_the_store_names_files_and_no_secret() -> None:
    url = etcd_config.store_url(service("etcd", tls="/t", auth=True))
    assert url == (
        "etcd://10.0.0.1:2379,10.0.0.2:2379,[fd00::3]:2379?ca=/t/ca.crt&cert=/t/tls.crt&key=/t/tls.key"
        "&user=ocicat&password-file=/etc/ocicat/services/etcd-ocicat.password"
    )
    assert etcd_config.store_url(service("etcd", members=THREE[:1], me="h1")) == "etcd://10.0.0.1:2379"


def test_zookeeper_keeps_what_it_acknowledges_and_knows_the_others() -> None:
    lines = zookeeper_config.text(service("zookeeper")).splitlines()
    assert {"forceSync=yes", "autopurge.snapRetainCount=5", "clientPort=2181", "clientPortAddress=10.0.0.2"} <= set(
        lines
    )
    assert lines[-3:] == ["server.1=10.0.0.1:2888:3888", "server.2=10.0.0.2:2888:3888", "server.3=[fd00::3]:2888:3888"]
    alone = zookeeper_config.text(service("zookeeper", members=THREE[1:2]))
    assert "server." not in alone


def test_zookeeper_closes_its_plain_port_only_where_that_is_wanted() -> None:
    both = zookeeper_config.text(service("zookeeper", tls="/t")).splitlines()
    assert {"clientPort=2181", "secureClientPort=2281", "sslQuorum=true", "ssl.quorum.clientAuth=need"} <= set(both)
    secure = zookeeper_config.text(service("zookeeper", tls="/t", secure_only=True)).splitlines()
    assert "clientPort=2181" not in secure
    assert "secureClientPort=2281" in secure
    for wrong in (Asked(service="zookeeper", members=THREE, me="h1", secure_only=True),):
        with pytest.raises(UserError, match="--secure-only"):
            setup.planned(wrong)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
@pytest.mark.parametrize("name", ["etcd", "zookeeper"])
def test_systemd_understands_the_units(name: str, tmp_path: Path) -> None:
    program = str(Path("/bin/true").resolve())
    made = service(name, user="root", program=program, tls="/t")
    unit = tmp_path / f"{made.unit}.service"
    unit.write_text(items.unit(made))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if made.unit in line]
    assert (done.returncode, said) == (0, [])
    assert "Restart=always" in items.unit(made)


def test_a_unit_takes_any_path_for_one_word() -> None:
    text = items.unit(service("etcd", program='/opt/my etcd/$v %i "x"\\', data="/srv/a b"))
    assert r'ExecStart="/opt/my etcd/$$v %%i \"x\"\\" --config-file /etc/ocicat/services/etcd.yml' in text.splitlines()
    assert 'ReadWritePaths="/srv/a b"' in text.splitlines()


def test_only_a_log_of_ours_is_rotated() -> None:
    paths = {how: [one.path for one in items.items(service("etcd", how=how), "0:0")] for how in HOWS}
    assert {how: items.rotation_path(service("etcd")) in found for how, found in paths.items()} == {
        "systemd": False,
        "supervised": True,
        "docker": False,
    }
    assert items.rotation(service("etcd")).splitlines()[0] == "/var/log/ocicat/etcd.log {"
    assert "    copytruncate" in items.rotation(service("etcd")).splitlines()  # who writes keeps it open


def test_the_address_for_mesos_names_a_port_that_is_open() -> None:
    assert zookeeper_config.mesos_url(service("zookeeper", tls="/t")).startswith("zk://10.0.0.1:2181,")
    assert zookeeper_config.mesos_url(service("zookeeper", tls="/t", secure_only=True)).startswith(
        "zk://10.0.0.1:2281,"
    )


@pytest.mark.parametrize("name", ["a,b c=", "a,b,c", "a\nb", "-a"])
def test_a_name_that_is_no_name_makes_no_member(name: str) -> None:
    with pytest.raises(UserError, match="--name"):
        services_options.members("", name)


@pytest.mark.parametrize(
    ("address", "is_it"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("10.0.0.1", False), ("h1", False)]
)
def test_who_is_reached_from_here_alone(address: str, is_it: bool) -> None:
    assert network.is_loopback(address) is is_it


def test_a_container_has_its_files_where_the_host_has_them() -> None:
    made = service("etcd", how="docker", image="etcd:x", tls="/t")
    compose = items.compose(made, "103:106")
    run = items.run(made, "103:106")
    for volume in (
        "/etc/ocicat/services/etcd.yml:/etc/ocicat/services/etcd.yml:ro",
        "/var/lib/ocicat-etcd:/var/lib/ocicat-etcd",
        "/etc/ocicat/services/etcd.tls:/etc/ocicat/services/etcd.tls:ro",
    ):
        assert json.dumps(volume) in compose
        assert f"--volume={volume}" in run
    assert '    user: "103:106"' in compose.splitlines()
    assert run[-4:] == ("--entrypoint=etcd", "etcd:x", "--config-file", "/etc/ocicat/services/etcd.yml")
    assert '    entrypoint: ["etcd"]' in compose.splitlines()
    assert "password" not in compose


def test_systemd_is_read() -> None:
    text = "ActiveState=active\nSubState=running\nMainPID=7\nNRestarts=2\nExecMainStatus=0\nActiveEnterTimestampMonotonic=0"
    found = running._of_systemd(text)
    assert (found.is_running, found.state, found.pid, found.restarts) == (True, "active (running)", 7, 2)
    assert running._of_systemd("").state == "unknown (unknown)"


def test_an_engine_is_read() -> None:
    state = '{"Status":"restarting","Running":true,"Restarting":true,"Pid":0,"ExitCode":3}\n4'
    found = running._of_engine(state)
    assert (found.is_running, found.state, found.restarts, found.last_exit) == (
        False,
        "restarting",
        4,
        "ended with status 3",
    )
    assert running._of_engine("").state == "no container"


def test_what_is_installed_and_for_whom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages.shutil, "which", lambda name: None)
    assert packages.missing(service("etcd")) == ["etcd-server"]
    assert packages.wanted(service("etcd")) == ["etcd-server", "etcd-client"]
    own = service("etcd", program="/opt/etcd")
    assert (packages.missing(own), packages.wanted(own)) == ([], [])
    assert "default-jre-headless" in packages.wanted(service("zookeeper"))
    assert "default-jre-headless" not in packages.wanted(service("zookeeper", program="/opt/java"))
    assert packages.wanted(service("etcd", how="docker")) == ["docker.io"]


def test_a_user_by_name_and_by_number() -> None:
    assert running.user_ids("root") == (0, 0)
    assert running.user_ids("12:34") == (12, 34)
    assert running.has_user(str(os.getuid()) + ":0")
    with pytest.raises(UserError, match="no user nosuchuser"):
        running.user_ids("nosuchuser")
