"""How this host's agent is, as one record. Pure."""

from __future__ import annotations

from typing import Literal

from ocicat.agent.status import AgentStatus
from ocicat.model.base import Struct

HEAD = ("state", "kept by", "host", "version", "pid", "since", "endpoints")


class NodeStatus(Struct, frozen=True):
    """`kept_by`: `docker`, `systemd`, `native`; "" is nobody that we know. `agent` None: none serves. `problem`: "" is none."""

    state: Literal["well", "ailing", "down"]
    kept_by: str
    problem: str
    agent: AgentStatus | None


def view(kept_by: str | None, agent: AgentStatus | None, problem: str) -> NodeStatus:
    """`problem`: why there is no answer."""
    if agent is None:
        return NodeStatus("down", kept_by or "", problem, None)
    wrong = [f"{what}: {text}" for what, text in (("datastore", agent.store), ("dataplane", agent.dataplane)) if text]
    return NodeStatus("ailing" if wrong else "well", kept_by or "", "; ".join(wrong), agent)


def row(status: NodeStatus) -> tuple[str, ...]:
    agent = status.agent
    if agent is None:
        return (status.state, status.kept_by or "-", "-", "-", "-", "-", "-")
    since, count = agent.started, str(agent.endpoints)
    return (status.state, status.kept_by or "-", agent.host, agent.version, str(agent.pid), since, count)
