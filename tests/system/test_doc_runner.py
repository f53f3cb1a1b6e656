"""What the runner of the documentation's commands makes of a page, and that it notices what is not as written."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from doc_runner import as_expected, of_host, parse, play

PAGE = """# A page

<!-- on h1 h2 -->
```console
$ cd /tmp; export A=1
$ echo one \\
  two
one   two
$ cat <<EOF
$ no command
EOF
...
```

<!-- on h2 when tls, exit 3 -->
```console
$ true
$ (exit 3)
```

<!-- write h1 /etc/file when not tls -->
```toml
key = 1
```

```
text
```

<!-- copy h1 h2 /etc/file -->
```console
$ scp /etc/file h2:
```

<!-- not run: it takes a year -->
```console
$ sleep 31536000
```

```console
$ forgotten
```

```
$ forgotten in a plain block
```

## Back

<!-- on h1 -->
```console
$ echo back > back
```
"""


@dataclass
class Done:
    out: str


class Machine:
    """A host that is none: a shell in a directory."""

    def __init__(self, name):
        self.name, self.written, self.address = name, {}, f"10.0.0.{name[1:]}"

    def run(self, argv, timeout_s):
        return Done(subprocess.run(argv, stdout=subprocess.PIPE, text=True, timeout=timeout_s, check=True).stdout)

    def write(self, path, content):
        self.written[path] = content

    def copy(self, path, other):
        other.written[path] = f"of {self.name}"


def page(tmp_path, commands, mark="on h1"):
    path = tmp_path / "page.md"
    path.write_text(f"<!-- {mark} -->\n```console\n{commands}\n```\n")
    return path


def test_a_page_is_steps_in_order_and_blocks_that_were_forgotten():
    steps, unmarked = parse(PAGE)
    assert [(step.hosts, step.when, step.status, step.path, step.content) for step in steps] == [
        (("h1", "h2"), "", 0, "", ""),
        (("h2",), "tls", 3, "", ""),
        (("h1",), "not tls", 0, "/etc/file", "key = 1\n"),
        (("h2",), "", 0, "/etc/file", ""),
        (("h1",), "", 0, "", ""),
    ]
    assert [(step.section, step.source) for step in steps[2:]] == [("A page", ""), ("A page", "h1"), ("Back", "")]
    typed = ["cd /tmp; export A=1", "echo one \\\n  two", "cat <<EOF\n$ no command\nEOF"]
    assert [command.text for command in steps[0].commands] == typed
    assert [command.output for command in steps[0].commands] == [(), ("one   two",), ("...",)]
    assert [PAGE.splitlines()[each.line] for each in unmarked] == ["$ forgotten", "$ forgotten in a plain block"]


def test_a_mark_that_is_not_understood_is_an_error():
    with pytest.raises(AssertionError, match="not understood"):
        parse("<!-- on h1, exit never -->\n```console\n$ true\n```\n")


def test_the_words_of_a_run_choose_the_steps(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    for words, written in (((), {"/etc/file": "key = 1\n"}), (("tls",), {})):
        bed = {name: Machine(name) for name in ("h1", "h2")}
        play(bed, path, words)
        assert bed["h1"].written == written
        assert bed["h2"].written == {"/etc/file": "of h1"}


@pytest.mark.parametrize(
    ("when", "words", "applies"),
    [
        ("", ("a",), True),
        ("a", ("a", "b"), True),
        ("not a", ("b",), True),
        ("not a", ("a",), False),
        ("a and not b", ("a",), True),
        ("a and not b", ("a", "b"), False),
        ("a and b", ("a",), False),
    ],
)
def test_conditions_are_joined_by_and(when, words, applies):
    (step,) = parse(f"<!-- on h1 when {when} -->\n```console\n$ true\n```\n".replace(" when  ", " "))[0]
    assert step.applies(words) is applies


@pytest.mark.parametrize(
    ("line", "of_h2"),
    [
        ("the agent of h1 serves", "the agent of h2 serves"),
        ("h1  10.0.0.1/24 and 10.0.0.11", "h2  10.0.0.2/24 and 10.0.0.11"),
        ("etcd-h1, h10, h1.example.com, /etc/tls/h1/ca", "etcd-h2, h10, h2.example.com, /etc/tls/h2/ca"),
    ],
)
def test_the_page_has_the_first_hosts_output(tmp_path, line, of_h2):
    assert of_host(line, Machine("h1"), Machine("h2")) == of_h2
    play({name: Machine(name) for name in ("h1", "h2")}, page(tmp_path, "$ echo h1\nh1", "on h1 h2"))
    with pytest.raises(AssertionError, match="on h1"):
        play({name: Machine(name) for name in ("h1", "h2")}, page(tmp_path, "$ echo h2\nh1", "on h1 h2"))


def test_the_way_back_is_played_when_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("page.md").write_text(PAGE)
    bed = {name: Machine(name) for name in ("h1", "h2")}
    play(bed, "page.md")
    assert not Path("back").exists()
    play(bed, "page.md", section="Back")
    assert Path("back").read_text() == "back\n"


@pytest.mark.parametrize(
    ("commands", "complaint"),
    [
        ("$ false\n$ true", "page.md:2 on h1: false: status 1"),
        ("$ true\n$ echo why; false", "status 1\nwhy"),
        ("$ echo a\nb", "printed\na\n"),
        ("$ echo a >&2\nb", "printed\na\n"),
        ("$ exit 0\n$ true", "ended early"),
    ],
)
def test_what_is_not_as_written_is_told(tmp_path, commands, complaint):
    with pytest.raises(AssertionError) as told:
        play({"h1": Machine("h1")}, page(tmp_path, commands), ())
    assert complaint in str(told.value)


def test_a_status_is_asked_of_the_last_command_only(tmp_path):
    host = {"h1": Machine("h1")}
    play(host, page(tmp_path, "$ true\n$ (exit 4)", "on h1, exit 4"))
    with pytest.raises(AssertionError, match="status 4"):
        play(host, page(tmp_path, "$ (exit 4)\n$ (exit 4)", "on h1, exit 4"))
    with pytest.raises(AssertionError, match="status 0"):
        play(host, page(tmp_path, "$ true", "on h1, exit 4"))


@pytest.mark.parametrize(
    ("expected", "printed", "holds"),
    [
        (("a  b",), "a b\n\n", True),
        (("a ... d",), "a b c d\n", True),
        (("a ... d",), "a d\n", False),
        (("a", "...", "c"), "a\nb\nb\nc\n", True),
        (("a", "..."), "a\n", True),
        (("a",), "a\nb\n", False),
        (("a.c",), "abc\n", False),
    ],
)
def test_what_is_printed_is_compared_by_lines(expected, printed, holds):
    assert as_expected(expected, printed) is holds


def test_no_block_of_the_guides_and_of_the_pages_on_installing_is_forgotten():
    docs = Path(__file__).resolve().parents[2] / "docs"
    pages = [*docs.glob("guide-*.md"), *docs.glob("install*.md")]
    assert len(pages) > 5
    assert {f"{path.name}:{block.line}" for path in pages for block in parse(path.read_text())[1]} == set()
