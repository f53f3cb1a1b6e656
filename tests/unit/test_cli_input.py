"""The command line and input that nobody means well with: no trace of ours, nothing done by halves, one line that says why."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from cli_bed import Shell

from ocicat.cli.opening import with_store
from ocicat.store.memory import URL as MEMORY

TIER = "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: %s}\nspec: {order: %s}\n"
UNPRIVILEGED = 65534


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    return Shell(tmp_path, monkeypatch, capsys)


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "d"
    (path / "in").mkdir(parents=True)
    (path / "a.yaml").write_text(TIER % ("a", 1))
    (path / "in" / "b.yaml").write_text(TIER % ("b", 1))
    return path


def refused(ended, said):
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert "Traceback" not in ended.err


# --- files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["apply", "delete", "validate"])
def test_an_empty_file_name_is_not_the_directory_we_are_in(shell, directory, monkeypatch, command):
    monkeypatch.chdir(directory)
    refused(shell(command, "-f", ""), "-f '' names no file")


def test_a_link_that_leads_nowhere_is_not_passed_over(shell, directory):
    (directory / "lost.yaml").symlink_to("nowhere")
    refused(shell("apply", "-f", str(directory)), "lost.yaml' cannot be read: No such file or directory")


def test_a_name_that_is_too_long(shell):
    refused(shell("apply", "-f", "a" * 5000), "cannot be read: File name too long")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become somebody else")
@pytest.mark.parametrize("words", [("in",), ("in/b.yaml",), (".", "-R")])
def test_what_may_not_be_read_is_told(shell, monkeypatch, words):
    name, *more = words
    with TemporaryDirectory() as path:  # pytest's own are closed to others
        Path(path).chmod(0o755)
        monkeypatch.chdir(path)
        Path("in").mkdir(mode=0o700)
        for file in ("a.yaml", "in/b.yaml"):
            Path(file).write_text(TIER % (file[-6], 1))
        os.seteuid(UNPRIVILEGED)
        try:
            read = shell("validate", "-f", "a.yaml")
            refused(shell("validate", "-f", name, *more), "cannot be read: Permission denied")
        finally:
            os.seteuid(0)
            monkeypatch.chdir("/")
    assert read.out == "tier/a valid\n"


def test_standard_input_that_is_closed():
    words = [sys.executable, "-m", "ocicat", "validate", "-f", "-"]
    closed = subprocess.run(
        ["/bin/sh", "-c", '"$@" <&-', "sh", *words], capture_output=True, text=True, check=False, timeout=30
    )
    assert (closed.returncode, closed.stderr) == (2, "ocicat: standard input is closed\n")


def test_one_problem_among_several_objects_says_that_nothing_was_done(shell):
    text = f"{TIER % ('a', 1)}---\n{TIER % ('b', 'first')}---\n{TIER % ('C', 1)}---\n{TIER % ('d', 1)}"
    assert shell("apply", "-f", "-", stdin=text).err.endswith(" problems, nothing was changed\n")
    ended = shell("apply", "-f", "-", stdin=f"{TIER % ('a', 1)}---\n{TIER % ('b', 1)}spec2: 1\n")
    assert ended.err.splitlines()[1:] == ["1 problem, nothing was changed"]
    assert shell("apply", "-f", "-", stdin=TIER % ("b", "first")).err.count("\n") == 1


# --- odd text -----------------------------------------------------------------------------------------------------


def test_a_number_without_end(shell, tmp_path):
    (tmp_path / "f.yaml").write_text(TIER % ("a", "9" * 5000))
    text = '{"apiVersion": "projectcalico.org/v3", "kind": "Tier", "metadata": {"name": "a"}, "spec": {"order": %s}}'
    (tmp_path / "f.json").write_text(text % ("9" * 5000))
    refused(shell("apply", "-f", "f.yaml"), "f.yaml:4:15: 99999999999999999999: a number must be finite")
    refused(shell("apply", "-f", "f.json"), "f.json:1:101: 99999999999999999999: the number is too large")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("patch", "tier", "a", "-p", '{"spec": "\udcff"}'), "the patch: is not UTF-8"),
        (("label", "tier", "a", "k=\udcff"), r"the label 'k=\udcff' is not UTF-8"),
    ],
)
def test_bytes_that_are_no_text(shell, words, said):
    shell.ok("apply", "-f", "-", stdin=TIER % ("a", 1))
    refused(shell(*words), said)


def test_what_others_named_stays_on_its_line(shell):
    shell.ok("apply", "-f", "-", stdin=TIER % ("a", 1))
    ended = shell("get", "tier", "x\x1b[31m\nocicat: all is well")
    assert (ended.code, ended.err) == (5, "ocicat: Tier x\\x1b[31m\\nocicat: all is well: there is none\n")
    bad = TIER % ('"x\\e[31m\\ny"', 1)
    lines = shell("validate", "-f", "-", stdin=bad).err.splitlines()
    assert all(line.startswith(r"ocicat: standard input:3: Tier x\x1b[31m\ny: metadata.name = ") for line in lines[:-1])


@pytest.mark.parametrize("words", [("get", "tier", ""), ("delete", "tier", "a", ""), ("label", "tier", "", "a=b")])
def test_an_empty_name_is_not_all(shell, words):
    shell.ok("apply", "-f", "-", stdin=TIER % ("a", 1))
    refused(shell(*words), "a name is empty")
    assert shell.ok("get", "tiers", "-o", "name").out == "tier/a\n"


# --- what it costs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("ocicat.cli.main", {"msgspec", "asyncio"}),
        ("ocicat.cli.commands.get", {"yaml", "grpc", "ocicat.validate", "ocicat.ipam", "ocicat.policy"}),
        ("ocicat.cli.commands.apply", {"yaml", "grpc", "ocicat.policy"}),
    ],
)
def test_who_only_reads_does_not_load_what_writing_takes(module, unwanted):
    code = f"import {module}, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert unwanted & set(loaded.stdout.split()) == set()


def test_a_result_is_not_put_into_words():
    """asyncio does that with what a task of its own returns: seconds, for all endpoints of a cluster."""

    spoken = []

    class Large:
        def __repr__(self):
            spoken.append(self)
            return ""

    async def read(_store):
        return Large()

    assert isinstance(with_store(MEMORY, read), Large)
    assert spoken == []
