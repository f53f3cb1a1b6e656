"""The note that an unfinished transfer leaves in the store it fills: what it is, so that the same one can go on. Pure.

1. It is there from before the first key is written until after the last one is verified: a store without it is whole.
2. Whoever works on the transfer writes itself into it first. Each write that follows depends on the note being as it left it, so
   that of two processes the later one goes on, and the earlier one can do no more harm.
"""

from __future__ import annotations

from typing import Literal

from ocicat.errors import Refused
from ocicat.model.base import Struct
from ocicat.model.codec import decode_json

RECORD = "/ocicat/v1/copy"

Mode = Literal["copy", "import", "replace", "merge"]
"""`copy`, `import`: into an empty store. `replace`: what the source does not have is deleted. `merge`: it stays."""


class Record(Struct, frozen=True, kw_only=True):
    """`information`: what the cluster information (with the lock in it) shall be at the end, None for none at all.

    `worker` tells processes apart.
    """

    source: str
    mode: Mode
    worker: str
    started: str  # RFC 3339
    information: bytes | None = None


def read_record(value: bytes) -> Record:
    """Errors: UserError."""
    return decode_json(Record, value, what=RECORD)


def unfinished(value: bytes) -> Refused:
    """For whoever wants to use a store that is only partly filled."""
    record = read_record(value)
    return Refused(
        f"the store is incomplete: it is being filled from {record.source} since {record.started}", hint=go_on(record)
    )


def go_on(record: Record) -> str:
    if record.mode == "copy":
        return f"`ocicat store copy {record.source} DESTINATION` goes on with it"
    option = "" if record.mode == "import" else f" --{record.mode}"
    return f"`ocicat store import FILE{option}` of the same file goes on with it"
