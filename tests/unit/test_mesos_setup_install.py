"""Installing on every shape of host: what the Mesos agent is given, that twice is once, and that undoing restores every byte."""

import json
import subprocess
from pathlib import Path

import pytest
from setup_bed import (
    PACKAGES,
    PLUGIN,
    SERVICE,
    SHAPES,
    VARIABLES,
    asked,
    contents,
    host,
    install,
    settings,
    uninstall,
)

from ocicat.changes import record
from ocicat.errors import NotFound, Refused, UserError
from ocicat.mesos.setup import places, plan

shapes = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
versions = pytest.mark.parametrize("version", [(0, 24), (0, 25), (0, 28, 2), (1, 0), (1, 7, 3), (1, 8), (1, 11)])


@shapes
@versions
def test_a_second_installation_changes_nothing_and_uninstalling_restores_every_byte(tmp_path, shape, version):
    tree = host(tmp_path, shape)
    before = contents(tmp_path)
    assert install(tree, version, socket="/run/o.sock")
    after = contents(tmp_path)
    assert after != before
    assert install(tree, version, socket="/run/o.sock") == []
    assert contents(tmp_path) == after
    assert uninstall(tree)[1] == []
    assert contents(tmp_path) == before


@shapes
def test_the_agent_finds_plugin_and_network(tmp_path, shape):
    tree = host(tmp_path, shape)
    before = settings(tree)
    install(tree)
    given = settings(tree)
    assert {name: given.pop(name) for name in set(given) - set(before)} == {
        "network_cni_plugins_dir": "/opt/ocicat/cni",
        "network_cni_config_dir": "/etc/ocicat/cni",
        "network_cni_root_dir_persist": "true",
    }
    assert given == before
    plugin = tmp_path / "opt/ocicat/cni/ocicat"
    assert (plugin.read_bytes(), plugin.stat().st_mode & 0o777) == (PLUGIN, 0o755)
    network = json.loads((tmp_path / "etc/ocicat/cni/ocicat.conf").read_text())
    assert network == {"cniVersion": "0.2.0", "name": "ocicat", "type": "ocicat"}


@pytest.mark.parametrize(("version", "given"), [((1, 0), False), ((1, 7, 9), False), ((1, 8), True)])
def test_a_version_gets_no_flag_that_it_does_not_know(tmp_path, version, given):
    tree = host(tmp_path, PACKAGES)
    install(tree, version)
    assert ("network_cni_root_dir_persist" in settings(tree)) is given


@shapes
def test_a_link_leads_from_beside_the_plugin_to_the_agents_socket(tmp_path, shape):
    tree = host(tmp_path, shape)
    install(tree, socket="/run/o.sock")
    install(tree, (0, 28), socket="/run/o.sock")
    assert (tmp_path / "opt/ocicat/ocicat.sock").readlink() == Path("/run/o.sock")
    install(tree, socket="/run/o.sock")
    assert (tmp_path / "opt/ocicat/cni/ocicat.sock").readlink() == Path("/run/o.sock")
    install(tree)
    assert not (tmp_path / "opt/ocicat/cni/ocicat.sock").is_symlink()


@shapes
def test_a_value_is_read_as_it_was_given_whatever_is_in_it(tmp_path, shape):
    tree = host(tmp_path, shape)
    given = {"some": 'a:"b" %h \\ $HOME # 100%', "other": "plain"}
    for item in places.place(tree, places.unit(tree)).items(tree, given, {}):
        tree.put(item.path, item.state)
    assert given.items() <= settings(tree).items()


def test_a_drop_in_holds_nothing_that_systemd_would_expand(tmp_path):
    tree = host(tmp_path, SERVICE)
    (item,) = places.place(tree, places.unit(tree)).items(tree, {"some": '%h "q"'}, {})
    assert item.state.content == b'[Service]\nEnvironment="MESOS_SOME=%%h \\"q\\""\n'


@shapes
def test_an_old_version_gets_the_module(tmp_path, shape):
    tree = host(tmp_path, {**shape, "/etc/unrelated": ""})
    install(tree, (0, 28, 2))
    given = settings(tree)
    assert given["modules"] == "file:///etc/ocicat/modules.json"
    assert given["isolation"] == "posix/cpu,posix/mem,com_mesosphere_mesos_NetworkIsolator"
    assert given["hooks"] == "com_mesosphere_mesos_NetworkHook"
    assert given["executor_registration_timeout"] == "5mins"
    assert "/opt/ocicat/ocicat-netmodules" in (tmp_path / "etc/ocicat/modules.json").read_text()


