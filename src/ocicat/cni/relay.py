"""How the plugin's process and the agent talk over the unix socket: one request, one reply, then both close.

Request: every `CNI_*` variable as `NAME=value` and a NUL byte, one more NUL, then standard input as it came; the writer shuts its
side down. A plugin that speaks another language than CNI's says so by a variable `PROTOCOL` instead. Reply: one byte, "0" or "1"
(the exit status), then what goes to standard output. A connection that closes without a reply means that the agent went away: the
plugin starts over, which is safe because every command is idempotent. Pure.
"""

from __future__ import annotations

from pathlib import Path

from ocicat.cni.spec import CniError, Code

PLUGIN = "ocicat"  # the file's name: what a network configuration gives as its "type"
LINK = "ocicat.sock"  # lies beside the plugin and leads to its agent's socket, unless that is the default one
DEFAULT_SOCKET = Path("/run/ocicat/agent.sock")
PROTOCOL = "OCICAT_PROTOCOL"
STATUS = "status"  # the language in which the agent is asked how it is; nothing but the word is said
LIMIT_BYTES = 1 << 20  # of a request; a network configuration is a few hundred bytes, a megabyte is a mistake


def parse(message: bytes) -> tuple[dict[str, str], bytes]:
    """The environment and the standard input of the plugin's process."""
    head, separator, document = message.partition(b"\0\0")
    if not separator:
        raise CniError(Code.IO_FAILURE, "the request on the agent's socket is cut short")
    environment: dict[str, str] = {}
    for entry in filter(None, head.split(b"\0")):
        name, _, value = entry.decode(errors="surrogateescape").partition("=")
        environment[name] = value
    return environment, document


def reply(status: int, output: bytes) -> bytes:
    return b"%d" % status + output
