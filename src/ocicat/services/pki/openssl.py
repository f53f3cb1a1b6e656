"""The program `openssl`, run. Errors: Refused with its own words.

1. What is secret goes through files of mode 0600, never through an argument.
2. A file appears whole or not at all.
"""

from __future__ import annotations

import errno
import os
import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ocicat.errors import OcicatError, Refused, UserError
from ocicat.services.pki.certificate import QUESTIONS, Certificate, parse

SECRET, PUBLIC = 0o600, 0o644
_CURVE = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
_LONGEST_S = 30.0
_LAST_LINES = 2


def new_key() -> bytes:
    """PKCS #8 in PEM, on the curve P-256."""
    return _run("genpkey", *_CURVE).encode()


def self_signed(key: bytes, config: str, days: int) -> bytes:
    with _files(key=key, config=config) as at:
        options = ("-new", "-x509", "-key", at["key"], "-config", at["config"], "-extensions", "extensions")
        return _run("req", *options, "-days", str(days), "-set_serial", _serial()).encode()


def signed(key: bytes, config: str, days: int, authority: Path, authority_key: Path) -> bytes:
    """A certificate for `key`."""
    with _files(key=key, config=config) as at:
        request = _run("req", "-new", "-key", at["key"], "-config", at["config"])
        asked = ("-req", "-CA", str(authority), "-CAkey", str(authority_key), "-days", str(days))
        extensions = ("-extfile", at["config"], "-extensions", "extensions", "-set_serial", _serial())
        return _run("x509", *asked, *extensions, given=request).encode()


def read(path: Path) -> Certificate:
    """The first one in the file. UserError when there is none."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {getattr(error, 'strerror', error)}") from error
    try:
        return parse(str(path), _run("x509", *QUESTIONS, "-nameopt", "RFC2253", given=text))
    except Refused as error:
        raise UserError(f"{path} holds no certificate") from error


def is_signed_by(certificate: Path, authority: Path) -> bool:
    """Whatever the time is."""
    return _holds("verify", "-no_check_time", "-CAfile", str(authority), str(certificate))


def fits(certificate: Path, key: Path) -> bool:
    """Is it the certificate of this key? False also for a file that is no key."""
    try:
        return _run("x509", "-in", str(certificate), "-noout", "-pubkey") == _run("pkey", "-in", str(key), "-pubout")
    except Refused:
        return False


def write(path: Path, content: bytes, mode: int, owner: tuple[int, int] = (-1, -1)) -> None:
    """In one step, and not where a link in its place leads. `owner`: numbers of user and group; -1 is the caller's."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, SECRET)
        with os.fdopen(fd, "wb") as file:
            os.fchmod(fd, mode)
            os.fchown(fd, *owner)
            file.write(content)
            file.flush()
            os.fsync(fd)
        fresh.replace(path)
    except OSError as error:
        raise Refused(f"{path} cannot be written: {error.strerror or error}", hint=mend(error)) from error
    finally:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)


def mend(error: OSError) -> str:
    """What to do about a file that cannot be read or written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "make room there, and run it again"
    return "run it as root" if error.errno in (errno.EACCES, errno.EPERM) else "choose another directory"


def _serial() -> str:
    """Positive, of at most 20 octets, and nobody guesses it (RFC 5280 section 4.1.2.2)."""
    return f"0x{secrets.randbits(152) | 1 << 152:x}"


@contextmanager
def _files(**contents: str | bytes) -> Iterator[dict[str, str]]:
    with tempfile.TemporaryDirectory(prefix="ocicat-pki-") as folder:  # made with mode 0700
        for name, content in contents.items():
            write(Path(folder, name), content.encode() if isinstance(content, str) else content, SECRET)
        yield {name: str(Path(folder, name)) for name in contents}


def _holds(*arguments: str) -> bool:
    try:
        _run(*arguments)
    except Refused:
        return False
    return True


def _run(*arguments: str, given: str = "") -> str:
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}  # no OPENSSL_CONF of the caller's
    line = ["openssl", *arguments]
    try:
        done = subprocess.run(
            line, input=given, capture_output=True, text=True, timeout=_LONGEST_S, check=False, env=environment
        )
    except FileNotFoundError as error:
        raise OcicatError("openssl is not installed", hint="apt-get install openssl") from error
    except subprocess.TimeoutExpired as error:
        raise Refused(f"openssl {arguments[0]} did not end within {_LONGEST_S:.0f} s") from error
    if done.returncode:
        said = "; ".join(done.stderr.strip().splitlines()[-_LAST_LINES:])
        raise Refused(f"openssl {arguments[0]}: {said}")
    return done.stdout
