"""The documentation is true: what it says to type exists; and no file holds anything of the machine it was written on."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
from functools import cache
from pathlib import Path

import click
import pytest

from ocicat.cli.main import cli

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
SOURCES = sorted(ROOT.glob("src/**/*.py"))

# `ocicat ...` in a line of a code block, after a prompt or a path; or between backquotes in a sentence or a message.
IN_BLOCK = re.compile(r"^\s*(?:[#$] )?(?:\S*/)?(ocicat [a-z-].*)$", re.MULTILINE)
IN_SENTENCE = re.compile(r"`(ocicat [a-z-][^`\n]*)`")
BLOCK = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
TARGET = re.compile(r"\bmake ([a-z]+)")


@cache
def files():
    """Every file of the repository as text: tracked, and new ones that are not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    names = listed.stdout.splitlines() or [str(path.relative_to(ROOT)) for path in ROOT.glob("**/*.*")]
    found = {}
    for path in (ROOT / name for name in names):
        if path.is_file():
            found[path] = path.read_text(errors="replace")
    return found


def blocks(text):
    return "\n".join(BLOCK.findall(text))


def commands_of(text):
    """The command lines in a document."""
    return IN_BLOCK.findall(blocks(text)) + IN_SENTENCE.findall(text)


def problem_of(line):
    """What is wrong with a command line, as click sees it; placeholders in capitals stand for their values."""
    words = shlex.split(line.partition(" #")[0].rstrip("\\ "))[1:]
    command, path = cli, ["ocicat"]
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        path.append(words.pop(0))
        command = command.get_command(click.Context(command), path[-1])
        if command is None:
            return f"there is no {' '.join(path)}"
    known = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h", "--version"}
    given = words[: words.index("--")] if "--" in words else words
    unknown = [word for word in given if word.startswith("-") and word.partition("=")[0] not in known]
    return f"{' '.join(path)} has no {' '.join(unknown)}" if unknown else ""


def problems(lines):
    return [f"{line!r}: {problem}" for line in lines if (problem := problem_of(line))]


# --- commands ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_that_a_document_names_exists(path):
    assert problems(commands_of(path.read_text())) == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_make_target_that_a_document_names_exists(path):
    text = path.read_text()
    named = set(TARGET.findall(blocks(text))) | set(re.findall(r"`make ([a-z]+)", text))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named <= targets


def test_every_command_that_a_message_or_help_names_exists():
    lines = [line for path in SOURCES for line in IN_SENTENCE.findall(path.read_text())]
    assert lines
    assert problems(lines) == []


def test_every_example_in_a_commands_help_can_be_typed():
    lines = [line for path in ROOT.glob("src/ocicat/cli/commands/*.py") for line in IN_BLOCK.findall(path.read_text())]
    assert len(lines) >= 8
    assert problems(lines) == []


def test_a_command_that_does_not_exist_would_be_found():
    assert problem_of("ocicat nosuch") == "there is no ocicat nosuch"
    assert problem_of("ocicat pool lst") == "there is no ocicat pool lst"
    assert problem_of("ocicat pool list --bogus") == "ocicat pool list has no --bogus"
    assert problem_of("ocicat run --network n -- ls --color  # a comment") == ""


def test_every_link_between_documents_leads_somewhere():
    links = [(path, target) for path in DOCUMENTS for target in LINK.findall(path.read_text())]
    local = [(path, target) for path, target in links if not target.startswith(("http://", "https://"))]
    assert [(path.name, target) for path, target in local if not (path.parent / target).exists()] == []


# --- sources ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_every_module_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_no_module_is_longer_than_agreed(path):
    assert len(path.read_text().splitlines()) <= 450


def test_every_package_is_in_the_architectures_table():
    packages = {path.parent.name for path in ROOT.glob("src/ocicat/*/__init__.py")}
    described = set(re.findall(r"^\| `([a-z]+)` \|", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE))
    assert packages - described == set()
    assert described - packages == set()


# --- nothing of where it was written ----------------------------------------------------------------------------

REGISTRIES = ("pypi" + ".org", "python" + "hosted.org", "npmjs" + ".org", "crates" + ".io", "proxy.golang" + ".org")
OF_A_MACHINE = re.compile(r"(?<![\w.])/(?:work|root)/[\w.]")


@pytest.mark.parametrize("host", REGISTRIES)
def test_no_file_names_the_host_of_a_package_registry(host):
    assert [str(path.relative_to(ROOT)) for path, text in files().items() if host in text] == []


def test_no_file_holds_a_path_of_the_machine_it_was_written_on():
    assert [str(path.relative_to(ROOT)) for path, text in files().items() if OF_A_MACHINE.search(text)] == []


def test_no_file_holds_work_that_was_put_off():
    marks = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
    assert [str(path.relative_to(ROOT)) for path, text in files().items() if marks.search(text)] == []
