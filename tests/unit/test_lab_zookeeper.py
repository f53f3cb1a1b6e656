"""What the lab tells a ZooKeeper server, and when it counts as serving."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from ocicat.lab.zookeeper import HEAP_MB, Member, argv, serves, write

ALONE = Member(1, "10.0.0.1")


def test_a_server_alone_is_no_ensemble(tmp_path: Path) -> None:
    text = write(tmp_path, ALONE, [ALONE]).read_text()
    assert "server." not in text
    assert "clientPortAddress=10.0.0.1" in text.splitlines()
    assert f"dataDir={tmp_path}/data" in text.splitlines()


def test_the_members_of_an_ensemble_know_each_other_and_themselves(tmp_path: Path) -> None:
    members = [ALONE, Member(2, "fd00::2"), Member(3, "10.0.0.3", 1, 2, 3)]
    lines = write(tmp_path, members[1], members).read_text().splitlines()
    assert lines[-3:] == ["server.1=10.0.0.1:2888:3888", "server.2=[fd00::2]:2888:3888", "server.3=10.0.0.3:2:3"]
    assert (tmp_path / "data" / "myid").read_text() == "2\n"


def test_its_memory_is_bounded() -> None:
    line = argv(Path("/x/zoo.cfg"))
    assert line[-1] == "/x/zoo.cfg"
    assert f"-Xmx{HEAP_MB}m" in line
    assert any(option.startswith("-XX:MaxMetaspaceSize=") for option in line)


@pytest.mark.parametrize(
    ("answer", "served"),
    [
        (b"Zookeeper version: 3.8.0\nMode: follower\n", True),
        (b"This ZooKeeper instance is not currently serving requests\n", False),
        (b"", False),
    ],
)
def test_a_server_without_a_quorum_does_not_serve_yet(answer: bytes, served: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def reply() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4)
                connection.sendall(answer)

        thread = threading.Thread(target=reply)
        thread.start()
        assert serves("127.0.0.1", listener.getsockname()[1]) is served
        thread.join()


def test_where_nobody_listens_nobody_serves() -> None:
    assert not serves("127.0.0.1", 1)
