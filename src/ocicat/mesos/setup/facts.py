"""What is looked at to tell whether a host is fit: its files, its processes, and the Mesos agent that runs on it."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from urllib.parse import urlsplit

from ocicat.changes.files import Tree
from ocicat.errors import NotFound, OcicatError, UserError
from ocicat.mesos.http import Request, fetch
from ocicat.mesos.masters import Endpoint, parse_endpoint
from ocicat.mesos.setup import networks, places, plan
from ocicat.mesos.setup.flags import Setting
from ocicat.mesos.setup.networks import Network
from ocicat.mesos.setup.version import Version
from ocicat.model.base import Struct, field
from ocicat.model.codec import decode_json, encode_json
from ocicat.settings import layers
from ocicat.settings.arguments import Process, is_agent, started
from ocicat.settings.resolve import Resolved, resolve

MESOS_PORT = 5051
TOLD = "whatever starts the Mesos agent"
_TOLD_OTHERWISE = frozenset({"modules", "default_container_info"})  # not in the words in which they were given
_TIMEOUT_S = 5.0


class Running(Struct, frozen=True):
    """A Mesos agent, in its own words."""

    version: str = ""
    hostname: str = ""
    settings: dict[str, str] = field(default={}, name="flags")


class _VersionInfo(Struct, frozen=True):
    version: str = ""


class _Version(Struct, frozen=True):
    info: _VersionInfo = field(default=_VersionInfo(), name="version_info")


class _Flag(Struct, frozen=True):
    name: str = ""
    value: str = ""


class _Flags(Struct, frozen=True):
    flags: tuple[_Flag, ...] = ()


class _AgentInfo(Struct, frozen=True):
    hostname: str = ""


class _Agent(Struct, frozen=True):
    info: _AgentInfo = field(default=_AgentInfo(), name="agent_info")


class _Told(Struct, frozen=True):
    """An answer of the v1 operator API: one of these, by the call."""

    version: _Version = field(default=_Version(), name="get_version")
    flags: _Flags = field(default=_Flags(), name="get_flags")
    agent: _Agent = field(default=_Agent(), name="get_agent")


class Own(Struct, frozen=True):
    """What the ocicat agent of this host was started with."""

    host: str = ""
    ports: tuple[int, ...] = (MESOS_PORT,)
    socket: str = ""
    asks: Endpoint | None = None  # who lives in its containers; None: nobody, or it cannot be told
    credential: str = ""


class Module(Struct, frozen=True):
    """What `modules` loads: the text, and those of the files it names that are not there."""

    text: str
    absent: tuple[str, ...] = ()


class Facts(Struct, frozen=True, kw_only=True):
    """Of one host. None is unknown, or not there."""

    version: Version
    settings: dict[str, Setting]
    running: Running | None = None
    own: Own | None = None
    networks: list[Network] = []
    programs: frozenset[str] = frozenset()
    absent: tuple[str, ...] = ()  # configured directories
    link: str = ""  # where the plugin finds its agent, when not at the default socket
    module: Module | None = None
    resolves: bool = True  # the host's own name


class Names(Struct, frozen=True):
    """What only the rest of ocicat knows."""

    plugin: str
    module_plugin: str
    socket_link: str
    default_socket: str


def look(tree: Tree, version: Version, names: Names, running: Running | None) -> Facts:
    """Everything but the running Mesos agent, which was asked before."""
    settings = {**_told(running), **places.settings(tree, places.unit(tree))}
    plugins, configs = (value(settings, f"network_cni_{kind}_dir") for kind in ("plugins", "config"))
    own = plugins.split(":")[0] if version.runs_plugins else plan.DIRECTORY
    return Facts(
        version=version,
        settings=settings,
        running=running,
        own=ocicat_agent(tree, names.default_socket),
        networks=networks.read(tree, configs) if configs else [],
        programs=networks.programs(tree, plugins),
        absent=tuple(path for path in (*plugins.split(":"), configs) if path and not tree.is_directory(path)),
        link=_link(tree, f"{own}/{names.socket_link}") or names.default_socket,
        module=_module(tree, value(settings, "modules")),
        resolves=_resolves(),
    )


def mesos_port(settings: dict[str, Setting]) -> int:
    """Where the Mesos agent listens."""
    text = value(settings, "port")
    return int(text) if text.isdecimal() else MESOS_PORT


def _told(running: Running | None) -> dict[str, Setting]:
    """What a script of the operator's may give the agent, where no file that we read does."""
    said = running.settings.items() if running else ()
    return {name: Setting(text, TOLD, "command-line") for name, text in said if name not in _TOLD_OTHERWISE}


