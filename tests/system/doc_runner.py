"""Runs the commands of a page of the documentation on hosts, as they are written, and compares what they print.

A comment before a fenced block says where it runs; nothing in the block itself does:

    <!-- on h1 h2 h3 -->            on these hosts, at the same time
    <!-- on h1 when tls -->         only in a run that has this word (`when not tls`: has not; `when tls and not auth`: both)
    <!-- on h1, exit 1 -->          the last command ends with this status
    <!-- write h1 /etc/a.toml -->   the block is the content of that file (`when` may follow); or of one where commands begin
    <!-- copy h1 h2 /etc/a.d -->    the block copies that from the first host to the second, and is not run: it is done in its place
    <!-- not run: why -->           a block that cannot be

In a ```console block a line with `$ ` begins a command; it goes on over lines that end in a backslash, to the end of a
here-document. What follows, up to the next `$ `, is what it prints: `...` is anything in a line, alone in one any lines.
Of several hosts the page has the output of the first: on another one that host's name and address stand in its place, or the same.
A command without output below it may print what it wants. A block is one shell: it keeps its directory and variables.
"""

import logging
import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bare_host import HOME

_MARK = re.compile(r"<!-- (on|write|copy) ([^,]+?)(?:, exit (\d+))? -->")
_FENCE = re.compile(r"```(\w*)")
_HERE_DOCUMENT = re.compile(r"<<-?\s*['\"]?(\w+)['\"]?")
_END = "\x1e"
_log = logging.getLogger(
    __name__
)  # how long each command took (pytest --log-cli-level=INFO), and what it printed (DEBUG)
PATIENCE_S = 240.0
BACK = "Back"  # the heading of what takes a page's work back


@dataclass(frozen=True)
class Command:
    text: str
    output: tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """A block: commands to run, a file's content to write, or (`source`) a file or directory to copy from another host."""

    line: int
    section: str
    hosts: tuple[str, ...]
    when: str
    commands: tuple[Command, ...] = ()
    path: str = ""
    content: str = ""
    status: int = 0
    source: str = ""

    def applies(self, words):
        asked = self.when.split(" and ") if self.when else []
        return all((word.removeprefix("not ") in words) != word.startswith("not ") for word in asked)


@dataclass(frozen=True)
class Unmarked:
    """A block of commands, whatever its fence calls it, that no comment says anything of."""

    line: int


def parse(text):
    """The steps of a page, in order, and the blocks that nobody would run."""
    steps, unmarked, mark, section, lines = [], [], "", "", text.splitlines()
    number = 0
    while number < len(lines):
        line = lines[number]
        fence = _FENCE.match(line)
        if fence:
            end = lines.index("```", number + 1)
            block = lines[number + 1 : end]
            if mark.startswith(("<!-- on ", "<!-- write ", "<!-- copy ")):
                steps.append(_step(number + 1, section, mark, block))
            elif _is_typed(fence[1], block) and not mark.startswith("<!-- not run: "):
                unmarked.append(Unmarked(number + 1))
            mark, number = "", end
        elif line.strip():
            mark = line.strip() if line.startswith("<!-- ") else ""
            section = line.lstrip("# ") if line.startswith("#") else section
        number += 1
    return steps, unmarked


def _is_typed(kind, block):
    return kind == "console" or any(line.startswith("$ ") for line in block)


def _step(line, section, mark, block):
    found = _MARK.fullmatch(mark)
    assert found, f"line {line}: {mark!r} is not understood"
    kind, words, status = found.groups()
    words, _, when = words.partition(" when ")
    hosts = words.split()
    if kind == "on":
        return Step(line, section, tuple(hosts), when, commands=tuple(_commands(line, block)), status=int(status or 0))
    path = hosts.pop()
    if kind == "write":
        return Step(line, section, tuple(hosts), when, path=path, content="\n".join(block) + "\n")
    return Step(line, section, tuple(hosts[1:]), when, path=path, source=hosts[0])


def _commands(line, block):
    found, lines = [], list(block)
    while lines:
        first = lines.pop(0)
        assert first.startswith("$ "), f"line {line}: {first!r} is not the beginning of a command"
        typed = [first[2:]]
        while typed[-1].endswith("\\"):
            typed.append(lines.pop(0))
        if here := _HERE_DOCUMENT.search(typed[0]):
            while typed[-1] != here[1]:
                typed.append(lines.pop(0))
        printed = []
        while lines and not lines[0].startswith("$ "):
            printed.append(lines.pop(0))
        found.append(Command("\n".join(typed), tuple(printed)))
    return found


def as_expected(expected, printed):
    """Is it what the page says? Blanks count as one, empty lines and those at the end do not."""
    parts = [r"(?:.*\n)*?" if line.strip() == "..." else _pattern(line) for line in expected if line.strip()]
    text = "".join(f"{_plain(line)}\n" for line in printed.splitlines() if line.strip())
    return re.fullmatch("".join(parts), text) is not None


def of_host(line, first, host):
    """The line that the one host printed, as another would print it."""
    for own, other in ((first.name, host.name), (first.address, host.address)):
        line = re.sub(rf"(?<![\w.]){re.escape(own)}(?!\w|\.\d)", other, line)
    return line


def _pattern(line):
    return ".*".join(map(re.escape, _plain(line).split("..."))) + r"\n"


def _plain(line):
    return " ".join(line.split())


@contextmanager
def timed(what):
    began_s = time.monotonic()
    yield
    _log.info("%5.1f s  %s", time.monotonic() - began_s, what)


def play(bed, page, words=(), section=None):
    """All steps of a page that apply; with `section` those below that heading, without it those below any but `BACK`.
    AssertionError with the line, the host and what was printed."""
    steps, _ = parse(Path(page).read_text())
    for step in steps:
        if step.applies(words) and (step.section == section if section else step.section != BACK):
            with ThreadPoolExecutor(len(step.hosts)) as pool:
                list(pool.map(lambda name, step=step: _play(bed, bed[name], step, page), step.hosts))


def _play(bed, host, step, page):
    where = f"{Path(page).name}:{step.line} on {host.name}"
    if step.source:
        bed[step.source].copy(step.path, host)
        return
    if step.path:
        host.write(str(PurePosixPath(HOME, step.path)), step.content)
        return
    script = "exec 2>&1\n"
    for command in step.commands:
        ended = f"printf '{_END}%s %s{_END}' $__status $EPOCHREALTIME"
        script += f"{command.text}\n__status=$?; {ended}; [ $__status = 0 ] || exit 0\n"
    began_s = time.time()
    parts = host.run(["bash", "-c", script], timeout_s=PATIENCE_S).out.split(_END)
    for command, printed, told, last in zip(
        step.commands, parts[::2], parts[1::2], _lasts(step.commands), strict=False
    ):
        status, ended_s = told.split()
        _log.info("%5.1f s  %s: %s", float(ended_s) - began_s, where, command.text.splitlines()[0])
        _log.debug("%s", printed)
        began_s, wanted = float(ended_s), step.status if last else 0
        assert int(status) == wanted, f"{where}: {command.text}: status {status}\n{printed}"
        if command.output:
            expected = [of_host(line, bed[step.hosts[0]], host) for line in command.output]
            assert as_expected(expected, printed) or as_expected(command.output, printed), (
                f"{where}: {command.text} printed\n{printed}\nand not\n" + "\n".join(expected)
            )
    assert len(parts) // 2 == len(step.commands), f"{where}: ended early: {parts}"


def _lasts(commands):
    return [number == len(commands) for number in range(1, len(commands) + 1)]
