"""An agent's end of the plugins' socket, for tests of the plugins' processes: it says what the test says."""

from __future__ import annotations

import socket
import threading

GONE = object()  # the agent reads the request and dies


class Agent:
    """Listens on `path`, and answers the connections that come with `answers`, one each; `requests` is what was asked."""

    def __init__(self, path, answers):
        self.requests = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(20)
        self._socket.bind(str(path))
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve, args=(answers,))
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._thread.join(30)
        self._socket.close()

    def _serve(self, answers):
        for answer in answers:
            connection, _ = self._socket.accept()
            with connection:
                self.requests.append(read_to_end(connection))
                if answer is not GONE:
                    connection.sendall(answer)


def read_to_end(connection):
    chunks = []
    while chunk := connection.recv(65536):
        chunks.append(chunk)
    return b"".join(chunks)