def test_no_file_that_is_no_flag_lies_in_the_directory_of_flags(tmp_path):
    tree = host(tmp_path, PACKAGES)
    before = set((tmp_path / "etc/mesos-slave").iterdir())
    install(tree, (0, 28))
    new = {path.name for path in set((tmp_path / "etc/mesos-slave").iterdir()) - before}
    assert new == {"modules", "isolation", "hooks", "executor_registration_timeout"}


def test_isolators_and_hooks_that_are_there_stay(tmp_path):
    isolation = {"/etc/mesos-slave/isolation": "cgroups/cpu,cgroups/mem\n", "/etc/mesos-slave/hooks": "mine"}
    tree = host(tmp_path, {**PACKAGES, **isolation})
    (tmp_path / "etc/mesos-slave/isolation").chmod(0o600)
    install(tree, (0, 28))
    assert (tmp_path / "etc/mesos-slave/isolation").stat().st_mode & 0o777 == 0o600
    given = settings(tree)
    assert given["isolation"] == "cgroups/cpu,cgroups/mem,com_mesosphere_mesos_NetworkIsolator"
    assert given["hooks"] == "mine,com_mesosphere_mesos_NetworkHook"


def test_directories_and_a_network_of_the_operator_are_used(tmp_path):
    own = {
        "/etc/mesos-slave/network_cni_plugins_dir": "/opt/cni/bin:/opt/more\n",
        "/etc/mesos-slave/network_cni_config_dir": "/etc/cni/net.d\n",
        "/etc/cni/net.d/10-mine": '{"name": "ocicat", "type": "ocicat", "mtu": 9000}',
    }
    tree = host(tmp_path, {**PACKAGES, **own})
    assert [change.path for change in install(tree)] == ["/opt/cni/bin/ocicat"]
    (remark,) = plan.planned(tree, asked()).remarks
    assert "network_cni_root_dir_persist is left as it is" in remark


def test_the_settings_of_others_in_a_file_of_variables_stay_as_they_are(tmp_path):
    tree = host(tmp_path, VARIABLES)
    (tmp_path / "etc/default/mesos-agent").chmod(0o600)
    install(tree)
    path = tmp_path / "etc/default/mesos-agent"
    assert path.read_text().startswith(VARIABLES["/etc/default/mesos-agent"] + "\n")
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("MESOS_IP=10.0.0.1\n" + path.read_text())
    assert [change.path for change in install(tree, network="other")] == [
        "/etc/ocicat/cni/ocicat.conf",
        "/etc/ocicat/cni/other.conf",
    ]
    assert uninstall(tree)[1] == []
    assert path.read_text() == "MESOS_IP=10.0.0.1\n" + VARIABLES["/etc/default/mesos-agent"]


def test_a_file_of_variables_that_was_not_there_goes_again_unless_somebody_writes_to_it(tmp_path):
    path = tmp_path / "etc/default/mesos-agent"
    tree = host(tmp_path, {**VARIABLES, "/etc/default/mesos-agent": ""})
    path.unlink()
    install(tree)
    assert path.read_text().startswith("# --- ocicat")
    uninstall(tree)
    assert not path.exists()
    install(tree)
    path.write_text(path.read_text() + "MESOS_IP=10.0.0.1\n")
    assert uninstall(tree)[1] == []
    assert path.read_text() == "MESOS_IP=10.0.0.1\n"


# --- the default network ----------------------------------------------------------------------------------------


@shapes
@pytest.mark.parametrize(
    ("version", "info"),
    [
        ((1, 11), {"name": "ocicat"}),
        ((0, 28), {"ip_addresses": [{}]}),
        ((0, 26), {"ip_addresses": [{}]}),
        ((0, 25), {"protocol": "IPv4"}),
    ],
)
def test_the_default_network_is_the_agents_default_container(tmp_path, shape, version, info):
    tree = host(tmp_path, shape)
    install(tree, version, default_network="ocicat")
    assert json.loads(settings(tree)["default_container_info"]) == {"type": "MESOS", "network_infos": [info]}
    install(tree, version)
    assert "default_container_info" not in settings(tree)


def test_a_version_that_has_no_network_info_says_so(tmp_path):
    with pytest.raises(Refused, match=r"with Mesos 0\.24\.0 a task cannot ask for a network"):
        plan.planned(host(tmp_path, PACKAGES), asked((0, 24), default_network="ocicat"))


