"""Listening sockets, as the kernel tells them and as we read them."""

import socket
from contextlib import closing

import pytest

from ocicat.netlink import sockdiag
from ocicat.netlink.inet import INET, INET6
from ocicat.netlink.sockdiag import TCP, UDP, Listener
from ocicat.netlink.socket import DiagSocket


def listeners(protocol, family, port):
    with DiagSocket() as kernel:
        return kernel.dump(sockdiag.dump(protocol, family, port))


@pytest.mark.parametrize(
    ("family", "address", "packed"),
    [
        (socket.AF_INET, "127.0.0.1", bytes([127, 0, 0, 1])),
        (socket.AF_INET, "0.0.0.0", bytes(4)),
        (socket.AF_INET6, "::", bytes(16)),
    ],
)
@pytest.mark.parametrize(("protocol", "kind"), [(TCP, socket.SOCK_STREAM), (UDP, socket.SOCK_DGRAM)])
def test_who_waits_at_a_port_is_told_with_his_address(family, address, packed, protocol, kind):
    with closing(socket.socket(family, kind)) as waiting:
        waiting.bind((address, 0))
        if protocol == TCP:
            waiting.listen()
        port = waiting.getsockname()[1]
        (found,) = [each for each in listeners(protocol, family, port) if each.address == packed]
        assert found == Listener(protocol, packed, port)
        other = INET if family == INET6 else INET6
        assert found not in listeners(protocol, other, port)


def test_a_connection_is_no_listener_and_a_protocol_the_kernel_lacks_has_none():
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        with closing(socket.create_connection(("127.0.0.1", port))) as client:
            assert listeners(TCP, INET, client.getsockname()[1]) == []
            assert len(listeners(TCP, INET, port)) == 1
    assert listeners(sockdiag.SCTP, INET, 1) == []
