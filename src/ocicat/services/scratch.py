"""A server that is thrown away: in a network namespace of its own, so that nobody else reaches it, and in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from ocicat.errors import OcicatError, Refused, Unavailable
from ocicat.netlink import link, namespace
from ocicat.netlink.socket import RouteSocket
from ocicat.services.network import Access
from ocicat.supervise.detached import last_lines

T = TypeVar("T")

HOST = "127.0.0.1"
_POLL_S = 0.05
_GRACE_S = 5.0


class Scratch:
    """`folder` is for everything it writes; `way` leads to it."""

    def __init__(self, folder: Path, namespace_fd: int) -> None:
        self.folder = folder
        self.way = Access(namespace_fd=namespace_fd, timeout_s=10.0)
        self.process: subprocess.Popen[bytes] | None = None
        self._fd = namespace_fd

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def start(self, line: Sequence[str]) -> None:
        """It ends with this process, whatever happens."""
        enter = ["nsenter", f"--net=/proc/{os.getpid()}/fd/{self._fd}", "setpriv", "--pdeathsig", "KILL", "--"]
        try:
            with self.log.open("ab") as output:
                self.process = subprocess.Popen(
                    [*enter, *line], stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self.folder
                )
        except OSError as error:
            raise Refused(f"{line[0]} cannot be started: {error.strerror}") from error

    def until(self, ask: Callable[[], T], timeout_s: float) -> T:
        """What it answers, once it does. Refused: it ended, or takes too long."""
        ends = time.monotonic() + timeout_s
        while True:
            try:
                return ask()
            except Unavailable as error:
                ended = self.process is None or self.process.poll() is not None
                if ended or time.monotonic() > ends:
                    said = last_lines(str(self.log), 1) or error.message
                    raise Refused(f"a server started on the copy does not serve: {said}") from error
                time.sleep(_POLL_S)

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _folder() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="ocicat-scratch-")
    except OSError as error:
        raise Refused(
            f"no place to check the copy in: {error.strerror or error}",
            hint="make room for temporary files, or --no-verify",
        ) from error


@contextmanager
def scratch() -> Iterator[Scratch]:
    """Gone at the end. Refused where this host allows no namespaces."""
    try:
        fd = namespace.unnamed()
    except OcicatError as error:
        raise Refused(
            f"no place to check the copy in: {error.message}", hint="run it as root, or --no-verify"
        ) from error
    try:
        with RouteSocket(fd) as inside:
            inside.request(link.change("lo", up=True))
        with _folder() as folder:
            made = Scratch(Path(folder), fd)
            try:
                yield made
            finally:
                made.stop()
    finally:
        os.close(fd)
