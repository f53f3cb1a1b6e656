"""Who we are to a Mesos that asks: a principal and its secret, as Mesos's own `--credential` file has them."""

from __future__ import annotations

import base64
from pathlib import Path

from ocicat.errors import UserError
from ocicat.model.base import Struct
from ocicat.model.codec import decode_json


class Credential(Struct, frozen=True):
    principal: str
    secret: str

    def headers(self) -> dict[str, str]:
        """Of a request by HTTP's basic authentication."""
        token = base64.b64encode(f"{self.principal}:{self.secret}".encode()).decode()
        return {"Authorization": f"Basic {token}"}


def parse(text: str, what: str) -> Credential:
    """JSON `{"principal": ..., "secret": ...}`, or the two words on one line. UserError names the file, and never its content."""
    words = text.split()
    try:
        found = decode_json(Credential, text) if text.lstrip().startswith("{") else Credential(*words)
    except (UserError, TypeError):
        found = Credential("", "")
    if not found.principal or not found.secret or ":" in found.principal:
        raise UserError(
            f"{what} holds no credential", hint='it must be {"principal": "NAME", "secret": "WORD"}, or NAME WORD'
        )
    return found


def read(path: str) -> Credential:
    """UserError when there is none."""
    try:
        return parse(Path(path).read_text(), path)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UserError(f"credential {path}: {reason}", hint="name a file that this program may read") from error