def test_a_default_container_of_the_operator_keeps_its_volumes(tmp_path):
    volumes = [{"host_path": "tmp", "container_path": "/tmp", "mode": "RW"}]
    text = json.dumps({"type": "MESOS", "volumes": volumes})
    tree = host(tmp_path, {**PACKAGES, "/etc/mesos-slave/default_container_info": text})
    install(tree, default_network="ocicat")
    given = json.loads(settings(tree)["default_container_info"])
    assert given == {"type": "MESOS", "volumes": volumes, "network_infos": [{"name": "ocicat"}]}
    uninstall(tree)
    assert settings(tree)["default_container_info"] == text


def test_a_default_network_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(UserError, match="there is no such network in /etc/ocicat/cni"):
        install(host(tmp_path, PACKAGES), default_network="nosuch")


# --- what is in the way -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "version", "text"),
    [
        (
            {"/etc/mesos-slave/isolation": "network/port_mapping"},
            (1, 11),
            "has the network isolator network/port_mapping",
        ),
        ({"/etc/mesos-slave/modules": "file:///etc/x.json"}, (0, 28), "already loads modules: file:///etc/x.json"),
        ({"/etc/mesos-slave/?no-network_cni_root_dir_persist": ""}, (1, 11), "--network_cni_root_dir_persist=false"),
        (
            {"/etc/ocicat/cni/x": '{"name": "ocicat", "type": "bridge"}'},
            (1, 11),
            "the network ocicat is of type bridge",
        ),
        ({"/etc/mesos-slave/default_container_info": '{"type": "DOCKER"}'}, (1, 11), "has type 'DOCKER'"),
    ],
)
def test_what_cannot_work_is_refused_and_nothing_changed(tmp_path, files, version, text):
    tree = host(tmp_path, {**PACKAGES, **files})
    before = contents(tmp_path)
    with pytest.raises(Refused, match=text):
        install(tree, version, default_network="ocicat")
    assert contents(tmp_path) == before


def test_a_flag_on_the_command_line_would_win_so_it_is_refused(tmp_path):
    unit = SERVICE["/etc/systemd/system/mesos-agent.service"].replace(
        "--no-switch", "--isolation=cgroups/cpu --no-switch"
    )
    tree = host(tmp_path, {"/etc/systemd/system/mesos-agent.service": unit})
    with pytest.raises(Refused, match=r"mesos-agent\.service gives the Mesos agent --isolation=cgroups/cpu"):
        install(tree, (0, 28))


DIRECTORIES = ("/etc/systemd/system", "/usr/local/lib/systemd/system", "/lib/systemd/system")


@pytest.mark.parametrize("directory", DIRECTORIES)
@pytest.mark.parametrize(
    "said",
    [
        "Environment=\nEnvironment=MESOS_IP=2",
        "Environment=MESOS_NETWORK_CNI_ROOT_DIR_PERSIST=false",
        "Environment=\nEnvironment=MESOS_NETWORK_CNI_CONFIG_DIR=/etc/ocicat/cni",
    ],
)
def test_a_later_drop_in_that_undoes_a_flag_is_refused_and_named(tmp_path, directory, said):
    later = f"{directory}/mesos-agent.service.d/90-local.conf"
    tree = host(tmp_path, {**SERVICE, later: f"[Service]\n{said}\n"})
    before = contents(tmp_path)
    with pytest.raises(Refused, match=rf"{later}, read after .*50-ocicat\.conf"):
        install(tree)
    assert contents(tmp_path) == before


def test_a_drop_in_that_leaves_our_flags_alone_is_no_obstacle(tmp_path):
    said = {
        "10-before": "Environment=\nEnvironment=MESOS_NETWORK_CNI_ROOT_DIR_PERSIST=false",
        "90-after": "Environment=MESOS_IP=2",
        "95-same": "Environment=MESOS_NETWORK_CNI_ROOT_DIR_PERSIST=true",
    }
    directory = "/etc/systemd/system/mesos-agent.service.d"
    tree = host(
        tmp_path, {**SERVICE, **{f"{directory}/{name}.conf": f"[Service]\n{text}\n" for name, text in said.items()}}
    )
    install(tree)
    given = settings(tree)
    assert (given["network_cni_root_dir_persist"], given["network_cni_config_dir"]) == ("true", "/etc/ocicat/cni")
    assert install(tree) == []


def test_a_directory_where_a_file_belongs_is_told(tmp_path):
    (tmp_path / "etc/mesos-slave/network_cni_config_dir").mkdir(parents=True)
    with pytest.raises(Refused, match="network_cni_config_dir: Is a directory"):
        install(host(tmp_path, PACKAGES))


