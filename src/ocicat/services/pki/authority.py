"""The authority: a directory with its key, and everything that it has issued.

1. The key of the authority never leaves its directory; nothing but `init` and signing reads or writes it.
2. What is there is never overwritten: not an authority, not a certificate that was issued. `renew` is the one exception, and it
   replaces the certificate only, in one step, unless a new key is asked for.
3. Keys are readable by their owner alone, from their first byte on.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ocicat.errors import NotFound, Refused, UserError
from ocicat.model.base import Struct
from ocicat.model.codec import decode_json, pretty_json
from ocicat.services.pki import openssl
from ocicat.services.pki.certificate import Certificate, day
from ocicat.services.pki.openssl import PUBLIC, SECRET
from ocicat.services.pki.request import (
    AUTHORITY_DAYS,
    Request,
    authority_text,
    check_days,
    check_name,
    checked,
    request_text,
)

DIRECTORY = "/etc/ocicat/ca"
CERTIFICATES = "/etc/ocicat/tls"
NAME = "ocicat-ca"

AUTHORITY, CERTIFICATE, KEY, BOTH = "ca.crt", "tls.crt", "tls.key", "tls.pem"
"""The files of a certificate: `BOTH` holds key and certificate, as ZooKeeper reads them."""

_AUTHORITY_KEY = "ca.key"
_ISSUED = "issued"
_OURS = (-1, -1)


class Issued(Struct, frozen=True):
    """`directory`: where the files were put. `owner`: the user who reads the key; empty for who issued it."""

    request: Request
    directory: str
    owner: str = ""


class Authority:
    """The one in a directory, which may be empty yet."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.certificate = directory / AUTHORITY
        self.key = directory / _AUTHORITY_KEY

    def init(self, name: str = NAME, days: int = AUTHORITY_DAYS) -> Certificate:
        """Refused where there is one."""
        config = authority_text(name)
        check_days(days, AUTHORITY_DAYS)
        _make(self.directory, 0o700)
        with self._locked():
            for path in (self.key, self.certificate):
                if path.exists():
                    raise Refused(f"{path} exists: there is an authority", hint="choose another directory: --ca")
            key = openssl.new_key()
            certificate = openssl.self_signed(key, config, days)
            openssl.write(self.key, key, SECRET)
            openssl.write(self.certificate, certificate, PUBLIC)
        return openssl.read(self.certificate)

    def issue(self, request: Request, out: Path, owner: str = "") -> Certificate:
        """Its files in `out`, keys for the user `owner` alone. Refused where there is one of that name, or a key in `out`."""
        checked(request)
        ids = _ids(owner)
        self._check()
        with self._locked():
            if self._record(request.name).exists():
                raise Refused(
                    f"certificate {request.name} was issued already",
                    hint=f"ocicat pki renew {request.name}, or choose another name",
                )
            if (out / KEY).exists():
                raise Refused(f"{out / KEY} exists", hint="choose another directory: --out")
            is_new = not out.exists()
            _make(out, 0o755)
            ours = (
                out / AUTHORITY,
                out / KEY,
                out / BOTH,
                out / CERTIFICATE,
                self._copy(request.name),
                self._record(request.name),
            )
            fresh = [path for path in ours if not path.exists()]
            try:
                self._sign(Issued(request, str(out.absolute()), owner), openssl.new_key(), ids)
            except BaseException:  # of a full disk, say, or Ctrl-C: the name is free again
                for path in fresh:
                    path.unlink(missing_ok=True)
                if is_new:
                    with suppress(OSError):  # somebody has put something there meanwhile
                        out.rmdir()
                raise
        return openssl.read(out / CERTIFICATE)

    def renew(self, name: str, *, new_key: bool = False) -> Certificate:
        """The same for another period, with its key where that is still in its place, and a new one for its owner elsewhere."""
        self._check()
        with self._locked():
            known = self._known(name)
            out = Path(known.directory)
            key = out / KEY
            ids = (key.stat().st_uid, key.stat().st_gid) if key.exists() else _ids(known.owner)
            _make(out, 0o755)
            self._sign(known, _read(key) if key.exists() and not new_key else openssl.new_key(), ids)
        return openssl.read(out / CERTIFICATE)

    def issued(self) -> list[Issued]:
        """By name."""
        self._check()
        found = sorted(path.stem for path in (self.directory / _ISSUED).glob("*.json"))
        return [self._known(name) for name in found]

    def copy_of(self, name: str) -> Certificate:
        """As it was issued last."""
        return openssl.read(self._copy(name))

    def _sign(self, known: Issued, key: bytes, ids: tuple[int, int]) -> None:
        config = request_text(known.request)
        certificate = openssl.signed(key, config, self._days(known.request.days), self.certificate, self.key)
        out, kept = Path(known.directory), self.directory / _ISSUED
        _make(kept, 0o700)
        openssl.write(self._record(known.request.name), pretty_json(known).encode(), SECRET)
        openssl.write(self._copy(known.request.name), certificate, PUBLIC)
        openssl.write(out / AUTHORITY, self.certificate.read_bytes(), PUBLIC)
        openssl.write(out / KEY, key, SECRET, ids)
        openssl.write(out / BOTH, key + certificate, SECRET, ids)
        openssl.write(out / CERTIFICATE, certificate, PUBLIC)

    def _days(self, wanted: int) -> int:
        """No more than the authority has itself: who checks refuses what is signed by one that has ended."""
        own = openssl.read(self.certificate)
        left = own.days_left(time.time())
        if left <= 0:
            raise Refused(
                f"the authority in {self.directory} ended on {day(own.not_after)}",
                hint="make a new one: ocicat pki init --ca DIRECTORY, and have hosts trust both meanwhile",
            )
        return min(wanted, max(1, int(left)))

    def _known(self, name: str) -> Issued:
        check_name(name, "the name of a certificate")
        try:
            return decode_json(Issued, self._record(name).read_bytes(), what=str(self._record(name)))
        except FileNotFoundError as error:
            raise NotFound(f"no certificate {name} was issued here", hint="see ocicat pki show") from error

    def _copy(self, name: str) -> Path:
        return self.directory / _ISSUED / f"{name}.crt"

    def _record(self, name: str) -> Path:
        return self.directory / _ISSUED / f"{name}.json"

    def _check(self) -> None:
        for path in (self.certificate, self.key):
            try:
                path.read_bytes()
            except FileNotFoundError as error:
                raise NotFound(
                    f"there is no authority in {self.directory}", hint="make one: ocicat pki init"
                ) from error
            except OSError as error:
                raise Refused(f"{path} cannot be read: {error.strerror}", hint=openssl.mend(error)) from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One at a time."""
        fd = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


def _ids(owner: str) -> tuple[int, int]:
    if not owner:
        return _OURS
    try:
        found = pwd.getpwnam(owner)
    except KeyError as error:
        raise UserError(f"this host has no user {owner}", hint="--owner names who reads the key") from error
    return found.pw_uid, found.pw_gid


def _make(directory: Path, mode: int) -> None:
    """With those above. One that is there keeps its mode."""
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(mode=mode, exist_ok=True)
    except OSError as error:
        raise Refused(f"{directory} cannot be made: {error.strerror}", hint=openssl.mend(error)) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}", hint=openssl.mend(error)) from error
