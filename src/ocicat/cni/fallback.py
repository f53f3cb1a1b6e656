#!/usr/bin/python3 -ISE
"""The CNI plugin for hosts without a C compiler: shim.c over again, function by function.

It is copied to where the runtime looks for plugins, away from this package, and every import costs each container milliseconds:
only what is built into the interpreter, and `_socket`. Invariant: whatever it is given, it answers as shim.c does.
"""

import _socket
import posix
import sys
import time

SOCKET = "/run/ocicat/agent.sock"
PATIENCE_MS = 45000
RETRY_MS = 50
LIMIT = 1 << 20
PATIENCE_OF_STATUS_MS = 5000
VERSIONS = '{"cniVersion":"1.1.0","supportedVersions":["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}\n'
ERROR = '{"cniVersion":"0.2.0","code":%d,"msg":"%s: %s","details":"%s"}\n'


class Failure(Exception):
    """The text of the error result."""


def write_out(data: bytes) -> None:
    while data:
        data = data[posix.write(1, data) :]


def find_agent() -> str:
    """A link beside the plugin says where the agent listens; without one, it is the usual place."""
    directory, slash, _ = sys.argv[0].rpartition("/")
    try:
        path = posix.readlink((directory + slash + "ocicat.sock").encode(errors="surrogateescape"))
    except FileNotFoundError:
        return SOCKET
    except OSError as error:
        raise bad_link(error.strerror) from error
    if len(path) > 107:
        raise bad_link("File name too long")
    return path.decode(errors="surrogateescape")


def bad_link(why: str | None) -> Failure:
    return Failure(ERROR % (5, "the link ocicat.sock beside the plugin", why, "install it again"))


def compose() -> bytes:
    """The CNI_* variables and standard input as one message."""
    request = bytearray()
    for name, value in posix.environ.items():
        if name.startswith(b"CNI_"):
            request += name + b"=" + value + b"\0"
    request += b"\0" if request else b"\0\0"
    try:
        while len(request) <= LIMIT and (chunk := posix.read(0, LIMIT)):
            request += chunk
    except OSError as error:
        raise Failure(ERROR % (5, "the plugin's standard input", error.strerror, "")) from error
    if len(request) > LIMIT:
        raise Failure(ERROR % (6, "the plugin's input", "it is larger than 1 MiB", ""))
    return bytes(request)


def converse(path: str, request: bytes, left_ms: float) -> bytes:
    """One attempt. OSError when there is no answer."""
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    connection.settimeout(max(left_ms, 1) / 1000)
    connection.connect(path)
    try:
        connection.sendall(request)
        connection.shutdown(_socket.SHUT_WR)
    except OSError:
        pass  # the agent may have refused the request before it had read all of it: there is an answer then
    answer = receive(connection)
    connection.close()
    return answer


def receive(connection: _socket.socket) -> bytes:
    answer = bytearray()
    try:
        while chunk := connection.recv(65536):
            answer += chunk
    except OSError:
        if not answer:
            raise
    if not answer:
        raise OSError(0, "it closed the connection")
    return bytes(answer)


def now_ms() -> float:
    return time.monotonic() * 1000


def ask(path: str, request: bytes) -> bytes:
    is_status = posix.environ.get(b"CNI_COMMAND") == b"STATUS"
    deadline = now_ms() + (min(PATIENCE_OF_STATUS_MS, PATIENCE_MS) if is_status else PATIENCE_MS)
    while True:
        try:
            return converse(path, request, deadline - now_ms())
        except OSError as error:
            if now_ms() >= deadline and posix.environ.get(b"CNI_COMMAND") == b"DEL":
                later = "the ocicat agent at " + path + " does not answer: it will tidy up when it is back\n"
                posix.write(2, later.encode(errors="surrogateescape"))
                return b"0"
            if now_ms() >= deadline:
                why = "no answer in time" if isinstance(error, (TimeoutError, BlockingIOError)) else error.strerror
                hint = "is it running? its log says more"
                raise Failure(
                    ERROR % (50 if is_status else 11, "the ocicat agent at " + printable(path), why, hint)
                ) from error
        time.sleep(RETRY_MS / 1000)


def printable(path: str) -> str:
    return "".join("?" if c in '"\\' or not " " <= c <= "~" else c for c in path)


def main() -> int:
    if posix.environ.get(b"CNI_COMMAND") == b"VERSION":
        write_out(VERSIONS.encode())
        return 0
    try:
        answer = ask(find_agent(), compose())
    except Failure as failure:
        write_out(str(failure).encode())
        return 1
    write_out(answer[1:])
    return int(answer[:1] != b"0")


if __name__ == "__main__":
    sys.exit(main())
