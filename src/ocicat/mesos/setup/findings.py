"""What is wrong with a host, what it breaks, and how to mend it. Pure: from facts to findings.

1. A host that `ocicat mesos install` has set up, with the agents running, has none.
2. Each finding names one thing to do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from itertools import chain

from ocicat.changes.finding import Finding
from ocicat.errors import UserError
from ocicat.mesos.masters import Endpoint
from ocicat.mesos.netmodules.modules import HOOK, ISOLATOR
from ocicat.mesos.setup.facts import Facts, Names, mesos_port, value
from ocicat.mesos.setup.networks import twice
from ocicat.mesos.setup.plan import foreign_isolator
from ocicat.model.base import Struct
from ocicat.model.codec import decode_json

INSTALL = "`ocicat mesos install`"
PATIENCE_S = 60.0  # the plugin waits 45 s for an ocicat agent that restarts, and the executor has yet to start

_DURATION = re.compile(r"([0-9.]+)(ns|us|ms|secs|mins|hrs|days|weeks)")
_SECONDS = {
    "ns": 1e-9,
    "us": 1e-6,
    "ms": 1e-3,
    "secs": 1.0,
    "mins": 60.0,
    "hrs": 3600.0,
    "days": 86400.0,
    "weeks": 604800.0,
}
# Of the running agent; it tells others in other words than they were given.
_COMPARED = ("network_cni_plugins_dir", "network_cni_config_dir", "isolation", "hooks")


Check = Callable[[Facts, Names], Iterator[Finding]]


def findings(facts: Facts, names: Names) -> list[Finding]:
    """The gravest first."""
    checks = _PLUGIN_CHECKS if facts.version.runs_plugins else _MODULE_CHECKS
    return list(chain.from_iterable(check(facts, names) for check in (*checks, *_CHECKS)))


def _directories(facts: Facts, _: Names) -> Iterator[Finding]:
    for flag in ("network_cni_plugins_dir", "network_cni_config_dir"):
        if not value(facts.settings, flag):
            yield Finding("flag", f"the Mesos agent gets no --{flag}", "no task can join a network", f"run {INSTALL}")
    for path in facts.absent:
        yield Finding("directory", f"{path} is configured and is not there", "Mesos does not start", f"run {INSTALL}")


def _isolation(facts: Facts, _: Names) -> Iterator[Finding]:
    if other := foreign_isolator(value(facts.settings, "isolation")):
        yield Finding(
            "isolation",
            f"the Mesos agent's isolation names {other} and not network/cni",
            "no task can join a network",
            f"put network/cni in its place, in {facts.settings['isolation'].path}",
        )
    if value(facts.settings, "launcher") == "posix":
        yield Finding(
            "launcher",
            "the Mesos agent's launcher is posix",
            "a container cannot have a network of its own",
            f"set launcher to linux in {facts.settings['launcher'].path}",
        )
    containerizers = value(facts.settings, "containerizers") or "mesos"
    if "mesos" not in containerizers.split(","):
        yield Finding(
            "containerizers",
            f"the Mesos agent's containerizers are {containerizers}",
            "the Docker containerizer never asks a plugin",
            f"add mesos in {facts.settings['containerizers'].path}",
        )


def _networks(facts: Facts, names: Names) -> Iterator[Finding]:
    for one in facts.networks:
        if one.problem:
            yield Finding("network", f"{one.path}: {one.problem}", "Mesos passes over it", "mend or remove the file")
    for one in twice(facts.networks):
        yield Finding(
            "network", f"{one.path}: another file has the name {one.name}", "Mesos passes over it", "remove one"
        )
    mine = [one for one in facts.networks if one.type == names.plugin and not one.problem]
    if not mine and not facts.absent:
        yield Finding("network", "no network has type ocicat", "no task gets an address of ocicat", f"run {INSTALL}")
    for one in mine:
        if not one.shows_addresses:
            yield Finding(
                "cni-version",
                f"{one.path} asks for results of version {one.version}",
                "Mesos finds no address in them: statuses have none, and Mesos-DNS gives the host's",
                'write "cniVersion": "0.2.0"',
            )


def _plugin(facts: Facts, names: Names) -> Iterator[Finding]:
    plugins = value(facts.settings, "network_cni_plugins_dir")
    if plugins and names.plugin not in facts.programs:
        yield Finding(
            "plugin",
            f"no program {names.plugin} in {plugins}",
            "Mesos passes over the networks of ocicat",
            f"run {INSTALL}",
        )


def _persist(facts: Facts, _: Names) -> Iterator[Finding]:
    if facts.version.keeps_networks and value(facts.settings, "network_cni_root_dir_persist") != "true":
        yield Finding(
            "root-dir-persist",
            "the Mesos agent gets no --network_cni_root_dir_persist",
            "after a reboot of the host it detaches no container: addresses come back only when ocicat misses the interface",
            "set it to true while no task runs on the host: tasks that run would be forgotten",
        )


def _default_network(facts: Facts, _: Names) -> Iterator[Finding]:
    text = value(facts.settings, "default_container_info")
    if not text:
        return
    path = facts.settings["default_container_info"].path
    try:
        named = _default_names(text)
    except UserError as error:
        yield Finding("default-network", f"{path}: {error.message}", "Mesos does not start", "mend it")
        return
    for name in named - {one.name for one in facts.networks if not one.problem}:
        yield Finding(
            "default-network",
            f"{path}: there is no network {name}",
            "every task without a container of its own fails",
            "run `ocicat mesos install --default-network NAME` with one that is there",
        )


def _default_names(text: str) -> set[str]:
    return {one.name for one in decode_json(_Container, text, what="default_container_info").network_infos if one.name}


class _Info(Struct, frozen=True):
    name: str = ""


class _Container(Struct, frozen=True):
    network_infos: tuple[_Info, ...] = ()


def _module(facts: Facts, names: Names) -> Iterator[Finding]:
    for flag, name in (("isolation", ISOLATOR), ("hooks", HOOK)):
        if name not in value(facts.settings, flag).split(","):
            yield Finding(flag, f"--{flag} does not name {name}", "tasks get no address", f"run {INSTALL}")
    if facts.module is None:
        if facts.running and facts.running.settings.get("modules"):
            return  # given in a place that we do not read
        yield Finding("modules", "the Mesos agent gets no --modules", "it does not know the isolator", f"run {INSTALL}")
        return
    if not all(name in facts.module.text for name in (ISOLATOR, HOOK, names.module_plugin)):
        yield Finding(
            "modules",
            f"{facts.settings['modules'].path}: the modules are not those of ocicat",
            "tasks get no address of ocicat",
            "take them from `ocicat mesos modules-json`",
        )
    for path in facts.module.absent:
        yield Finding(
            "modules", f"there is no {path}", "Mesos does not start, or the module is silently idle", "install it"
        )


def _timeout(facts: Facts, _: Names) -> Iterator[Finding]:
    text = value(facts.settings, "executor_registration_timeout") or "1mins"
    found = _DURATION.fullmatch(text)
    if found and float(found[1]) * _SECONDS[found[2]] < PATIENCE_S:
        yield Finding(
            "registration-timeout",
            f"executor_registration_timeout is {text}",
            "a task that starts while the ocicat agent restarts is given up, though it would get its address",
            f"set it to 1mins or more in {facts.settings['executor_registration_timeout'].path}",
        )


def _hostname(facts: Facts, _: Names) -> Iterator[Finding]:
    name = (facts.running.hostname if facts.running else "") or value(facts.settings, "hostname")
    if facts.own and facts.own.host and name and name != facts.own.host:
        yield Finding(
            "hostname",
            f"Mesos calls this host {name}, the ocicat agent calls it {facts.own.host}",
            "nobody can tell which endpoints belong to which Mesos agent",
            f"start the ocicat agent with --host {name}",
        )
    if not name and not facts.resolves:
        yield Finding(
            "hostname",
            "this host's own name does not resolve",
            "Mesos does not start",
            "set the Mesos agent's hostname, or put the name into /etc/hosts",
        )


def _port(facts: Facts, _: Names) -> Iterator[Finding]:
    port = mesos_port(facts.settings)
    if facts.own and port not in facts.own.ports:
        given = ", ".join(map(str, facts.own.ports))
        yield Finding(
            "port",
            f"the Mesos agent listens on port {port}, the ocicat agent lets containers reach {given}",
            "no executor can register: every task fails with `Executor terminated`",
            f"start the ocicat agent with --agent-port {port}",
        )


def _identity(facts: Facts, _: Names) -> Iterator[Finding]:
    if facts.own is None or facts.own.asks is None or mesos_port(facts.settings) not in facts.own.ports:
        return
    asked, port, address = facts.own.asks, mesos_port(facts.settings), value(facts.settings, "ip")
    elsewhere = address not in ("", "0.0.0.0", "::", asked.host) and _is_address(asked.host)
    if asked.port != port or elsewhere:
        listens = Endpoint(address or asked.host, port)
        yield Finding(
            "identity",
            f"the ocicat agent asks the Mesos agent at {asked} who lives in its containers, which listens on {listens}",
            "endpoints get no labels of Mesos, and policy that selects on them does not see their tasks",
            f"start the ocicat agent with --mesos-agent {listens}",
        )
    elif value(facts.settings, "authenticate_http_readwrite") == "true" and not facts.own.credential:
        yield Finding(
            "identity",
            "the Mesos agent wants to know who asks, and the ocicat agent has no credential",
            "endpoints get no labels of Mesos, and policy that selects on them does not see their tasks",
            "start the ocicat agent with --mesos-credential FILE",
        )


def _is_address(text: str) -> bool:
    """Of a name it is not known here what it means."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _agents(facts: Facts, _: Names) -> Iterator[Finding]:
    if facts.own is None:
        yield Finding(
            "ocicat-agent",
            "no ocicat agent runs on this host",
            "every task on a network of ocicat fails",
            "start `ocicat agent`",
        )
    elif facts.own.socket != facts.link:
        yield Finding(
            "socket",
            f"the plugin asks {facts.link}, the ocicat agent listens on {facts.own.socket}",
            "every task on a network of ocicat fails",
            f"run `ocicat mesos install --socket {facts.own.socket}`",
        )
    if facts.running is None:
        return
    for name in _COMPARED:
        now, wanted = facts.running.settings.get(name, ""), value(facts.settings, name)
        if wanted and now != wanted:
            yield Finding(
                "restart",
                f"the running Mesos agent has --{name}={now}, its configuration says {wanted}",
                "what was configured is not in force",
                "restart the Mesos agent",
            )


_PLUGIN_CHECKS: tuple[Check, ...] = (_directories, _isolation, _plugin, _networks, _default_network, _persist)
_MODULE_CHECKS: tuple[Check, ...] = (_module,)
_CHECKS: tuple[Check, ...] = (_agents, _port, _hostname, _identity, _timeout)
