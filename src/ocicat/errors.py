"""Every error that crosses a module boundary here, and what its reader must do about it.

Foreign exceptions (OSError, sqlite3.Error, msgspec.ValidationError ...) are mapped to one of these where they enter.
`str(error)` is one line that names the object, the cause and what to do; the CLI prints exactly that.
The exit codes are those of the command line: 1 failed, 2 usage, 3 conflict, 4 unreachable, 5 not found,
78 an agent's settings cannot be used.
"""

from __future__ import annotations


class OcicatError(Exception):
    """Something failed. `hint` says what to do about it, where we know."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UserError(OcicatError):
    """The input is wrong: mend it and try again."""

    exit_code = 2


class Misconfigured(UserError):
    """What a program that is kept running was told cannot be used: whoever keeps it tries in vain until somebody mends that."""

    exit_code = 78  # EX_CONFIG of sysexits.h; systemd shows it as 78/CONFIG


class NotFound(OcicatError):
    """The named object does not exist."""

    exit_code = 5


class Conflict(OcicatError):
    """Somebody else changed the object first: read again, decide again."""

    exit_code = 3


class Unavailable(OcicatError):
    """The other side does not answer now: the same call may work later."""

    exit_code = 4


class Compacted(Unavailable):
    """The revision asked for is no longer kept: take a new snapshot and watch from there."""


class Refused(OcicatError):
    """The request is well formed, and the system's rules or its present state say no (pool full, store locked)."""


class Bug(OcicatError):
    """An invariant of ours does not hold. Report it; nothing the reader did is wrong."""
