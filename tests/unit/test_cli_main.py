"""The command line as a whole: help for everything, one line for every error, a quiet end when nobody reads."""

from __future__ import annotations

import os
import subprocess
import sys
from inspect import cleandoc

import click
import pytest
from cli_bed import Shell

from ocicat import __version__
from ocicat.cli import main as entry
from ocicat.cli.main import cli
from ocicat.errors import Bug
from ocicat.store.base import Put


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    return Shell(tmp_path, monkeypatch, capsys)


def commands(command, path=()):
    """Every command and group below, with the words that call it."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from commands(command.get_command(context, name), (*path, name))


EVERY = dict(commands(cli))
LEAVES = [path for path, command in EVERY.items() if not isinstance(command, click.Group)]


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_every_command_and_option_has_help(path):
    command = EVERY[path]
    assert command.help
    lacking = [p.name for p in command.params if isinstance(p, click.Option) and not p.help]
    assert lacking == []


@pytest.mark.parametrize("path", [path for path in LEAVES if path[0] != "lab"], ids=" ".join)
def test_every_commands_help_has_an_example_of_itself(path):
    assert f"\n  ocicat {' '.join(path)}" in cleandoc(EVERY[path].help)


def test_the_labs_help_has_an_example():
    assert "\n  ocicat lab up" in cleandoc(EVERY["lab", "up"].help)


def test_every_listed_command_is_there_and_says_what_it_is():
    assert {path[0] for path in LEAVES} == set(entry.COMMANDS)


def test_help_and_version_are_data(shell):
    for words in (("--help",), ("pool", "--help"), ("run", "-h")):
        ended = shell.ok(*words)
        assert ended.out.startswith("Usage: ocicat")
    assert shell.ok("--version").out == f"ocicat, version {__version__}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Usage: ocicat"),
        (("nosuch",), "No such command 'nosuch'"),
        (("pool",), "Usage: ocicat pool"),
        (("pool", "list", "--bogus"), "No such option '--bogus'"),
        (("pool", "list", "-o", "xml"), "'xml' is not one of"),
    ],
)
def test_a_wrong_call_is_2_and_said_on_standard_error(shell, words, said):
    ended = shell(*words)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


def test_an_error_without_a_hint_is_one_line(shell, monkeypatch):
    def fail(*_):
        raise Bug("an invariant does not hold")

    monkeypatch.setattr(entry, "cli", lambda **_: fail())
    ended = shell()
    assert (ended.code, ended.out, ended.err) == (1, "", "ocicat: an invariant does not hold\n")


def test_an_interrupt_is_130(shell, monkeypatch):
    def interrupted(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(entry, "cli", interrupted)
    assert shell().code == 130


def process(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "ocicat", *words],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=30,
        **options,
    )


def test_a_full_disk_under_standard_output_is_one_line():
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        ended = process("--help", stdout=full)
    assert (ended.returncode, ended.stderr) == (1, "ocicat: standard output: No space left on device\n")


def test_a_reader_that_went_away_ends_it_quietly(shell):
    shell.write(*(Put(f"/calico/resources/v3/projectcalico.org/ippools/p{n}", POOL % n) for n in range(2000)))
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as out:
        ended = process("pool", "list", "-o", "json", stdout=out)
    assert (ended.returncode, ended.stderr) == (1, "")


POOL = b'{"kind":"IPPool","apiVersion":"projectcalico.org/v3","metadata":{"name":"p%d"},"spec":{"cidr":"10.0.0.0/24"}}'
