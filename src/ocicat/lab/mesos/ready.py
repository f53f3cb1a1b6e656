"""When a master or an agent serves: asked of the master, over its own API.

Promises: an agent counts as ready when the master lists it as active, which is what a framework needs to get its offers.
Must not: wait without a limit of each single request (`_PATIENCE_S`).
"""

from __future__ import annotations

import http.client
import time
from pathlib import Path

from ocicat.model.base import Struct
from ocicat.model.codec import decode_json

_PATIENCE_S = 5.0
_PAUSE_S = 0.02


class _Agent(Struct, frozen=True):
    pid: str
    active: bool


class _Agents(Struct, frozen=True):
    agents: tuple[_Agent, ...] = ()


class _Reply(Struct, frozen=True):
    get_agents: _Agents = _Agents()


def master_leads(master: str) -> bool:
    """Does the master at "IP:PORT" answer as the leader?"""
    return _ask(master, "GET_MASTER")[0] == http.client.OK


def master_serves(master: str) -> bool:
    """Does it lead, or know who does?"""
    return _ask(master, "GET_MASTER")[0] in (http.client.OK, http.client.TEMPORARY_REDIRECT)


def agent_registered(master: str, pid: str) -> bool:
    """Does the master list the agent with this libprocess address ("slave(1)@IP:PORT") as active?"""
    status, reply = _ask(master, "GET_AGENTS")
    if status != http.client.OK:
        return False
    return any(agent.pid == pid and agent.active for agent in decode_json(_Reply, reply).get_agents.agents)


def announce(ready_file: str, text: str) -> str:
    """Make the ready file (when its name is given), atomically; returns the line for standard output."""
    if ready_file:
        fresh = Path(f"{ready_file}.new")
        fresh.write_text(f"{text}\n")
        fresh.rename(ready_file)
    return f"ready {text}\n"


def pause() -> None:
    """Between two questions."""
    time.sleep(_PAUSE_S)


def _ask(master: str, call: str) -> tuple[int, bytes]:
    """The status and the body of its answer; 0 where there is none."""
    connection = http.client.HTTPConnection(master, timeout=_PATIENCE_S)
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    try:
        connection.request("POST", "/api/v1", f'{{"type":"{call}"}}', headers)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()
