"""The conversation with a lab's supervisor: one request and one answer on a Unix socket, a line of JSON each.

Promises: `ask` returns when the supervisor has done what was asked, or raises what kept it from doing so.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Literal

from ocicat.errors import Refused, Unavailable
from ocicat.model.base import Struct
from ocicat.model.codec import decode_json, encode_json

_PATIENCE_S = 30.0  # stopping a process that ignores SIGTERM takes a while


class Request(Struct, frozen=True):
    """`kill`: end the process with SIGKILL, as a crash would."""

    action: Literal["start", "stop", "restart"]
    process: str
    kill: bool = False


class Answer(Struct, frozen=True):
    """`error` is empty when it is done."""

    error: str = ""


def ask(path: Path, request: Request) -> None:
    """Have the supervisor behind `path` do it. Unavailable when nobody answers, Refused with the supervisor's reason."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_PATIENCE_S)
            connection.connect(str(path))
            connection.sendall(encode_json(request) + b"\n")
            with connection.makefile("rb") as reader:
                line = reader.readline()
    except OSError as error:
        raise _silent(path, str(error)) from error
    if not line:
        raise _silent(path, "it went away")
    answer = decode_json(Answer, line, what="the supervisor's answer")
    if answer.error:
        raise Refused(answer.error)


def _silent(path: Path, cause: str) -> Unavailable:
    return Unavailable(f"the supervisor does not answer on {path}: {cause}", hint="see: ocicat lab status")