def test_a_flag_that_is_there_already_is_not_given_twice(tmp_path):
    tree = host(tmp_path, {**PACKAGES, "/etc/mesos-slave/?network_cni_root_dir_persist": ""})
    install(tree)
    assert not (tmp_path / "etc/mesos-slave/network_cni_root_dir_persist").exists()


def test_a_host_without_a_mesos_agent_is_told(tmp_path):
    with pytest.raises(NotFound, match="no Mesos agent below"):
        install(host(tmp_path, {}))


# --- what was edited since --------------------------------------------------------------------------------------


def test_an_edited_file_is_neither_overwritten_nor_removed(tmp_path):
    tree = host(tmp_path, PACKAGES)
    install(tree)
    flag = tmp_path / "etc/mesos-slave/network_cni_plugins_dir"
    plugin = tmp_path / "opt/ocicat/cni/ocicat"
    plugin.write_bytes(b"another")
    before = contents(tmp_path)
    with pytest.raises(Refused, match="edited since it was installed: /opt/ocicat/cni/ocicat"):
        install(tree)
    assert contents(tmp_path) == before
    assert uninstall(tree)[1] == ["/opt/ocicat/cni/ocicat"]
    assert (plugin.read_bytes(), flag.exists()) == (b"another", False)
    plugin.unlink()
    assert uninstall(tree)[1] == []
    assert not (tmp_path / "opt").exists()
    assert not (tmp_path / "var").exists()


def test_a_network_that_the_operator_has_edited_is_no_obstacle_and_stays(tmp_path):
    tree = host(tmp_path, PACKAGES)
    install(tree)
    network = tmp_path / "etc/ocicat/cni/ocicat.conf"
    network.write_text('{"name": "ocicat", "type": "ocicat", "mtu": 1400}')
    assert install(tree) == []
    assert uninstall(tree)[1] == ["/etc/ocicat/cni/ocicat.conf"]
    assert "1400" in network.read_text()


def test_a_newer_plugin_takes_the_place_of_ours_and_what_was_there_before_comes_back(tmp_path):
    tree = host(tmp_path, {**PACKAGES, "/opt/ocicat/cni/ocicat": "somebody's"})
    before = contents(tmp_path)
    install(tree)
    assert [change.path for change in install(tree, plugin=b"newer")] == ["/opt/ocicat/cni/ocicat"]
    uninstall(tree)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("at", range(7))
def test_an_installation_that_is_cut_anywhere_can_be_repeated_or_undone(tmp_path, monkeypatch, at):
    tree = host(tmp_path, PACKAGES)
    before = contents(tmp_path)
    done = []

    def put(path, state, real=tree.put):
        if len(done) == at:
            raise KeyboardInterrupt
        done.append(path)
        real(path, state)

    monkeypatch.setattr(tree, "put", put)
    with pytest.raises(KeyboardInterrupt):
        install(tree)
    monkeypatch.undo()
    assert uninstall(tree)[1] == []
    assert {path: one for path, one in contents(tmp_path).items() if one[0] != "directory"} == {
        path: one for path, one in before.items() if one[0] != "directory"
    }
    install(tree)
    assert install(tree) == []


@shapes
@versions
def test_the_diff_makes_what_is_then_written(tmp_path, shape, version):
    """But for a program and a link, of which no diff is made."""
    trees = [host(tmp_path / name, shape) for name in ("patched", "installed")]
    options = {"default_network": "ocicat"} if version >= (0, 25) else {}
    text = record.diff(
        record.changes(trees[0], record.load(trees[0]), plan.planned(trees[0], asked(version, **options)).items),
        trees[0],
    )
    patch = ["patch", "-p1", "--directory", str(tmp_path / "patched")]
    subprocess.run(patch, input=text, text=True, check=True, capture_output=True, timeout=20)
    install(trees[1], version, **options)
    texts = [
        {path: one for path, one in contents(tree.root).items() if one[0] != "directory" and b"\0" not in one[0]}
        for tree in trees
    ]
    written = {path: one[0] for path, one in texts[1].items() if "/var/lib/ocicat/" not in path}
    assert written == {path: one[0] for path, one in texts[0].items()}


def test_the_diff_is_one(tmp_path):
    tree = host(tmp_path, VARIABLES)
    text = record.diff(record.changes(tree, record.load(tree), plan.planned(tree, asked()).items))
    assert "/opt/ocicat/cni/ocicat: a program, 13 bytes\n" in text
    assert "--- /dev/null\n+++ b/etc/ocicat/cni/ocicat.conf\n" in text
    assert "+MESOS_NETWORK_CNI_CONFIG_DIR='/etc/ocicat/cni'\n" in text
