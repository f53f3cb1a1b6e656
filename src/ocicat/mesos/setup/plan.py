"""What a Mesos agent of a certain version needs in order to use ocicat: files and flags. Pure but for looking at the tree.

1. What the operator has chosen stays: directories of plugins and of networks that are configured are used, isolators, hooks and the
   default container's other fields are kept, and a network that is there under the name asked for is left alone.
2. No flag is given to a version that has no such flag: it would not start.
"""

from __future__ import annotations

from collections.abc import Mapping

from ocicat.changes.files import Item, State, Tree
from ocicat.errors import Refused, UserError
from ocicat.mesos.netmodules.modules import HOOK, ISOLATOR, modules
from ocicat.mesos.setup import networks, places
from ocicat.mesos.setup.flags import Setting
from ocicat.mesos.setup.version import Version
from ocicat.model.base import Struct
from ocicat.model.codec import decode_json, encode_json, pretty_json

DIRECTORY = "/opt/ocicat"
PLUGINS = f"{DIRECTORY}/cni"
CONFIGS = "/etc/ocicat/cni"
MODULES = "/etc/ocicat/modules.json"  # not in /etc/mesos-slave: every file there is taken for a flag
DEFAULT_ISOLATION = "posix/cpu,posix/mem"
REGISTRATION_TIMEOUT = "5mins"  # for the module, whose calls count against it, as its guide has it

Json = dict[str, object]


class Asked(Struct, frozen=True):
    """By the operator, and by the rest of ocicat, which has the plugins. `socket` "" is the plugin's default."""

    version: Version
    network: str
    plugin_name: str
    plugin: bytes
    cni_version: str
    library: str
    default_network: str = ""
    socket: str = ""
    socket_link: str = ""


class Planned(Struct, frozen=True):
    items: list[Item]
    place: places.Place
    remarks: list[str]


def planned(tree: Tree, asked: Asked) -> Planned:
    """Refused for a host on which it would not work, with what is in the way."""
    unit = places.unit(tree)
    place = places.place(tree, unit)
    settings = places.settings(tree, unit)
    if asked.default_network and not asked.version.has_network_info:
        raise Refused(
            f"--default-network: with Mesos {asked.version} a task cannot ask for a network, so there is no default for it",
            hint="leave it out, and give each task the label network_isolator.netgroups",
        )
    if asked.version.runs_plugins:
        files, wanted, remarks = _for_plugins(tree, asked, settings)
    else:
        files, wanted, remarks = _for_module(asked, settings)
    if asked.default_network:
        wanted["default_container_info"] = default_container(asked, settings.get("default_container_info"))
    return Planned([*files, *place.items(tree, wanted, settings)], place, remarks)


def default_container(asked: Asked, present: Setting | None) -> str:
    """For every task that says nothing of its container; one that does is left alone."""
    kept = decode_json(Json, present.value, what="default_container_info") if present else {}
    if kept.get("type", "MESOS") != "MESOS":
        raise Refused(f"default_container_info has type {kept['type']!r}", hint="only MESOS containers get networks")
    info: Json = {"name": asked.default_network}
    if not asked.version.runs_plugins:  # before there were names, to want an address was to want the module's network
        info = {"protocol": "IPv4"} if asked.version < (0, 26) else {"ip_addresses": [{}]}
    return encode_json({**kept, "type": "MESOS", "network_infos": [info]}).decode()


def _for_plugins(
    tree: Tree, asked: Asked, settings: Mapping[str, Setting]
) -> tuple[list[Item], dict[str, str], list[str]]:
    _check_isolation(settings)
    plugins = _value(settings, "network_cni_plugins_dir", PLUGINS)
    configs = _value(settings, "network_cni_config_dir", CONFIGS)
    own = plugins.split(":")[0]
    items = [Item(f"{own}/{asked.plugin_name}", State("file", asked.plugin, 0o755)), *_link(own, asked)]
    items += _network(tree, configs, asked)
    wanted = {"network_cni_plugins_dir": plugins, "network_cni_config_dir": configs}
    remarks = []
    if asked.version.keeps_networks:
        if _value(settings, "network_cni_config_dir", CONFIGS) == CONFIGS:
            wanted["network_cni_root_dir_persist"] = "true"
        elif _value(settings, "network_cni_root_dir_persist", "false") != "true":
            remarks.append(
                "network_cni_root_dir_persist is left as it is, because containers that run now would be forgotten: set it, with "
                "the host drained, so that after a reboot addresses are given back"
            )
    return items, wanted, remarks


def _for_module(asked: Asked, settings: Mapping[str, Setting]) -> tuple[list[Item], dict[str, str], list[str]]:
    file = f"file://{MODULES}"
    present = _value(settings, "modules", file)
    if present != file:
        raise Refused(
            f"{settings['modules'].path} already loads modules: {present}",
            hint="add to them what `ocicat mesos modules-json` prints, and see `ocicat mesos check`",
        )
    plugin = f"{DIRECTORY}/{asked.plugin_name}"
    items = [
        Item(plugin, State("file", asked.plugin, 0o755)),
        *_link(DIRECTORY, asked),
        Item(MODULES, State("file", pretty_json(modules(asked.library, plugin)).encode())),
    ]
    wanted = {
        "modules": file,
        "isolation": _with(_value(settings, "isolation", DEFAULT_ISOLATION), ISOLATOR),
        "hooks": _with(_value(settings, "hooks", ""), HOOK),
        "executor_registration_timeout": _value(settings, "executor_registration_timeout", REGISTRATION_TIMEOUT),
    }
    return items, wanted, []


def _check_isolation(settings: Mapping[str, Setting]) -> None:
    if other := foreign_isolator(_value(settings, "isolation", "")):
        raise Refused(
            f"{settings['isolation'].path} has the network isolator {other}",
            hint="Mesos runs one network isolator: take it out, or put network/cni in its place",
        )


def foreign_isolator(isolation: str) -> str:
    """The network isolator that keeps network/cni away; "" for none. Without any Mesos takes network/cni by itself."""
    named = [name for name in isolation.split(",") if name.startswith("network/")]
    return next((name for name in named if name != "network/cni"), "") if "network/cni" not in named else ""


def _network(tree: Tree, directory: str, asked: Asked) -> list[Item]:
    path = f"{directory}/{asked.network}.conf"
    known = {one.name: one for one in networks.read(tree, directory) if not one.problem}
    if asked.default_network not in {"", asked.network, *known}:
        raise UserError(
            f"--default-network {asked.default_network!r}: there is no such network in {directory}",
            hint=f"there are {', '.join(sorted({asked.network, *known}))}",
        )
    found = known.get(asked.network)
    if found is None:
        document = {"cniVersion": asked.cni_version, "name": asked.network, "type": asked.plugin_name}
        return [Item(path, State("file", pretty_json(document).encode()))]
    if found.type != asked.plugin_name:
        raise Refused(
            f"{found.path}: the network {asked.network} is of type {found.type}",
            hint="choose another name: --network NAME",
        )
    now = tree.state(found.path)
    return [Item(found.path, now)] if now else []


def _link(directory: str, asked: Asked) -> list[Item]:
    return [Item(f"{directory}/{asked.socket_link}", State("link", asked.socket.encode()))] if asked.socket else []


def _value(settings: Mapping[str, Setting], name: str, otherwise: str) -> str:
    found = settings.get(name)
    return found.value if found and found.value else otherwise


def _with(names: str, name: str) -> str:
    given = [one for one in names.split(",") if one]
    return ",".join([*given, *([] if name in given else [name])])
