"""What is wrong with files that settings lie in or speak of: who may read them, and write them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs

from ocicat.settings.reading import FileFacts
from ocicat.settings.resolve import Resolved
from ocicat.settings.setting import Fault
from ocicat.settings.values import holds_password

_ETCD_SECRETS = ("key", "password-file")
_OTHERS_WRITE, _OTHERS_READ = 0o022, 0o004
_ROOT = 0


def secret_files(resolved: Resolved) -> Iterator[tuple[str, str]]:
    """(key, path) of files that only their owner should read."""
    for found in resolved.found:
        if found.setting.secret_file and found.value:
            yield found.setting.key, str(found.value)
    parameters = parse_qs(resolved.text("store.url").partition("?")[2])
    yield from (("store.url", path) for name in _ETCD_SECRETS for path in parameters.get(name, ()))


def file_faults(file: FileFacts, resolved: Resolved, *, user: int) -> Iterator[Fault]:
    """Of the configuration file itself. `user`: who reads it."""
    if file.owner not in (_ROOT, user):
        problem = f"belongs to user {file.owner}, who may change what the agent does"
        yield Fault(file.path, "", problem, f"chown root {file.path}")
    if file.mode & _OTHERS_WRITE:
        problem = f"mode {file.mode:04o}: others may change what the agent does"
        yield Fault(file.path, "", problem, f"chmod go-w {file.path}")
    if file.mode & _OTHERS_READ:
        here = (one for one in resolved.found if one.said.where.startswith(f"{file.path}:"))
        for found in here:
            if holds_password(found.value):
                problem = f"holds a password, and everybody may read {file.path}"
                yield Fault(found.said.where, found.setting.key, problem, f"chmod o-r {file.path}")


def secret_faults(key: str, where: str, path: str, file: FileFacts | None) -> Iterator[Fault]:
    if file is None:
        yield Fault(where, key, f"{path} is no file that can be read")
    elif file.mode & _OTHERS_READ:
        problem = f"{path} holds a secret, and everybody may read it (mode {file.mode:04o})"
        yield Fault(where, key, problem, f"chmod o-r {path}")
