"""The words of the CNI specification: versions, commands, error codes, and the errors that carry them. Pure."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

from ocicat.errors import Conflict, NotFound, OcicatError, Refused, Unavailable, UserError
from ocicat.model.base import Struct, field

Command = Literal["ADD", "DEL", "CHECK"]  # about one interface; VERSION is answered by the plugin itself, agent or not
NetworkCommand = Literal["GC", "STATUS"]  # about all of a network on this host

VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
NETWORK_COMMANDS_SINCE = "1.1.0"
DEFAULT_VERSION = "0.2.0"  # where a configuration names none: what Apache Mesos reads, and all it reads


class Code(IntEnum):
    """Error codes of the specification; from 100 on they are the plugin's own."""

    INCOMPATIBLE_VERSION = 1
    UNSUPPORTED_FIELD = 2
    UNKNOWN_CONTAINER = 3
    INVALID_ENVIRONMENT = 4
    IO_FAILURE = 5
    DECODING_FAILURE = 6
    INVALID_CONFIGURATION = 7
    TRY_AGAIN_LATER = 11
    NOT_AVAILABLE = 50  # of STATUS: no ADD can be served
    REFUSED = 100
    INTERNAL = 101


CODES: dict[type[OcicatError], Code] = {
    UserError: Code.INVALID_CONFIGURATION,
    NotFound: Code.UNKNOWN_CONTAINER,
    Unavailable: Code.TRY_AGAIN_LATER,
    Conflict: Code.TRY_AGAIN_LATER,
    Refused: Code.REFUSED,
}


class CniError(OcicatError):
    """A failure with the specification's code. `message` is one line; `hint` becomes the result's `details`."""

    def __init__(self, code: Code, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code

    @classmethod
    def of(cls, error: OcicatError) -> CniError:
        """Any error of ours, with the code that fits its class."""
        if isinstance(error, CniError):
            return error
        return cls(_code(error), error.message, hint=error.hint)


def _code(error: OcicatError) -> Code:
    for kind, code in CODES.items():
        if isinstance(error, kind):
            return code
    return Code.INTERNAL


class ErrorResult(Struct, frozen=True):
    """What the specification wants on stdout when a command failed."""

    version: str = field(name="cniVersion")
    code: int
    msg: str
    details: str = ""
