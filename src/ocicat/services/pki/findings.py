"""What is wrong with certificates and keys. Pure, but for `look`, which reads them."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from ocicat.changes.finding import Finding
from ocicat.errors import UserError
from ocicat.model.base import Struct
from ocicat.services.pki import openssl
from ocicat.services.pki.authority import AUTHORITY, BOTH, CERTIFICATE, KEY
from ocicat.services.pki.certificate import Certificate, day

SOON_DAYS = 30

_UNTRUSTED = "who checks certificates refuses the connection"


class Seen(Struct, frozen=True, kw_only=True):
    """A certificate with what lies beside it. `key_fits`: None where who asks may not read the key.

    `others_read`: key files that more than their owner may read.
    """

    name: str
    certificate: Certificate
    authority: Certificate | None = None
    is_trusted: bool = True
    has_key: bool = True
    key_fits: bool | None = True
    others_read: tuple[str, ...] = ()

    def days_left(self, now: float) -> float:
        """Until it is refused: when its authority has ended it is, too."""
        return min(one.days_left(now) for one in (self.certificate, self.authority) if one)


def look(name: str, directory: Path) -> Seen:
    """At the files that `issue` puts into a directory. UserError without a certificate."""
    key = directory / KEY
    certificate = openssl.read(directory / CERTIFICATE)
    return Seen(
        name=name,
        certificate=certificate,
        authority=openssl.read(directory / AUTHORITY),
        is_trusted=openssl.is_signed_by(directory / CERTIFICATE, directory / AUTHORITY),
        has_key=key.is_file(),
        key_fits=_fits(directory / CERTIFICATE, key),
        others_read=tuple(str(path) for path in (key, directory / BOTH) if _open_to_others(path)),
    )


def findings(seen: Seen, now: float, soon_days: float = SOON_DAYS, addresses: Sequence[str] = ()) -> list[Finding]:
    """`addresses`: what a server with it is reached by."""
    found = [*_beginning(seen, now), *_expiry(seen.name, seen.certificate, now, soon_days)]
    if seen.authority:
        found += _expiry(f"the authority of {seen.name}", seen.authority, now, soon_days)
    return [*found, *_rest(seen), *_uncovered(seen, addresses)]


def unreadable(name: str, error: UserError) -> Finding:
    """In the place of those of a certificate that is not there."""
    return Finding(
        about="certificate",
        problem=f"{name}: {error.message}",
        breaks="nothing that needs it can start, or be reached",
        mend=f"issue it: ocicat pki issue {name}",
    )


def _beginning(seen: Seen, now: float) -> Iterable[Finding]:
    begins = seen.certificate.not_before
    if now < begins:
        yield Finding(
            about="clock",
            problem=f"{seen.name} is valid from {day(begins)} on, and this host thinks it is {day(now)}",
            breaks=_UNTRUSTED,
            mend="set the clock of this host",
        )


def _expiry(name: str, certificate: Certificate, now: float, soon_days: float) -> Iterable[Finding]:
    left = certificate.days_left(now)
    mend = f"renew it where the authority is: ocicat pki renew {name}; then replace the files and restart"
    if certificate.is_authority:
        mend = "make a new authority, and have hosts trust both until all certificates are issued anew"
    if left <= 0:
        yield Finding("expiry", f"{name} ended on {day(certificate.not_after)}", _UNTRUSTED, mend)
    elif left <= soon_days:
        problem = f"{name} ends on {day(certificate.not_after)}, in {left:.0f} days"
        yield Finding("expiry", problem, f"from then on {_UNTRUSTED}", mend)


def _rest(seen: Seen) -> Iterable[Finding]:
    if not seen.is_trusted:
        yield Finding(
            about="authority",
            problem=f"{seen.name} was not issued by the authority beside it ({AUTHORITY})",
            breaks=_UNTRUSTED,
            mend="put all the files of one issue there, of one authority",
        )
    if not seen.has_key:
        yield Finding("key", f"{seen.name} has no {KEY}", "no server can use the certificate", "put its key beside it")
    elif seen.key_fits is None:
        yield Finding(
            about="key",
            problem=f"{KEY} of {seen.name} cannot be read by who asks: whether it fits is not known",
            breaks="a server cannot use the certificate if the key is another one's",
            mend="ask as root",
        )
    elif not seen.key_fits:
        yield Finding(
            about="key",
            problem=f"{KEY} of {seen.name} is not the key of its certificate",
            breaks="no server can use the certificate",
            mend="put all the files of one issue there",
        )
    for path in seen.others_read:
        yield Finding(
            about="mode",
            problem=f"{path} is readable by others than its owner",
            breaks="whoever reads it can stand in for the server",
            mend=f"chmod 600 {path}, and if others have accounts here, issue it anew with a new key",
        )


def _uncovered(seen: Seen, addresses: Sequence[str]) -> Iterable[Finding]:
    missing = [address for address in addresses if not seen.certificate.covers(address)]
    if missing:
        yield Finding(
            about="address",
            problem=f"{seen.name} does not name {', '.join(missing)}",
            breaks="clients and members that reach the server by that refuse the connection",
            mend="issue one that does: ocicat pki issue NAME --address ADDRESS",
        )


def _fits(certificate: Path, key: Path) -> bool | None:
    try:
        key.open("rb").close()
    except PermissionError:
        return None
    except OSError:
        return False
    return openssl.fits(certificate, key)


def _open_to_others(path: Path) -> bool:
    try:
        return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)
    except OSError:
        return False
