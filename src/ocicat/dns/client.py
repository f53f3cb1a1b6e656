"""Asking a DNS server one question, for the command line: by UDP, and by TCP where the answer was cut."""

from __future__ import annotations

import secrets
import socket
import time

from ocicat.dns.wire import MAX_MESSAGE, Edns, Malformed, Message, Query, Question, encode_query, parse_answer
from ocicat.errors import Unavailable
from ocicat.mesos.masters import Endpoint

_TRIES = 2


def ask(server: Endpoint, question: Question, *, timeout_s: float = 3.0, by_tcp: bool = False) -> Message:
    """Unavailable when nothing comes, or nothing that can be read."""
    query = Query(int.from_bytes(secrets.token_bytes(2), "big"), question, edns=Edns())
    try:
        said = None if by_tcp else _by_udp(server, query, timeout_s)
        return _by_tcp(server, query, timeout_s) if said is None or said.truncated else said
    except TimeoutError as error:
        raise Unavailable(f"DNS server {server}: no answer in {timeout_s:g} s") from error
    except (OSError, EOFError, Malformed) as error:
        raise Unavailable(f"DNS server {server}: {error}") from error


def _by_udp(server: Endpoint, query: Query, timeout_s: float) -> Message:
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect((server.host, server.port))
        for tries_left in reversed(range(_TRIES)):
            sock.send(encode_query(query))
            try:
                return _first_match(sock, query, timeout_s / _TRIES)
            except TimeoutError:
                if not tries_left:
                    raise
    raise AssertionError("unreachable")


def _first_match(sock: socket.socket, query: Query, timeout_s: float) -> Message:
    """What is no answer to it is passed over."""
    end = time.monotonic() + timeout_s
    while True:
        sock.settimeout(max(end - time.monotonic(), 0.001))
        try:
            said = parse_answer(sock.recv(MAX_MESSAGE))
        except Malformed:
            continue
        if said.id == query.id and said.question in (query.question, None):
            return said


def _by_tcp(server: Endpoint, query: Query, timeout_s: float) -> Message:
    data = encode_query(query)
    with socket.create_connection((server.host, server.port), timeout_s) as sock, sock.makefile("rb") as stream:
        sock.sendall(len(data).to_bytes(2, "big") + data)
        length = int.from_bytes(stream.read(2), "big")
        found = stream.read(length)
    if not length or len(found) < length:
        raise EOFError("the connection was closed before the answer was whole")
    return parse_answer(found)
