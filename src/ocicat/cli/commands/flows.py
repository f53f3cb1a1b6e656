"""`ocicat flows`: the flow log of this host, for people and for scripts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import click

from ocicat.agent.config import DEFAULT_FLOW_LOG
from ocicat.agent.flowlog.file import Tail
from ocicat.agent.flowlog.record import FlowRecord, Hit, line, read
from ocicat.cli.output import aligned, table
from ocicat.cli.talk import one_line, say
from ocicat.cli.watching import while_somebody_reads
from ocicat.errors import UserError

Style = Literal["table", "wide", "json"]

_POLL_S = 0.25
_NOBODY = "-"
_HEAD = ("TIME", "SOURCE", "DESTINATION", "PROTO", "PORT", "ACTION", "BY", "FLOWS", "RULE")
_MORE = ("PENDING", "PACKETS", "BYTES", "HOST")
_NOT_YET = (24, 24, 24, 5, 5, 6, 3, 5, 20)  # widths of columns of which nothing is known


@click.command()
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes.")
@click.option("--denied", is_flag=True, help="Only what was denied.")
@click.option(
    "--from", "source", default="", metavar="WHO", help="Only from WHO: a name, NAMESPACE/NAME, label, address."
)
@click.option("--to", "destination", default="", metavar="WHO", help="Only to WHO.")
@click.option(
    "--file", "path", default=str(DEFAULT_FLOW_LOG), show_default=True, help="The agent's --flow-log.", metavar="PATH"
)
@click.option(
    "-o",
    "--output",
    "style",
    type=click.Choice(["table", "wide", "json"]),
    default="table",
    show_default=True,
    help="How to print. JSON: one line for each flow.",
)
def command(follow: bool, denied: bool, source: str, destination: str, path: str, style: Style) -> None:
    """Show who began to talk to whom through this host, as policy decided it: each line sums up an interval.

    WHO may have * and ? in it. What is written, and when: docs/flows.md.

    \b
    Examples:
      ocicat flows --denied
      ocicat flows --follow --from 'app=shop*' --to default/db-1
      ocicat flows --denied --to pub -o json > denied.json
    """
    wanted = _wanted(denied, source, destination)
    tail = Tail(Path(path))
    if follow:
        asyncio.run(while_somebody_reads(keep_showing(tail, wanted, style)))
    elif style == "json":
        for one in _records(tail, wanted):
            click.echo(line(one), nl=False)
    else:
        wide = style == "wide"
        click.echo(table(_head(wide=wide), [_row(one, wide=wide) for one in _records(tail, wanted)]))


async def keep_showing(tail: Tail, wanted: Callable[[FlowRecord], bool], style: Style) -> None:
    """Columns are as wide as what is there at first needs."""
    wide = style == "wide"
    widths: list[int] = []
    while True:
        found = list(_records(tail, wanted))
        if style == "json":
            for one in found:
                click.echo(line(one), nl=False)
        else:
            lines = [_row(one, wide=wide) for one in found]
            if not widths:
                lines.insert(0, list(_head(wide=wide)))
                widths = [max(len(cells[place]) for cells in lines) for place in range(len(lines[0]))]
                widths = [max(pair) for pair in zip(widths, (*_NOT_YET, *(0 for _ in _MORE)), strict=False)]
            for cells in lines:
                click.echo(aligned(cells, widths))
        await asyncio.sleep(_POLL_S)


def _records(tail: Tail, wanted: Callable[[FlowRecord], bool]) -> Iterator[FlowRecord]:
    for text in tail.lines():
        try:
            record = read(text)
        except UserError as error:
            say(f"left out: {error}")
            continue
        if isinstance(record, FlowRecord):
            if wanted(record):
                yield record
        else:
            say(
                f"{record.host}, {record.start_time} to {record.end_time}: {record.unread} packets came too fast to be read, "
                f"{record.uncounted} were of too many different flows"
            )


def _wanted(denied: bool, source: str, destination: str) -> Callable[[FlowRecord], bool]:
    def wanted(one: FlowRecord) -> bool:
        if denied and one.action != "deny":
            return False
        if source and not _is(source, one.source_namespace, one.source_name, one.source_labels, one.source_ips):
            return False
        return not destination or _is(destination, one.dest_namespace, one.dest_name, one.dest_labels, one.dest_ips)

    return wanted


def _is(who: str, namespace: str, name: str, labels: tuple[str, ...], addresses: tuple[str, ...]) -> bool:
    return any(fnmatchcase(one, who) for one in (name, f"{namespace}/{name}", *labels, *addresses))


def _head(*, wide: bool) -> tuple[str, ...]:
    return (*_HEAD, *(_MORE if wide else ()))


def _row(one: FlowRecord, *, wide: bool) -> list[str]:
    cells = [
        one.last_seen,
        _party(one.source_type, one.source_namespace, one.source_name, one.source_ips),
        _party(one.dest_type, one.dest_namespace, one.dest_name, one.dest_ips),
        one.proto,
        str(one.dest_port or _NOBODY),
        one.action,
        one.reporter,
        str(one.num_flows_started),
        _rule(one.policies.enforced),
    ]
    if wide:
        cells += [_would(one.policies.pending), str(one.packets), str(one.bytes), one.host]
    return list(map(one_line, cells))


def _party(kind: str, namespace: str, name: str, addresses: tuple[str, ...]) -> str:
    """Of the rest of the world its addresses tell more than its name."""
    if kind == "net":
        more = "..." if len(addresses) > 1 else ""
        return f"{name} {addresses[0]}{more}" if addresses else name
    return name if namespace == _NOBODY else f"{namespace}/{name}"


def _would(trace: tuple[Hit, ...]) -> str:
    return f"{trace[-1].action} {_rule(trace)}" if trace else _NOBODY


def _rule(trace: tuple[Hit, ...]) -> str:
    """The last of it; the rule's place counts from 0."""
    if not trace:
        return _NOBODY
    last = trace[-1]
    match last.kind:
        case "EndOfTier":
            return f"end of tier {last.tier}"
        case "Profile" if last.rule_index < 0:
            return "no profile"
        case "Profile":
            return f"profile {last.name}[{last.rule_index}]"
        case _:
            name = last.name if last.namespace == _NOBODY else f"{last.namespace}/{last.name}"
            return f"{last.kind} {name}[{last.rule_index}]"
