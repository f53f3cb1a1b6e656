"""What people read when gRPC fails."""

from __future__ import annotations

import pytest
from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata

from ocicat.store.etcd.failures import lost


@pytest.mark.parametrize(
    ("details", "words"),
    [
        ("Stream removed (Socket closed (GOAWAY received; Error code: 0; Debug Text: ))", "it closed the connection"),
        ("GOAWAY received; Error code: 2", "it closed the connection"),
        ("recvmsg:Connection reset by peer", "it broke the connection off"),
        (
            "failed to connect to all addresses; last error: ipv4:10.0.0.1:2379: Connection refused",
            "connection refused",
        ),
        ("something that nobody has seen yet", "something that nobody has seen yet"),
    ],
)
def test_a_connection_that_breaks_is_told_in_few_words(details, words):
    error = AioRpcError(StatusCode.UNAVAILABLE, Metadata(), Metadata(), details)
    assert str(lost("etcd://a", "10.0.0.1:2379", error)) == f"store etcd://a: 10.0.0.1:2379: {words}"
