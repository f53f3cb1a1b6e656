"""Writes the manual pages: `manuals.py DIRECTORY`; one of each command, made of what its `--help` says, so that both say the same,
and one of the file of settings, which is that file with all its comments.

Run by the environment's own interpreter: the pages are of the version that is in it.
"""

from __future__ import annotations

import gzip
import os
import sys
import time
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import click

from ocicat import __version__
from ocicat.cli.main import cli
from ocicat.settings.document import default_file

EXIT_STATUS = (
    ("0", "Done."),
    ("1", "It failed, or a check found something."),
    ("2", "The command line, a file or a value is wrong; a message says how."),
    ("3", "Somebody else changed the same thing first."),
    ("4", "The datastore, Mesos or a service cannot be reached."),
    ("5", "There is no such thing."),
)
FILES = (
    ("/etc/ocicat/ocicat.toml", "The settings of this host."),
    ("/var/lib/ocicat", "The embedded datastore, and the records of what was changed on this host."),
    ("/run/ocicat/agent.sock", "Where the plugins find the agent."),
)


def main() -> int:
    target = Path(sys.argv[1])
    for path, ctx in pages(click.Context(cli, info_name="ocicat"), ("ocicat",)):
        write(target / f"man1/{'-'.join(path)}.1.gz", page(path, ctx))
    write(target / "man5/ocicat.toml.5.gz", settings())
    return 0


def write(path: Path, text: str) -> None:
    """Without the time, or no two would be the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def pages(ctx: click.Context, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Context]]:
    """Of the command, and of all below it."""
    yield path, ctx
    for name, command in below(ctx):
        yield from pages(click.Context(command, parent=ctx, info_name=name), (*path, name))


def below(ctx: click.Context) -> list[tuple[str, click.Command]]:
    if not isinstance(ctx.command, click.Group):
        return []
    found = [(name, ctx.command.get_command(ctx, name)) for name in ctx.command.list_commands(ctx)]
    return [(name, command) for name, command in found if command is not None and not command.hidden]


def page(path: tuple[str, ...], ctx: click.Context) -> str:
    paragraphs = [part for part in cleandoc(ctx.command.help or "").split("\n\n") if part.strip()]
    examples = [part for part in paragraphs if is_example(part)]
    name = "-".join(path)
    lines = heading(name, 1)
    lines += [".SH NAME", f"{escaped(name)} \\- {escaped(ctx.command.get_short_help_str(limit=200).rstrip('.'))}"]
    lines += [
        ".SH SYNOPSIS",
        f"\\fB{escaped(' '.join(path))}\\fR",
        escaped(" ".join(ctx.command.collect_usage_pieces(ctx))),
    ]
    lines += [".SH DESCRIPTION", *(line for part in paragraphs if part not in examples for line in paragraph(part))]
    lines += options(ctx)
    lines += definitions("COMMANDS", [("-".join((*path, sub)) + "(1)", brief(each)) for sub, each in below(ctx)])
    for example in examples:
        lines += [".SH EXAMPLES", ".nf", *map(escaped, example.splitlines()[2:]), ".fi"]
    if len(path) == 1:
        lines += [*definitions("EXIT STATUS", EXIT_STATUS), *definitions("FILES", FILES)]
    else:
        lines += [".SH SEE ALSO", f"\\fB{escaped('-'.join(path[:-1]))}\\fR(1)"]
    return "\n".join(lines) + "\n"


def heading(name: str, section: int) -> list[str]:
    date = time.strftime("%Y-%m-%d", time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))))
    return [f'.TH "{name.upper()}" {section} "{date}" "ocicat {__version__}" "ocicat"', ".nh", ".ad l"]


def settings() -> str:
    lines = [*heading("ocicat.toml", 5), ".SH NAME", "ocicat.toml \\- the settings of ocicat on this host"]
    lines += [".SH DESCRIPTION", "The file as it is shipped: every setting, with its default, in a comment."]
    lines += [".nf", *map(escaped, default_file().splitlines()), ".fi"]
    return "\n".join([*lines, ".SH SEE ALSO", "\\fBocicat\\-config\\fR(1)"]) + "\n"


def brief(command: click.Command) -> str:
    return command.get_short_help_str(limit=200)


def is_example(paragraph: str) -> bool:
    lines = paragraph.strip("\n").splitlines()
    return lines[0] == "\b" and len(lines) > 1 and lines[1].rstrip("s:") == "Example"


def paragraph(text: str) -> list[str]:
    """A paragraph that begins with \\b keeps its lines."""
    if text.lstrip("\n").startswith("\b"):
        return [".PP", ".nf", *map(escaped, text.lstrip("\n").splitlines()[1:]), ".fi"]
    return [".PP", escaped(" ".join(text.split()))]


def options(ctx: click.Context) -> list[str]:
    items = []
    for parameter in ctx.command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record:
            variable = f" Variable: {parameter.envvar}." if isinstance(parameter.envvar, str) else ""
            items.append((record[0], f"{record[1]}{variable}"))
    return definitions("OPTIONS", items)


def definitions(title: str, items: list[tuple[str, str]] | tuple[tuple[str, str], ...]) -> list[str]:
    if not items:
        return []
    lines = [
        line for term, text in items for line in (".TP", f"\\fB{escaped(term)}\\fR", escaped(" ".join(text.split())))
    ]
    return [f".SH {title}", *lines]


def escaped(text: str) -> str:
    """No character of it means anything to the formatter."""
    plain = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{plain}" if plain[:1] in {".", "'"} else plain


if __name__ == "__main__":
    sys.exit(main())
