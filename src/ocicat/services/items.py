"""The files of a service on its host: what it was told, its configuration, and what starts it. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from ocicat.changes.files import Item, State
from ocicat.model.codec import pretty_json
from ocicat.services import etcd_config, zookeeper_config
from ocicat.services.spec import CONFIGURATION, Service, description

OPEN_FILES = 65536

_BACK, _QUOTE = "\\", '"'
_PLAIN = re.compile(r"[A-Za-z0-9/._:,=+@%$-]+", re.ASCII)

_TITLES = {"etcd": "etcd, the datastore of ocicat", "zookeeper": "ZooKeeper, by which Mesos finds its masters"}
_HARDENED = (
    "NoNewPrivileges=yes",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "ProtectKernelTunables=yes",
    "ProtectKernelModules=yes",
    "ProtectControlGroups=yes",
)


def items(service: Service, user: str) -> list[Item]:
    """`user`: as a container's engine knows it, UID:GID."""
    config = etcd_config if service.service == "etcd" else zookeeper_config
    made = [
        Item(description(service.service), _file(pretty_json(service))),
        Item(config.PATH, _file(config.text(service))),
    ]
    if service.how == "systemd":
        made.append(Item(unit_path(service), _file(unit(service))))
    if service.how == "supervised":
        made.append(Item(rotation_path(service), _file(rotation(service))))
    if service.how == "docker":
        made.append(Item(compose_path(service), _file(compose(service, user))))
    return made


def argv(service: Service) -> tuple[str, ...]:
    """The server in the foreground, on this host."""
    if service.service == "etcd":
        return (service.program, "--config-file", etcd_config.PATH)
    return zookeeper_config.argv(service)


def unit_path(service: Service) -> str:
    return f"/etc/systemd/system/{service.unit}.service"


def compose_path(service: Service) -> str:
    return f"{CONFIGURATION}/{service.service}.compose.yml"


def rotation_path(service: Service) -> str:
    return f"/etc/logrotate.d/{service.unit}"


def rotation(service: Service) -> str:
    """Of a log that nobody but us writes: by copying, because who writes it keeps it open, and writes at its end."""
    rules = ("weekly", "maxsize 64M", "rotate 4", "compress", "missingok", "notifempty", "copytruncate")
    return "\n".join([f"{service.log} {{", *(f"    {rule}" for rule in rules), "}", ""])


def unit(service: Service) -> str:
    """A member of a cluster serves when a majority is there: nothing here waits for that."""
    return "\n".join(
        [
            "[Unit]",
            f"Description={_TITLES[service.service]}",
            "Documentation=https://etcd.io/docs"
            if service.service == "etcd"
            else "Documentation=https://zookeeper.apache.org",
            "Wants=network-online.target",
            "After=network-online.target",
            "StartLimitIntervalSec=0",
            "",
            "[Service]",
            "Type=exec",
            f"User={service.user}",
            f"ExecStart={' '.join(_word(one, '$') for one in argv(service))}",
            "Restart=always",
            "RestartSec=2",
            "SuccessExitStatus=143",  # what a JVM ends with when it is told to end
            f"LimitNOFILE={OPEN_FILES}",
            "OOMScoreAdjust=-500",
            f"ReadWritePaths={_word(service.data)}",
            *_HARDENED,
            "",
            "[Install]",
            "WantedBy=multi-user.target",
            "",
        ]
    )


def _word(text: str, *doubled: str) -> str:
    """One word in a unit, whatever it holds (systemd.syntax(7), systemd.service(5) "Command lines")."""
    for sign in ("%", *doubled):
        text = text.replace(sign, sign * 2)
    return text if _PLAIN.fullmatch(text) else f'"{text.replace(_BACK, _BACK * 2).replace(_QUOTE, _BACK + _QUOTE)}"'


def compose(service: Service, user: str) -> str:
    """For the compose plugin or docker-compose; `run` says the same to the engine itself."""
    lines = [
        "services:",
        f"  {service.service}:",
        f"    image: {json.dumps(service.image)}",
        f"    container_name: {service.unit}",
        "    network_mode: host",
        "    restart: always",
        f"    user: {json.dumps(user)}",
        f"    entrypoint: {json.dumps([_program(service)])}",
        f"    command: {json.dumps(list(_arguments(service)))}",
        "    stop_grace_period: 30s",
        "    environment:",
        *(f"      {name}: {json.dumps(value)}" for name, value in _environment(service)),
        "    volumes:",
        *(f"      - {json.dumps(volume)}" for volume in _volumes(service)),
    ]
    return "\n".join([*lines, ""])


def run(service: Service, user: str) -> tuple[str, ...]:
    """The arguments of docker that do what the compose file does."""
    options = ["run", "--detach", f"--name={service.unit}", "--network=host", "--restart=always", f"--user={user}"]
    options += ["--stop-timeout=30", *(f"--env={name}={value}" for name, value in _environment(service))]
    options += [f"--volume={volume}" for volume in _volumes(service)]
    return (*options, f"--entrypoint={_program(service)}", service.image, *_arguments(service))


def _program(service: Service) -> str:
    """In the PATH of the projects' own images. Their entry points are gone round: ZooKeeper's writes into /conf and /data, where
    our user may not, and started as root it changes to a user who cannot read our data."""
    return "etcd" if service.service == "etcd" else "zkServer.sh"


def _arguments(service: Service) -> Sequence[str]:
    if service.service == "etcd":
        return ("--config-file", etcd_config.PATH)
    return ("start-foreground", zookeeper_config.PATH)


def _environment(service: Service) -> list[tuple[str, str]]:
    if service.service == "etcd":
        return [("GODEBUG", "madvdontneed=1")]  # memory that is free is shown as free
    flags = " ".join(zookeeper_config.JVM)
    return [("ZK_SERVER_HEAP", str(service.heap_mb)), ("JMXDISABLE", "true"), ("SERVER_JVMFLAGS", flags)]


def _volumes(service: Service) -> list[str]:
    """Where they are on the host: one file says what is true for both."""
    config = etcd_config.PATH if service.service == "etcd" else zookeeper_config.PATH
    files = [f"{config}:{config}:ro", f"{service.data}:{service.data}"]
    return files + ([f"{service.tls_directory}:{service.tls_directory}:ro"] if service.tls else [])


def _file(text: str) -> State:
    return State("file", text.encode())
