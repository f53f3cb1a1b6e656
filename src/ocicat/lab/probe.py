"""Who can be reached from here? Run inside a network namespace, with nothing but the standard library.

`python probe.py SECONDS tcp:10.0.0.1:8080 icmp:10.0.0.1 ...` tries all of them at once and prints one line each:
`TARGET yes|no`. Reached is who accepts the connection, or answers the echo, within SECONDS.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator

ECHO_REQUEST, ECHO_REPLY = 8, 0
RETRY_S = 0.25  # a packet may be lost while a neighbour is being resolved, and a server may still be starting


def probe(targets: list[str], timeout_s: float) -> dict[str, bool]:
    """Every target with whether it answered in time."""
    deadline = time.monotonic() + timeout_s
    tcp: dict[socket.socket, str] = {}
    icmp = {target.split(":")[1]: target for target in targets if target.startswith("icmp:")}
    reached: set[str] = set()
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as echo:
        echo.settimeout(0)
        next_try = 0.0
        while time.monotonic() < deadline and len(reached) < len(targets):
            if time.monotonic() >= next_try:
                _send_echoes(echo, [ip for ip, target in icmp.items() if target not in reached])
                tcp |= dict(_connecting([target for target in targets if target not in reached | set(tcp.values())]))
                next_try = time.monotonic() + RETRY_S
            readable, writable, _ = select.select([echo], list(tcp), [], 0.05)
            for connection in writable:
                target = tcp.pop(connection)
                if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                    reached.add(target)
                connection.close()
            for source in _echo_sources(echo) if readable else ():
                if source in icmp:
                    reached.add(icmp[source])
    for connection in tcp:
        connection.close()
    return {target: target in reached for target in targets}


def _connecting(targets: list[str]) -> Iterator[tuple[socket.socket, str]]:
    """One refused at once (no route, forbidden) is not among them: its socket would later look as if it were connected."""
    for target in targets:
        if target.startswith("tcp:"):
            _, ip, port = target.split(":")
            connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            connection.settimeout(0)
            if connection.connect_ex((ip, int(port))) in (0, errno.EINPROGRESS):
                yield connection, target
            else:
                connection.close()


def _send_echoes(echo: socket.socket, ips: list[str]) -> None:
    for ip in ips:
        body = struct.pack("!BBHHH", ECHO_REQUEST, 0, 0, os.getpid() & 0xFFFF, 1)
        packet = body[:2] + struct.pack("!H", _checksum(body)) + body[4:]
        try:
            echo.sendto(packet, (ip, 0))
        except OSError:
            continue  # no route, or forbidden by our own rules: not reached


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _echo_sources(echo: socket.socket) -> list[str]:
    """The senders of the replies to our own requests that are there to be read."""
    sources: list[str] = []
    while True:
        try:
            packet, (source, _) = echo.recvfrom(2048)
        except BlockingIOError:
            return sources
        header = (packet[0] & 15) * 4
        kind, _, _, identifier, _ = struct.unpack_from("!BBHHH", packet, header)
        if kind == ECHO_REPLY and identifier == os.getpid() & 0xFFFF:
            sources.append(source)


def main() -> None:
    for target, reached in probe(sys.argv[2:], float(sys.argv[1])).items():
        sys.stdout.write(f"{target} {'yes' if reached else 'no'}\n")


if __name__ == "__main__":
    main()
