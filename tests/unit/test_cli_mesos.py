"""`ocicat mesos install`, `check` and `uninstall` as their user sees them."""

import json

import pytest
from cli_bed import Shell
from setup_bed import AGENT_PROCESS, PACKAGES, SERVICE, contents, host

VERSION = ("--mesos-version", "1.11.0")


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    return Shell(tmp_path, monkeypatch, capsys)


@pytest.fixture
def root(tmp_path):
    host(tmp_path / "root", {**PACKAGES, **AGENT_PROCESS})
    return tmp_path / "root"


def test_a_dry_run_shows_the_diff_and_changes_nothing(shell, root):
    before = contents(root)
    out = shell.ok("mesos", "install", "--root", root, "--dry-run", "--default-network", "ocicat", *VERSION).out
    assert "+++ b/etc/mesos-slave/default_container_info\n@@ -0,0 +1 @@\n+{" in out
    assert "/opt/ocicat/cni/ocicat: a program, " in out
    assert contents(root) == before


def test_install_tells_what_it_wrote_and_what_to_restart_check_is_content_and_uninstall_undoes_it(shell, root):
    before = contents(root)
    done = shell.ok("mesos", "install", "--root", root, *VERSION)
    assert done.out.splitlines()[0] == "/opt/ocicat/cni/ocicat"
    assert "systemctl restart mesos-slave" in done.err
    assert "nothing to change" in shell.ok("mesos", "install", "--root", root, *VERSION).err
    assert "nothing is wrong" in shell.ok("mesos", "check", "--root", root, *VERSION).err
    assert "-network" not in shell.ok("mesos", "uninstall", "--root", root, "--dry-run").out.replace("--- ", "")
    shell.ok("mesos", "uninstall", "--root", root)
    assert contents(root) == before


def test_a_drop_in_wants_systemd_to_read_it(shell, tmp_path):
    host(tmp_path / "root", SERVICE)
    err = shell.ok("mesos", "install", "--root", tmp_path / "root", *VERSION).err
    assert "systemctl daemon-reload && systemctl restart mesos-agent" in err


def test_check_says_what_is_wrong_and_fails(shell, root):
    ended = shell("mesos", "check", "--root", root, *VERSION)
    assert ended.code == 1
    assert "flag: the Mesos agent gets no --network_cni_plugins_dir\n  so no task can join a network\n" in ended.out
    ended = shell("mesos", "check", "--root", root, *VERSION, "-o", "json")
    assert (ended.code, {one["about"] for one in json.loads(ended.out)}) == (1, {"flag", "network", "root-dir-persist"})


def test_uninstall_names_what_it_left(shell, root):
    shell.ok("mesos", "install", "--root", root, *VERSION)
    (root / "opt/ocicat/cni/ocicat").write_text("edited")
    ended = shell("mesos", "uninstall", "--root", root)
    assert (ended.code, "left as it is: /opt/ocicat/cni/ocicat" in ended.err) == (1, True)


def test_a_version_that_nobody_tells_is_asked_for(shell, root):
    ended = shell("mesos", "install", "--root", root)
    assert (ended.code, "--mesos-version" in ended.err) == (5, True)


def test_a_socket_that_cannot_be_one_is_refused(shell, root):
    assert shell("mesos", "install", "--root", root, "--socket", "relative", *VERSION).code == 2


@pytest.mark.parametrize("name", ["", "a/b", "../../etc/cron.d/x", ".hidden", "a b", "a\n", "-x", "a" * 300])
def test_a_network_that_no_plugin_would_serve_is_refused(shell, root, name):
    before = contents(root)
    failed = shell("mesos", "install", "--root", root, f"--network={name}", *VERSION)
    assert (failed.code, "is no name of a network" in failed.err) == (2, True), failed
    assert contents(root) == before
