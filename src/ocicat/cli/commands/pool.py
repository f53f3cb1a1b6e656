"""`ocicat pool`: the pools that containers' addresses come from. Short for what `get` and `create` do with an IPPool."""

from __future__ import annotations

import click

from ocicat.cli.changing import OutcomeFormat, Way, make, outcome_options
from ocicat.cli.columns import Columns
from ocicat.cli.opening import store_option, with_store
from ocicat.cli.output import Format, format_option
from ocicat.cli.printing import Group, print_groups
from ocicat.cli.talk import say
from ocicat.model.v3.document import Json, parse
from ocicat.model.v3.kinds import KINDS
from ocicat.model.v3.metadata import API_VERSION
from ocicat.resources import Create, listing

_KIND = KINDS["IPPool"]
_COLUMNS: Columns = (
    ("NAME", "metadata.name"),
    ("CIDR", "spec.cidr"),
    ("BLOCK SIZE", "spec.effective_block_size"),
    ("DISABLED", "spec.disabled"),
)


@click.group()
def command() -> None:
    """Pools of addresses: list them, add one."""


@command.command("list")
@store_option
@format_option
def list_pools(store: str, style: Format) -> None:
    """The pools, in the order of their names.

    \b
    Example:
      ocicat pool list -o json
    """
    listed = with_store(store, lambda opened: listing(opened, _KIND))
    documents = tuple(item.document for item in listed.items)
    print_groups(style, [Group(_KIND, documents, listed.revision, () if style == "wide" else _COLUMNS)])
    for problem in listed.problems:
        say(f"left out: {problem}")


@command.command()
@click.argument("name")
@click.argument("cidr")
@click.option("--block-size", type=int, help="Prefix length of a host's blocks. [default: 26, IPv6 122]")
@click.option("--nat-outgoing", is_flag=True, help="What leaves all pools has the address of its host.")
@outcome_options
@store_option
def add(
    name: str, cidr: str, block_size: int | None, nat_outgoing: bool, style: OutcomeFormat, dry_run: bool, store: str
) -> None:
    """Add the pool NAME that holds CIDR.

    \b
    Example:
      ocicat pool add default 10.65.0.0/16 --nat-outgoing
    """
    given: Json = {"blockSize": block_size, "natOutgoing": nat_outgoing}
    spec: Json = {"cidr": cidr, **{field: value for field, value in given.items() if value}}
    pool = parse({"apiVersion": API_VERSION, "kind": _KIND.name, "metadata": {"name": name}, "spec": spec})
    make([Create(document=pool)], Way(store, style, dry_run, may_create=True))
