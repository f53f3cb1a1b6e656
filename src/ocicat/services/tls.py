"""The certificate of a service, copied to where its user, and nobody else, can read the key.

The one that is given stays root's: services of several users share it, and clients on this host use it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from ocicat.errors import Refused
from ocicat.services.pki import openssl
from ocicat.services.pki.authority import AUTHORITY, BOTH, CERTIFICATE, KEY
from ocicat.services.pki.openssl import PUBLIC, SECRET, write
from ocicat.services.running import user_ids
from ocicat.services.spec import Service

Files = tuple[tuple[str, bytes], ...]
"""By name."""

_MODES = {AUTHORITY: PUBLIC, KEY: SECRET, BOTH: SECRET, CERTIFICATE: PUBLIC}


def is_stale(service: Service) -> bool:
    """Is what the service reads other than what it was given?"""
    return bool(service.tls) and any(
        _content(service.given(name)) != _content(service.tls_file(name)) for name in _MODES
    )


def given(service: Service) -> Files:
    """Refused: a file is missing, or cannot be read."""
    found = []
    for name in _MODES:
        content = _content(service.given(name))
        if content is None:
            raise Refused(f"--tls: {service.given(name)} cannot be read", hint="put all the files of one issue there")
        found.append((name, content))
    return tuple(found)


def placed(service: Service) -> Files:
    """What the service reads now; nothing without TLS."""
    found = ((name, _content(service.tls_file(name))) for name in _MODES) if service.tls else ()
    return tuple((name, content) for name, content in found if content is not None)


def place(service: Service, files: Files = ()) -> None:
    """Those, or what is given. Refused: as `given`."""
    if not service.tls:
        remove(service)
        return
    ids = user_ids(service.user)
    Path(service.tls_directory).mkdir(mode=0o755, parents=True, exist_ok=True)
    for name, content in files or given(service):
        write(Path(service.tls_file(name)), content, _MODES[name], ids)


def is_of_one_issue(service: Service) -> bool:
    """Does the file that holds both, key and certificate, hold the one that lies beside it?"""
    both, alone = (openssl.read(Path(service.given(name))) for name in (BOTH, CERTIFICATE))
    return both.fingerprint == alone.fingerprint


def remove(service: Service) -> None:
    if Path(service.tls_directory).is_dir():
        shutil.rmtree(service.tls_directory)


def _content(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except OSError:
        return None
