"""What a log tells about an end: the grave line, not where in the program it was; and what to do where that is known."""

import pytest

from ocicat.services.words import cause, last_words

PANIC = """panic: open /var/lib/x/wal: no space left on device

goroutine 1 [running]:
go.etcd.io/etcd/etcdmain.Main()
\tgo.etcd.io/etcd/main.go:28 +0x17
"""
FATAL = (
    '{"level":"warn","msg":"slow"}\n'
    '{"level":"fatal","msg":"discovery failed","error":"member 6f has already been bootstrapped","stacktrace":"main.go:28"}\n'
)
JAVA = """2026-01-01 [main] ERROR QuorumPeerMain - Unable to start
java.io.IOException: No snapshot found
\tat org.apache.zookeeper.server.FileTxnSnapLog.restore(FileTxnSnapLog.java:1)
Exiting JVM with code 1
"""


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (PANIC, "panic: open /var/lib/x/wal: no space left on device"),
        (
            '{"level":"warn","msg":"a","error":"no space"}\npanic: failed to create WAL\n',
            "a: no space; panic: failed to create WAL",
        ),
        (FATAL, "discovery failed: member 6f has already been bootstrapped"),
        (JAVA, "java.io.IOException: No snapshot found"),
        ('{"level":"warn","msg":"a","error":"b"}\n', "a: b"),
        ("{broken\n", "{broken"),
        ("no room for me\n", "no room for me"),
        ("\n", ""),
        ("", ""),
    ],
)
def test_the_last_words(log: str, said: str) -> None:
    assert last_words(log) == said


def test_what_to_do_is_told_where_it_is_known() -> None:
    assert "make room" in cause(last_words(PANIC))
    assert "lost" in cause(last_words(FATAL))
    assert cause("anything") == ""
