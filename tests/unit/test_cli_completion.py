"""What shells are given, and what they are answered."""

import sys

import pytest
from click.testing import CliRunner

from ocicat.cli.main import COMMANDS, cli


def completed(*words):
    """The names offered for the last of the words."""
    typed = {
        "COMP_WORDS": " ".join(("ocicat", *words)),
        "COMP_CWORD": str(len(words)),
        "_OCICAT_COMPLETE": "bash_complete",
    }
    said = CliRunner().invoke(cli, prog_name="ocicat", complete_var="_OCICAT_COMPLETE", env=typed)
    return {line.partition(",")[2] for line in said.output.splitlines()}


@pytest.mark.parametrize(
    ("shell", "mark"),
    [
        ("bash", "complete -o nosort -F _ocicat_completion ocicat"),
        ("zsh", "#compdef ocicat"),
        ("fish", "--command ocicat"),
    ],
)
def test_each_shell_is_given_its_own(shell, mark):
    said = CliRunner().invoke(cli, ["completion", shell])
    assert said.exit_code == 0
    assert mark in said.output
    assert "_OCICAT_COMPLETE" in said.output


def test_another_shell_is_refused_and_the_known_ones_are_named():
    said = CliRunner().invoke(cli, ["completion", "csh"])
    assert said.exit_code == 2
    assert "bash" in said.output


def test_the_commands_are_offered():
    assert completed("") == set(COMMANDS)
    assert completed("co") == {name for name in COMMANDS if name.startswith("co")}
    assert completed("--ver") == {"--version"}


def test_below_a_command_it_is_its_own_that_are_offered():
    assert completed("pool", "") == {"add", "list"}
    assert completed("completion", "z") == {"zsh"}


def test_naming_the_commands_loads_none_of_them(monkeypatch):
    for name in [each for each in sys.modules if each.startswith("ocicat.cli.commands.")]:
        monkeypatch.delitem(sys.modules, name)
    assert completed("") == set(COMMANDS)
    assert [name for name in sys.modules if name.startswith("ocicat.cli.commands.")] == []
