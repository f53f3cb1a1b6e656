"""Asking this host's agent how it is, by its socket; and whether there is one at all, by its lock."""

from __future__ import annotations

import fcntl
import socket
import time
from collections.abc import Callable
from pathlib import Path

from ocicat.agent.status import PATIENCE_S, AgentStatus
from ocicat.cni import relay
from ocicat.errors import NotFound, OcicatError, Refused, Unavailable
from ocicat.model.codec import decode_json

_ANSWER_S = PATIENCE_S + 2.0
_LOOK_S = 0.1


def ask(path: Path) -> AgentStatus:
    """NotFound: no agent serves there. Unavailable: it does not answer. Refused: we may not ask."""
    request = f"{relay.PROTOCOL}={relay.STATUS}\0\0".encode()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            asking.settimeout(_ANSWER_S)
            asking.connect(str(path))
            asking.sendall(request)
            asking.shutdown(socket.SHUT_WR)
            answer = _all(asking)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NotFound(f"no agent serves {path}", hint="start it: `ocicat node start`") from error
    except PermissionError as error:
        raise Refused(f"{path}: {error.strerror}", hint="only root may ask the agent") from error
    except OSError as error:
        raise Unavailable(
            f"the agent at {path} does not answer: {error}", hint="its log says more: `ocicat node logs`"
        ) from error
    if answer[:1] != b"0":
        raise Unavailable(
            f"the agent at {path} is of a version that cannot say how it is", hint="start this version in its place"
        )
    return decode_json(AgentStatus, answer[1:], what=f"the answer of the agent at {path}")


def _all(asking: socket.socket) -> bytes:
    parts = []
    while part := asking.recv(65536):
        parts.append(part)
    return b"".join(parts)


def runs(path: Path) -> bool:
    """Does an agent that lives have this socket, be it still starting? Its lock is the same through every mount of its folder."""
    try:
        with path.with_name(path.name + ".lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    except OSError as error:
        raise Refused(f"{error.filename}: {error.strerror}", hint="run it as root") from error
    return False


def until_it_serves(path: Path, ended: Callable[[], str], patience_s: float) -> AgentStatus:
    """Its answer, as soon as it gives one. `ended`: why it never will; "" while it may. Refused."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return ask(path)
        except OcicatError as error:
            why = ended() or ("" if time.monotonic() < deadline else f"{error.message} after {patience_s:g} s")
            if why:
                raise Refused(f"the agent did not start: {why}") from error
        time.sleep(_LOOK_S)
