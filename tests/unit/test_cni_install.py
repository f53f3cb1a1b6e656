"""Installing the plugin: what lies in the directory afterwards, and that a plugin in use is not disturbed."""

import os
import stat
import subprocess
import sys

import pytest

from ocicat.agent.config import DEFAULT_SOCKET as AGENTS_SOCKET
from ocicat.cni import install as module
from ocicat.cni.install import install
from ocicat.cni.relay import DEFAULT_SOCKET
from ocicat.errors import Refused, UserError

VERSION = {"CNI_COMMAND": "VERSION"}


def answers(plugin):
    found = subprocess.run([plugin], env=VERSION, input=b"", capture_output=True, timeout=20, check=False)
    return found.returncode == 0 and b"supportedVersions" in found.stdout


@pytest.fixture
def no_compiler(monkeypatch):
    monkeypatch.setattr(module.shutil, "which", lambda _: None)


def test_the_agent_and_the_plugin_mean_the_same_socket():
    assert DEFAULT_SOCKET == AGENTS_SOCKET


def test_the_plugin_and_a_link_to_its_agent(tmp_path):
    plugin = install(tmp_path / "cni" / "bin", tmp_path / "a.sock")
    assert plugin == tmp_path / "cni" / "bin" / "ocicat"
    assert sorted(each.name for each in plugin.parent.iterdir()) == ["ocicat", "ocicat.sock"]
    assert plugin.with_name("ocicat.sock").readlink() == tmp_path / "a.sock"
    assert stat.S_IMODE(plugin.stat().st_mode) == 0o755
    assert answers(plugin)


def test_the_default_socket_needs_no_link_and_removes_an_old_one(tmp_path):
    install(tmp_path, tmp_path / "a.sock")
    install(tmp_path, DEFAULT_SOCKET)
    assert [each.name for each in tmp_path.iterdir()] == ["ocicat"]


def test_the_one_that_came_with_the_package_goes_before_any_other(tmp_path, monkeypatch):
    shipped = tmp_path / "shim"
    shipped.write_bytes(b"compiled elsewhere")
    monkeypatch.setattr(module, "PREBUILT", shipped)
    assert install(tmp_path / "bin", DEFAULT_SOCKET).read_bytes() == b"compiled elsewhere"


def test_without_a_compiler_it_is_the_one_in_python(tmp_path, no_compiler):
    plugin = install(tmp_path, DEFAULT_SOCKET)
    assert plugin.read_bytes() == module.FALLBACK.read_bytes()
    assert answers(plugin)


def test_a_compiler_that_fails_is_no_obstacle(tmp_path, monkeypatch, caplog):
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\necho 'no headers' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(module.shutil, "which", lambda _: str(broken))
    assert answers(install(tmp_path, DEFAULT_SOCKET))
    assert "no headers" in caplog.text


def test_neither_compiler_nor_interpreter_is_refused(tmp_path, no_compiler, monkeypatch):
    other = tmp_path / "fallback.py"
    other.write_text("#!/nowhere/python3 -ISE\n")
    monkeypatch.setattr(module, "FALLBACK", other)
    with pytest.raises(Refused, match="neither a C compiler nor /nowhere/python3"):
        install(tmp_path, DEFAULT_SOCKET)


def test_one_that_is_running_is_replaced(tmp_path):
    plugin = install(tmp_path, tmp_path / "a.sock")
    with subprocess.Popen([plugin], env={"CNI_COMMAND": "ADD"}, stdin=subprocess.PIPE) as running:
        try:
            install(tmp_path, tmp_path / "a.sock")
            assert running.poll() is None
            assert answers(plugin)
        finally:
            running.kill()


def test_a_link_of_another_kind_is_replaced_too(tmp_path):
    (tmp_path / "ocicat.sock").touch()
    install(tmp_path, tmp_path / "a.sock")
    assert (tmp_path / "ocicat.sock").readlink() == tmp_path / "a.sock"


def test_where_nothing_can_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(Refused, match="cannot be installed in"):
        install(tmp_path / "file" / "bin", DEFAULT_SOCKET)


@pytest.mark.parametrize("path", ["agent.sock", "/" + "x" * 107])
def test_a_socket_path_that_cannot_be(tmp_path, path):
    with pytest.raises(UserError, match="agent socket"):
        install(tmp_path, module.Path(path))
    assert list(tmp_path.iterdir()) == []


def test_as_a_command(tmp_path):
    command = [sys.executable, "-m", "ocicat.cni.install", str(tmp_path), str(tmp_path / "a.sock")]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=os.environ)
    assert (found.returncode, found.stdout, found.stderr) == (0, f"{tmp_path}/ocicat\n", "")


def test_as_a_command_that_fails(tmp_path):
    command = [sys.executable, "-m", "ocicat.cni.install", str(tmp_path), "relative"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.startswith("error: agent socket 'relative'")
