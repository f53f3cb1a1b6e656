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
from ocicat.mesos.setup import flags, networks, places, plan
from ocicat.mesos.setup.flags import Setting
from ocicat.mesos.setup.networks import Network
from ocicat.mesos.setup.version import Version
from ocicat.model.base import Struct, field
from ocicat.model.codec import decode_json, encode_json

MESOS_PORT = 5051
TOLD = "whatever starts the Mesos agent"
_TOLD_OTHERWISE = frozenset({"modules", "default_container_info"})  # not in the words in which they were given
_VARIABLES = {  # that stand for options of the ocicat agent
    "host": "OCICAT_HOST",
    "address": "OCICAT_ADDRESS",
    "mesos-agent": "OCICAT_MESOS_AGENT",
    "mesos-credential": "OCICAT_MESOS_CREDENTIAL",
}
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
            if "agent" in words and words[words.index("agent") - 1].rpartition("/")[2] == "ocicat":
                environment = tree.text(f"/proc/{pid}/environ").split("\0")
                return _own(words[words.index("agent") + 1 :], environment, default_socket)
    return None


def _own(words: list[str], environment: list[str], default_socket: str) -> Own:
    """Options go before variables, as for the agent itself."""
    variables = dict(pair.partition("=")[::2] for pair in environment)
    given = {name: text for name, variable in _VARIABLES.items() if (text := variables.get(variable, ""))}
    given |= flags.of_command(_joined(words))
    ports = [int(word.partition("=")[2]) for word in _joined(words) if word.startswith("--agent-port=")]
    return Own(
        host=given.get("host", ""),
        ports=tuple(ports) or (MESOS_PORT,),
        socket=given.get("socket", default_socket),
        asks=_asks(given, (*ports, MESOS_PORT)[0]),
        credential=given.get("mesos-credential", ""),
    )


def _asks(given: dict[str, str], port: int) -> Endpoint | None:
    text = given.get("mesos-agent", "") or f"{given.get('address', '').partition('/')[0]}:{port}"
    try:
        return None if text == "off" else parse_endpoint(text.removeprefix("http://").rstrip("/"), MESOS_PORT)
    except UserError:
        return None


def _joined(words: list[str]) -> list[str]:
    """`--host h1` as `--host=h1`: every option of the agent has a value."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1].startswith("--") and "=" not in joined[-1]:
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


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
