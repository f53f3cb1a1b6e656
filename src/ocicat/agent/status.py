"""What an agent says of itself. Pure: who only asks loads nothing of the agent's."""

from __future__ import annotations

from ocicat.model.base import Struct

PATIENCE_S = 3.0  # an agent's with its datastore and its dataplane, before it says that they hang


class AgentStatus(Struct, frozen=True, kw_only=True):
    """`started`: UTC, as in `2026-01-31T12:00:00Z`. `store`, `dataplane`: what is wrong with it; "" is nothing. `endpoints`: the
    containers' interfaces that it keeps."""

    host: str
    version: str
    pid: int
    started: str
    endpoints: int
    store: str = ""
    dataplane: str = ""
