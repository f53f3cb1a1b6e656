"""The DNS server as a part of the agent."""

from __future__ import annotations

from ocicat.agent.config import AgentConfig
from ocicat.agent.discovery.service import Service
from ocicat.mesos.credential import read as read_credential
from ocicat.model.net import parse_interface


def started(config: AgentConfig) -> Service | None:
    """None: no names are served here. UserError, Refused."""
    if config.dns is None:
        return None
    nets = [parse_interface(text)[1] for text in (config.address, config.address6) if text]
    credential = read_credential(config.mesos_credential) if config.mesos_credential else None
    service = Service(config.dns, nets, config.agent_ports, credential)
    service.start()
    return service