def value(settings: dict[str, Setting], name: str) -> str:
    found = settings.get(name)
    return found.value if found else ""


def endpoint(settings: dict[str, Setting]) -> Endpoint:
    """Where the Mesos agent of this host answers."""
    return Endpoint(value(settings, "ip") or "127.0.0.1", mesos_port(settings))


async def ask(agent: Endpoint) -> Running:
    """What a Mesos agent says of itself. Unavailable when none answers, Refused when it does not tell everybody."""
    try:
        told = [await _call(agent, call) for call in ("GET_VERSION", "GET_FLAGS", "GET_AGENT")]
    except NotFound:  # before 1.0
        return decode_json(Running, await fetch(Request(agent, "/state.json"), _TIMEOUT_S), what=str(agent))
    version, given, itself = told
    return Running(
        version.version.info.version, itself.agent.info.hostname, {one.name: one.value for one in given.flags.flags}
    )


async def _call(agent: Endpoint, call: str) -> _Told:
    answer = await fetch(Request(agent, "/api/v1", "POST", encode_json({"type": call})), _TIMEOUT_S)
    return decode_json(_Told, answer, what=f"{agent}: {call}")


def ocicat_agent(tree: Tree, default_socket: str) -> Own | None:
    """The process on this host that is one."""
    for pid in filter(str.isdigit, tree.names("/proc")):
        with suppress(OcicatError, OSError):
            words = tree.text(f"/proc/{pid}/cmdline").split("\0")
            if is_agent(words):
                environment = tree.text(f"/proc/{pid}/environ").split("\0")
                return _own(tree, Process(tuple(words), tuple(environment)), default_socket)
    return None


def _own(tree: Tree, process: Process, default_socket: str) -> Own:
    """As the agent itself reads its options, its variables and its file."""
    begun = started(process)
    said = [layers.of_options(begun.options), layers.of_variables(process.variables)]
    if tree.is_file(begun.file):
        with suppress(UserError):
            said.append(layers.of_file(tree.text(begun.file), begun.file))
    resolved = resolve(said)
    ports = resolved.wholes("mesos.agent_ports")
    return Own(
        host=resolved.text("host.name"),
        ports=ports,
        socket=resolved.text("agent.socket") if resolved.is_local("agent.socket") else default_socket,
        asks=_asks(resolved, (*ports, MESOS_PORT)[0]),
        credential=resolved.text("mesos.credential"),
    )


def _asks(resolved: Resolved, port: int) -> Endpoint | None:
    text = resolved.text("mesos.agent") or f"{resolved.text('host.address').partition('/')[0]}:{port}"
    try:
        return None if text == "off" else parse_endpoint(text.removeprefix("http://").rstrip("/"), MESOS_PORT)
    except UserError:
        return None


def _link(tree: Tree, path: str) -> str:
    found = tree.state(path)
    return os.fsdecode(found.content) if found and found.kind == "link" else ""


def _module(tree: Tree, setting: str) -> Module | None:
    if not setting:
        return None
    text = tree.text(urlsplit(setting).path) if setting.startswith(("file://", "/")) else setting
    return Module(text, tuple(path for path in _paths(text) if not tree.is_file(path)))


class _Parameter(Struct, frozen=True):
    key: str = ""
    value: str = ""


class _Module(Struct, frozen=True):
    name: str = ""
    parameters: tuple[_Parameter, ...] = ()


class _Library(Struct, frozen=True):
    file: str = ""
    modules: tuple[_Module, ...] = ()


class _Libraries(Struct, frozen=True):
    libraries: tuple[_Library, ...] = ()


def _paths(text: str) -> list[str]:
    try:
        found = decode_json(_Libraries, text)
    except UserError:
        return []
    commands = [p.value for library in found.libraries for module in library.modules for p in module.parameters]
    return [*dict.fromkeys([*(library.file for library in found.libraries if library.file), *commands])]


def _resolves() -> bool:
    try:
        socket.getaddrinfo(socket.gethostname(), None)
    except OSError:
        return False
    return True


def version_of(running: Running | None, printed: str) -> str:
    """In the order of trust. NotFound when nothing tells it."""
    found = (running.version if running else "") or printed
    if not found:
        raise NotFound("the version of Mesos cannot be found out", hint="give it: --mesos-version 1.11.0")
    return found
