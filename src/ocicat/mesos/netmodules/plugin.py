#!/usr/bin/python3 -ISE
"""The command that the network isolator module of Mesos 0.24 to 0.28 runs, for `isolator_command` and `ipam_command`: it relays one
request on standard input to the agent of this host, and the agent's reply to standard output.

It is copied to where the module finds it, away from this package, and the module waits for each call: only what is built into the
interpreter, and `_socket`. Invariants: 1. It writes one JSON object, and ends, within its patience; if even that fails, an alarm
ends it: no call may keep the Mesos agent waiting. 2. The agent may be starting, or be restarted in the middle: every step may be
asked again, and is until the patience is over. Then `release` and `cleanup` succeed: the module never repeats one that failed, and
the next agent finds what is left. The dialogue with the agent is described in cni/relay.py.
"""

import _signal  # type: ignore[import-not-found]  # `signal` itself takes longer to import than all the rest
import _socket
import posix
import sys
import time

SOCKET = "/run/ocicat/agent.sock"
HEAD = b"OCICAT_PROTOCOL=net-modules\0\0"
PATIENCE_S = 30.0
PATIENCE_OF_LEAVING_S = 8.0
RETRY_S = 0.05
LIMIT = 1 << 20
LEAVING = (b'"command":"release"', b'"command":"cleanup"')  # the first or the last thing that a request says


class Failure(Exception):
    """The text of the error."""


def main() -> int:
    _signal.alarm(int(PATIENCE_S) + 5)
    try:
        request = read_request()
        answer = ask(find_agent(), request, is_leaving=is_leaving(request))
    except Failure as failure:
        answer = b'1{"error":"%s"}' % printable(str(failure))
    write_out(answer[1:])
    return int(answer[:1] != b"0")


def read_request() -> bytes:
    request = bytearray()
    try:
        while len(request) <= LIMIT and (chunk := posix.read(0, LIMIT)):
            request += chunk
    except OSError as error:
        raise Failure(f"the plugin's standard input: {error.strerror}") from error
    if len(request) > LIMIT:
        raise Failure("the request is larger than 1 MiB")
    return bytes(request)


def is_leaving(request: bytes) -> bool:
    """Whatever stands inside its arguments, which are a framework's words in part: they have braces of their own around them."""
    bare = request.translate(None, b" \t\r\n")
    return any(bare.startswith(b"{" + command) or bare.endswith(command + b"}") for command in LEAVING)


def find_agent() -> str:
    """A link beside the plugin says where the agent listens; without one, it is the usual place."""
    directory, slash, _ = sys.argv[0].rpartition("/")
    try:
        path = posix.readlink((directory + slash + "ocicat.sock").encode(errors="surrogateescape"))
    except FileNotFoundError:
        return SOCKET
    except OSError as error:
        raise Failure(f"the link ocicat.sock beside the plugin: {error.strerror} (install it again)") from error
    return path.decode(errors="surrogateescape")


def ask(path: str, request: bytes, *, is_leaving: bool) -> bytes:
    deadline = time.monotonic() + (PATIENCE_OF_LEAVING_S if is_leaving else PATIENCE_S)
    while True:
        try:
            return converse(path, HEAD + request, deadline)
        except OSError as error:
            if time.monotonic() < deadline:
                time.sleep(RETRY_S)
                continue
            late = isinstance(error, (TimeoutError, BlockingIOError))
            why = "no answer in time" if late else error.strerror or str(error)
            text = f"the ocicat agent at {path}: {why}"
        if is_leaving:
            posix.write(2, f"{text}; it will tidy up when it is back\n".encode(errors="surrogateescape"))
            return b'0{"error":null}'
        raise Failure(f"{text} (is it running? its log says more)")


def converse(path: str, request: bytes, deadline: float) -> bytes:
    """One attempt. OSError when there is no answer."""
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    bound(connection, deadline)
    connection.connect(path)
    try:
        bound(connection, deadline)
        connection.sendall(request)
        connection.shutdown(_socket.SHUT_WR)
    except OSError:
        pass  # the agent may have refused the request before it had read all of it: there is an answer then
    answer = receive(connection, deadline)
    connection.close()
    return answer


def bound(connection: _socket.socket, deadline: float) -> None:
    """The next call on it takes no longer than is left."""
    connection.settimeout(max(deadline - time.monotonic(), 0.001))


def receive(connection: _socket.socket, deadline: float) -> bytes:
    answer = bytearray()
    try:
        while True:
            bound(connection, deadline)
            chunk = connection.recv(65536)
            if not chunk:
                break
            answer += chunk
    except OSError:
        if not answer:
            raise
    if not answer:
        raise OSError(0, "it closed the connection")
    return bytes(answer)


def printable(text: str) -> bytes:
    return "".join("?" if c in '"\\' or not " " <= c <= "~" else c for c in text).encode()


def write_out(data: bytes) -> None:
    while data:
        data = data[posix.write(1, data) :]


if __name__ == "__main__":
    sys.exit(main())
