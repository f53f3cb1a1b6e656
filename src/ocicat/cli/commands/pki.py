"""`ocicat pki`: the certificates of the core services and of who talks to them, by a small authority of one's own."""

from __future__ import annotations

import time
from pathlib import Path

import click

from ocicat.changes.finding import Finding
from ocicat.cli.findings import tell
from ocicat.cli.output import Format, format_option, show
from ocicat.cli.talk import say
from ocicat.errors import UserError
from ocicat.model.base import Struct, replace
from ocicat.services.pki import findings as checks
from ocicat.services.pki import openssl
from ocicat.services.pki.authority import CERTIFICATE, CERTIFICATES, DIRECTORY, NAME, Authority
from ocicat.services.pki.certificate import Certificate, day
from ocicat.services.pki.request import AUTHORITY_DAYS, DAYS, Kind, Request

_DAY_S = 86400.0

_ca = click.option(
    "--ca", type=click.Path(path_type=Path), default=DIRECTORY, show_default=True, help="Directory of the authority."
)
_soon = click.option(
    "--soon",
    type=click.IntRange(1),
    default=checks.SOON_DAYS,
    show_default=True,
    help="Days before its end at which a certificate is due.",
)


class Shown(Struct, frozen=True, kw_only=True):
    """What `show` prints of a certificate."""

    name: str
    kind: str
    addresses: tuple[str, ...]
    subject: str
    issuer: str
    serial: str
    fingerprint: str
    not_before: str
    not_after: str
    days_left: int
    path: str


@click.group()
def command() -> None:
    """Certificates for etcd, ZooKeeper and their clients: an authority of your own, what it issues, and what is due.

    The authority is a directory on one host; its key stays there. See docs/services.md.
    """


@command.command()
@_ca
@click.option("--name", default=NAME, show_default=True, help="What certificates call their issuer.")
@click.option("--days", type=int, default=AUTHORITY_DAYS, show_default=True, help="How long it lasts.")
def init(ca: Path, name: str, days: int) -> None:
    """Make an authority: a key, readable by its owner alone, and the certificate by which others trust it.

    \b
    Example:
      ocicat pki init
    """
    made = Authority(ca).init(name, days)
    click.echo(made.path)
    say(f"valid until {day(made.not_after)}; keep {ca}/ca.key on this host, and a copy where nobody finds it")


@command.command()
@click.argument("name")
@click.option("--address", "addresses", multiple=True, help="Name or address that it is good for; give it for each.")
@click.option("--client", is_flag=True, help="For a client alone, which names no address.")
@click.option("--user", default="", help="The user that etcd takes it for. [default: none]")
@click.option("--days", type=int, default=DAYS, show_default=True, help="How long it lasts.")
@click.option("--out", type=click.Path(path_type=Path), help=f"Where the files go. [default: {CERTIFICATES}/NAME]")
@click.option("--owner", default="", help="The user of this host who alone reads the key. [default: who runs this]")
@_ca
def issue(
    name: str, addresses: tuple[str, ...], client: bool, user: str, days: int, out: Path | None, owner: str, ca: Path
) -> None:
    """Issue a certificate: ca.crt, tls.crt, tls.key, and tls.pem with key and certificate, in a directory of its own.

    A server's is for members of etcd and ZooKeeper: clients and other members check its addresses.

    \b
    Examples:
      ocicat pki issue h1 --address h1.example.com --address 10.0.0.1 --owner etcd
      ocicat pki issue agents --client
    """
    kind: Kind = "client" if client else "server"
    target = out or Path(CERTIFICATES, name)
    authority = Authority(ca)
    made = authority.issue(Request(name, kind, addresses, days, user), target, owner)
    click.echo(target)
    say(f"valid until {_until(made, authority)}")


@command.command()
@click.argument("names", metavar="NAME...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that are due.")
@click.option("--force", is_flag=True, help="Those too that are not due.")
@click.option("--new-key", is_flag=True, help="With a new key.")
@_soon
@_ca
def renew(names: tuple[str, ...], everything: bool, force: bool, new_key: bool, soon: int, ca: Path) -> None:
    """Issue certificates again, with the same names and key, for another period. One that is not due stays as it is.

    \b
    Examples:
      ocicat pki renew h1 --force
      ocicat pki renew --all --soon 30
    """
    if bool(names) == everything:
        raise UserError("which certificates?", hint="give their names, or --all")
    authority, now = Authority(ca), time.time()
    due = 0
    for name in names or [one.request.name for one in authority.issued()]:
        left = authority.copy_of(name).days_left(now) if not force else 0.0
        if left > soon:
            say(f"{name} has {left:.0f} days left")
            continue
        made = authority.renew(name, new_key=new_key)
        click.echo(str(Path(made.path).parent))
        say(f"{name} is valid until {_until(made, authority)}; its server reads it when it is restarted")
        due += 1
    if not due:
        say("nothing is due")


