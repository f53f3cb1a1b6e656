"""What a master and an agent of the lab are started with, as values that know their own command line.

Promises: `MasterOptions.argv()` and `parse` are inverse, so that whoever starts a process and the process itself cannot disagree;
`environment` gives every Mesos flag as the MESOS_* variable that Mesos reads. PURE.
Must not: repeat Mesos's own checks of flag values: Mesos ends with a message that names the flag.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from ipaddress import AddressValueError, IPv4Address
from typing import TypeVar

from ocicat.errors import UserError
from ocicat.mesos.masters import Ensemble, parse_masters
from ocicat.model.base import Struct, field
from ocicat.supervise.interpreter import module_line

AGENT_ACTOR = "slave(1)"  # libprocess's name of the one agent in a process
MASTER_ACTOR = "master"


class Options(Struct, frozen=True, kw_only=True):
    """What both have. `flags` are further Mesos flags by their own names, and win over ours."""

    ip: str
    work_dir: str
    port: int
    hostname: str = ""
    library: str = ""
    ready_file: str = ""
    flags: dict[str, str] = field(default_factory=dict)

    def argv(self) -> list[str]:
        """The command line of a process with these options, run by this interpreter."""
        line = module_line(f"ocicat.lab.mesos.{self.program()}")
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if name != "flags" and value != "":
                line += [f"--{name.replace('_', '-')}", str(value)]
        for flag, value in self.flags.items():
            line += ["--flag", f"{flag}={value}"]
        return line

    def program(self) -> str:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Every variable libprocess and Mesos read."""
        flags = {"hostname": self.hostname or self.ip, **self.own_flags(), **self.flags}
        variables = {f"MESOS_{name.upper()}": value for name, value in flags.items() if value != ""}
        return {"LIBPROCESS_IP": self.ip, "LIBPROCESS_PORT": str(self.port), **variables}

    def own_flags(self) -> Mapping[str, str]:
        raise NotImplementedError


class MasterOptions(Options, frozen=True, kw_only=True):
    """A master that stands alone, with its registry in memory; or with `zk` ("zk://IP:PORT,.../PATH") one that stands for election
    there, with a registry in which `quorum` masters agree."""

    port: int = 5050
    cluster: str = ""
    zk: str = ""
    quorum: int = 1

    def program(self) -> str:
        return "master"

    def own_flags(self) -> Mapping[str, str]:
        registry = {"registry": "replicated_log", "work_dir": self.work_dir} if self.zk else {"registry": "in_memory"}
        return {**registry, "cluster": self.cluster}


class AgentOptions(Options, frozen=True, kw_only=True):
    """An agent with the Mesos containerizer, the `linux` launcher and the isolators network/cni and filesystem/linux.

    `master` is "IP:PORT", or "zk://IP:PORT,.../PATH" and then `ask` the masters ("IP:PORT,...") that know whether the agent is
    registered. `runtime_dir` holds what must not outlive a reboot (the program puts it where Mesos looks).
    `cni_plugins_dir` is a search path; with both CNI options empty there are no CNI networks.
    `resources` and `attributes` in Mesos's own notation.
    """

    port: int = 5051
    master: str
    runtime_dir: str
    launcher_dir: str
    cgroups_root: str
    cni_plugins_dir: str = ""
    cni_config_dir: str = ""
    resources: str = "cpus:4;mem:4096;disk:10000"
    attributes: str = ""
    ask: str = ""
    recover: str = "reconnect"

    def program(self) -> str:
        return "agent"

    def own_flags(self) -> Mapping[str, str]:
        return {
            "launcher": "linux",
            "launcher_dir": self.launcher_dir,
            "containerizers": "mesos",
            "isolation": "network/cni,filesystem/linux",
            "network_cni_plugins_dir": self.cni_plugins_dir,
            "network_cni_config_dir": self.cni_config_dir,
            "fetcher_cache_dir": f"{self.work_dir}/fetch",
            "cgroups_root": self.cgroups_root,
            "resources": self.resources,
            "attributes": self.attributes,
            "recover": self.recover,
            "executor_registration_timeout": "1mins",
            "registration_backoff_factor": "100ms",  # the wait before the first try is a random part of this
            "systemd_enable_support": "false",
            # The library cannot start an agent without a master beside it. This one must never take the agent for its own.
            "registry": "in_memory",
            "authenticate_agents": "true",
        }


_NUMBERS = ("port", "quorum")

AnyOptions = TypeVar("AnyOptions", bound=Options)


def parse(kind: type[AnyOptions], arguments: list[str]) -> AnyOptions:
    """The options a command line gives. argparse prints usage and exits (2) on a wrong one; UserError on a wrong value."""
    parser = argparse.ArgumentParser(description=kind.__doc__, allow_abbrev=False)
    names = [name for name in kind.__struct_fields__ if name != "flags"]
    for name in names:
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=int if name in _NUMBERS else str, default=argparse.SUPPRESS
        )
    parser.add_argument("--flag", action="append", default=[], metavar="NAME=VALUE", help="any Mesos flag")
    given = vars(parser.parse_args(arguments))
    flags = dict(_flag(text) for text in given.pop("flag"))
    try:
        options = kind(**given, flags=flags)
    except TypeError as error:  # the Struct's own words name the missing option
        parser.error(str(error))
    _check(options)
    return options


def _flag(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise UserError(f"--flag {text}: not NAME=VALUE", hint="for example --flag agent_ping_timeout=1secs")
    return name.removeprefix("--"), value


def _check(options: Options) -> None:
    _address("--ip", options.ip)
    if isinstance(options, MasterOptions) and options.zk:
        ensemble_of("--zk", options.zk)
    if isinstance(options, AgentOptions):
        _check_agent(options)


def _check_agent(options: AgentOptions) -> None:
    if options.master.startswith("zk://"):
        ensemble_of("--master", options.master)
        if not options.ask:
            raise UserError("--master zk://... wants --ask IP:PORT,...: the masters that are elected there")
    for name, text in (("--master", options.master), ("--ask", options.ask)):
        for address in text.split(",") if text and not text.startswith("zk://") else ():
            _host_and_port(name, address)
    if bool(options.cni_plugins_dir) != bool(options.cni_config_dir):
        raise UserError("--cni-plugins-dir and --cni-config-dir belong together", hint="give both or neither")


def ensemble_of(option: str, text: str) -> Ensemble:
    """UserError for what is no ZooKeeper, or one that wants credentials, which the lab's does not."""
    found = parse_masters(text)
    if not isinstance(found, Ensemble) or found.credentials:
        raise UserError(f"{option} {found}: not zk://IP:PORT,.../PATH")
    return found


def _host_and_port(option: str, text: str) -> None:
    host, colon, port = text.rpartition(":")
    if not (colon and port.isdigit()):
        raise UserError(f"{option} {text}: not IP:PORT")
    _address(option, host)


def _address(option: str, text: str) -> None:
    try:
        IPv4Address(text)
    except AddressValueError as error:
        raise UserError(f"{option} {text}: not an IPv4 address") from error
