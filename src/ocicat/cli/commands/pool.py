"""`ocicat pool`: the pools that containers' addresses come from."""

from __future__ import annotations

import click

from ocicat.cli.opening import read_all, store_option, with_store
from ocicat.cli.output import Format, format_option, show
from ocicat.errors import Conflict, Refused, UserError
from ocicat.model import keys
from ocicat.model.codec import encode_json
from ocicat.model.names import dns_name
from ocicat.model.net import Cidr
from ocicat.model.resources import IPPool, IPPoolSpec, Metadata
from ocicat.model.v3.addressing import BLOCK_SIZES
from ocicat.store.base import Compare, Datastore, Put


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
    show(
        style,
        with_store(store, _pools),
        head=("name", "cidr", "block size", "disabled"),
        row=lambda pool: (
            pool.metadata.name,
            pool.spec.cidr,
            str(pool.spec.effective_block_size),
            "yes" if pool.spec.disabled else "no",
        ),
        name=lambda pool: f"ippool/{pool.metadata.name}",
    )


@command.command()
@click.argument("name")
@click.argument("cidr")
@click.option("--block-size", type=int, help="Prefix length of a host's blocks. [default: 26, IPv6 122]")
@click.option("--dry-run", is_flag=True, help="Check only.")
@store_option
def add(name: str, cidr: str, block_size: int | None, dry_run: bool, store: str) -> None:
    """Add the pool NAME that holds CIDR.

    \b
    Example:
      ocicat pool add default 10.65.0.0/16
    """
    pool = _checked(name, cidr, block_size)

    async def write(opened: Datastore) -> None:
        _refuse_overlap(pool, await _pools(opened))
        key = keys.pool(name)
        try:
            await opened.commit([Compare(key, 0)], [] if dry_run else [Put(key, encode_json(pool))])
        except Conflict:
            raise Conflict(f"pool {name!r} exists already", hint="`ocicat pool list` shows it") from None

    with_store(store, write, create=not dry_run)
    click.echo(f"pool {name} {'could be added' if dry_run else 'added'}: {cidr}", err=True)


def _checked(name: str, text: str, block_size: int | None) -> IPPool:
    if dns_name(name) != name:
        raise UserError(f"pool name {name!r} is not a DNS name in lower case", hint=f"for example {dns_name(name)}")
    try:
        cidr = Cidr.parse(text)
    except UserError as error:
        raise UserError(f"pool {name}: {error.message}", hint=error.hint or "for example 10.65.0.0/16") from error
    size = IPPoolSpec(cidr=str(cidr)).effective_block_size if block_size is None else block_size
    if size not in BLOCK_SIZES[cidr.family]:
        allowed = BLOCK_SIZES[cidr.family]
        raise UserError(f"pool {name}: block size {size} is not in {allowed.start} to {allowed.stop - 1}")
    if cidr.length > size:
        raise UserError(
            f"pool {name}: {cidr} holds less than one block of /{size}", hint="take a larger pool or smaller blocks"
        )
    for reserved in ("169.254.0.0/16", "fe80::/10", "127.0.0.0/8", "224.0.0.0/4"):
        if cidr.overlaps(Cidr.parse(reserved)):
            raise UserError(f"pool {name}: {cidr} overlaps {reserved}, which routers do not forward")
    return IPPool(metadata=Metadata(name=name), spec=IPPoolSpec(cidr=str(cidr), block_size=size))


async def _pools(store: Datastore) -> list[IPPool]:
    pools = await read_all(store, keys.POOLS, IPPool)
    return [pool for pool in pools if _has_cidr(pool)]


def _has_cidr(pool: IPPool) -> bool:
    try:
        Cidr.parse(pool.spec.cidr)
    except UserError as error:
        click.echo(f"ocicat: left out: pool {pool.metadata.name}: {error}", err=True)
        return False
    return True


def _refuse_overlap(pool: IPPool, others: list[IPPool]) -> None:
    for other in others:
        same = other.metadata.name == pool.metadata.name
        if not same and Cidr.parse(other.spec.cidr).overlaps(Cidr.parse(pool.spec.cidr)):
            raise Refused(
                f"pool {pool.metadata.name}: {pool.spec.cidr} overlaps pool {other.metadata.name} ({other.spec.cidr})",
                hint="an address must belong to one pool",
            )