@command.command("show")
@click.argument("files", metavar="[FILE...]", nargs=-1, type=click.Path(path_type=Path))
@_ca
@format_option
def show_(files: tuple[Path, ...], ca: Path, style: Format) -> None:
    """Show certificates: those in FILES, or the authority's own and all that it has issued.

    \b
    Examples:
      ocicat pki show
      ocicat pki show /etc/ocicat/tls/h1/tls.crt -o json
    """
    if files:
        found = [_shown(path.name, openssl.read(path)) for path in files]
    else:
        authority = Authority(ca)
        issued = [one.request.name for one in authority.issued()]
        found = [_shown("(authority)", openssl.read(authority.certificate))]
        found += [_shown(name, authority.copy_of(name)) for name in issued]
    show(style, found, head=_head(style), row=lambda one: _row(one, style), name=lambda one: one.name)


@command.command()
@click.argument("directories", metavar="[DIRECTORY...]", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--address", "addresses", multiple=True, help="What the server is reached by; the certificate must name it."
)
@_soon
@_ca
@format_option
def check(directories: tuple[Path, ...], addresses: tuple[str, ...], soon: int, ca: Path, style: Format) -> None:
    """Find what is wrong: due, expired, of another authority, with a wrong key, with a key that others may read.

    Without DIRECTORY: the authority's own certificate and all that it has issued, where the files are still in their place.
    The exit code is 1 when there is something.

    \b
    Examples:
      ocicat pki check
      ocicat pki check /etc/ocicat/tls/h1 --address 10.0.0.1
    """
    now = time.time()
    found: list[Finding] = []
    for directory in directories:
        found += _findings(directory.name, directory, now, soon, addresses)
    if not directories:
        found = _of_authority(Authority(ca), now, soon, addresses)
    tell(found, style)


def _of_authority(authority: Authority, now: float, soon: int, addresses: tuple[str, ...]) -> list[Finding]:
    own = checks.Seen(name="the authority", certificate=openssl.read(authority.certificate))
    found = checks.findings(own, now, soon)
    for one in authority.issued():
        if Path(one.directory, CERTIFICATE).exists():
            found += _findings(one.request.name, Path(one.directory), now, soon, addresses, own.certificate)
        else:  # carried to its host
            carried = checks.Seen(name=one.request.name, certificate=authority.copy_of(one.request.name))
            found += checks.findings(carried, now, soon, addresses)
    return found


def _findings(
    name: str, directory: Path, now: float, soon: int, addresses: tuple[str, ...], told: Certificate | None = None
) -> list[Finding]:
    """`told`: an authority whose end is told once, not with each that it issued."""
    try:
        seen = checks.look(name, directory)
    except UserError as error:
        return [checks.unreadable(name, error)]
    if told and seen.authority and seen.authority.fingerprint == told.fingerprint:
        seen = replace(seen, authority=None)
    return checks.findings(seen, now, soon, addresses)


def _until(made: Certificate, authority: Authority) -> str:
    """Says so where that is when the authority ends itself."""
    short = openssl.read(authority.certificate).not_after - made.not_after <= _DAY_S
    return day(made.not_after) + (": no longer than the authority itself" if short else "")


def _shown(name: str, one: Certificate) -> Shown:
    return Shown(
        name=name,
        kind="authority" if one.is_authority else "server" if one.for_servers else "client",
        addresses=one.addresses,
        subject=one.subject,
        issuer=one.issuer,
        serial=one.serial,
        fingerprint=one.fingerprint,
        not_before=day(one.not_before),
        not_after=day(one.not_after),
        days_left=int(one.days_left(time.time())),
        path=one.path,
    )


def _head(style: Format) -> tuple[str, ...]:
    return ("name", "kind", "until", "days", "addresses", *(("serial", "file") if style == "wide" else ()))


def _row(one: Shown, style: Format) -> tuple[str, ...]:
    shown = (one.name, one.kind, one.not_after, str(one.days_left), ",".join(one.addresses) or "-")
    return (*shown, one.serial, one.path) if style == "wide" else shown
