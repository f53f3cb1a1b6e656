"""From settings to what the agent is told, and everything that is wrong with them, each with its place. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, cast

from ocicat.agent.config import AgentConfig, Live, faults
from ocicat.agent.discovery.config import DnsConfig
from ocicat.agent.discovery.config import parse as parse_dns
from ocicat.agent.docker.config import DockerConfig
from ocicat.agent.docker.config import parse as parse_docker
from ocicat.errors import UserError
from ocicat.mesos.masters import parse_masters
from ocicat.model.base import Struct, replace
from ocicat.settings.resolve import Resolved
from ocicat.settings.setting import FILE_VARIABLE, Fault
from ocicat.store.open import check_address

_SOUND = ("192.0.2.1", "192.0.2.2:5050")  # an address and a master with which nothing is wrong
_FILE = "file://"


class Made(Struct, frozen=True):
    """`config` is None when anything is wrong with the settings."""

    config: AgentConfig | None
    faults: tuple[Fault, ...] = ()


def agent_config(resolved: Resolved, path: str) -> Made:
    """`path`: the configuration file, for who has to be told where a setting may stand."""
    found = [*_missing(resolved, path), *_of_store(resolved), *_of_names(resolved), *_of_docker(resolved)]
    missing = {one.key for one in found}
    draft = _config(resolved)
    found += [_fault(resolved, key, error) for key, error in faults(draft) if key not in missing]
    if found:
        return Made(None, tuple(found))
    return Made(_whole(resolved, draft))


def live(resolved: Resolved) -> Live:
    return Live(
        felix=resolved.felix(),
        log_level=resolved.text("log.level") if resolved.is_local("log.level") else "",
        log_style=cast('Literal["text", "json"]', resolved.text("log.style")),
    )


def _config(resolved: Resolved) -> AgentConfig:
    """All but what Docker and names are about."""
    text = resolved.text
    return AgentConfig(
        host=text("host.name"),
        address=text("host.address"),
        address6=text("host.address6"),
        store=text("store.url"),
        socket=text("agent.socket"),
        agent_ports=resolved.wholes("mesos.agent_ports"),
        mtu=resolved.whole("agent.mtu"),
        add_timeout_s=resolved.number("agent.add_timeout_s"),
        resync_interval_s=resolved.number("agent.resync_interval_s"),
        flow_log=text("flows.log"),
        host_root=text("agent.host_root"),
        mesos_agent=text("mesos.agent"),
        mesos_credential=text("mesos.credential"),
        live=live(resolved),
    )


def _whole(resolved: Resolved, draft: AgentConfig) -> AgentConfig:
    return replace(draft, docker=_docker(resolved), dns=_names(resolved))


def _missing(resolved: Resolved, path: str) -> Iterator[Fault]:
    for found in resolved.found:
        setting = found.setting
        if setting.needed and not found.value:
            hint = f"{setting.option}, {setting.variable}, or {setting.name} in [{setting.section}] of {path}"
            yield Fault("", setting.key, "is not set", f"{hint} (another file: --config or {FILE_VARIABLE})")


def _of_store(resolved: Resolved) -> Iterator[Fault]:
    """Of the address alone: whether anybody answers there is another question, and may be mended without a word of ours."""
    yield from _told(resolved, "store.url", lambda: check_address(resolved.text("store.url")))


def _of_docker(resolved: Resolved) -> Iterator[Fault]:
    try:
        _docker(resolved)
    except UserError as error:
        key = "docker.engine" if error.message.startswith("--docker-engine") else "docker.plugin"
        yield _fault(resolved, key, error)


def _of_names(resolved: Resolved) -> Iterator[Fault]:
    """Each setting beside sound ones; and all together only where each is sound."""
    listen, master = resolved.texts("dns.listen"), resolved.text("mesos.master")
    alone: tuple[tuple[str, Callable[[], object]], ...] = (
        ("mesos.master", lambda: master.startswith(_FILE) or not master or parse_masters(master)),
        ("dns.listen", lambda: parse_dns(listen, _SOUND[1])),
        ("dns.zone", lambda: parse_dns(_SOUND[:1], _SOUND[1], zone=resolved.text("dns.zone"))),
        ("dns.upstream", lambda: parse_dns(_SOUND[:1], _SOUND[1], upstream=resolved.texts("dns.upstream"))),
    )
    found = [fault for key, read in alone for fault in _told(resolved, key, read)]
    said = (key for key in ("dns.listen", "dns.upstream", "dns.only") if resolved.texts(key))
    yield from found or _told(resolved, next(said, "dns.listen"), lambda: _names(resolved))


def _told(resolved: Resolved, key: str, read: Callable[[], object]) -> Iterator[Fault]:
    try:
        read()
    except UserError as error:
        yield _fault(resolved, key, error)


def _docker(resolved: Resolved) -> DockerConfig | None:
    return parse_docker(resolved.text("docker.plugin"), resolved.text("docker.engine"))


def _names(resolved: Resolved) -> DnsConfig | None:
    return parse_dns(
        resolved.texts("dns.listen"),
        resolved.text("mesos.master"),
        zone=resolved.text("dns.zone"),
        ttl_s=resolved.whole("dns.ttl_s"),
        upstream=resolved.texts("dns.upstream"),
        only=resolved.texts("dns.only"),
        rfc952=resolved.switch("dns.rfc952"),
    )


def _fault(resolved: Resolved, key: str, error: UserError) -> Fault:
    return Fault(resolved.where(key), key, error.message, error.hint)
