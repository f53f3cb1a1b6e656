"""Hosts with a Mesos agent, as its packages and operators leave them, in a directory; and what is done to them."""

from __future__ import annotations

from ocicat.changes import record
from ocicat.changes.files import Tree
from ocicat.mesos.setup import facts, findings, places, plan
from ocicat.mesos.setup.version import Version

NAMES = facts.Names("ocicat", "ocicat-netmodules", "ocicat.sock", "/run/ocicat/agent.sock")
PLUGIN = b"\x7fELF\0a plugin"
AGENT_PROCESS = {"/proc/42/cmdline": "python\0/usr/bin/ocicat\0agent\0--host\0h1\0--address\x0010.0.0.1/24\0"}

# Mesosphere's packages of 1.x: the init wrapper, one file for each flag.
PACKAGES = {
    "/lib/systemd/system/mesos-slave.service": "[Unit]\nDescription=Mesos Slave\n\n[Service]\nRestart=always\n"
    "EnvironmentFile=-/etc/default/mesos-slave\nExecStart=/usr/bin/mesos-init-wrapper slave\n",
    "/etc/default/mesos": 'LOGS=/var/log/mesos\nULIMIT="-n 8192"\n',
    "/etc/default/mesos-slave": "MASTER=`cat /etc/mesos/zk`\n",
    "/etc/mesos/zk": "zk://localhost:2181/mesos\n",
    "/etc/mesos-slave/work_dir": "/var/lib/mesos\n",
    "/etc/mesos-slave/?switch_user": "",
    "/etc/mesos-slave/attributes/rack": "a\n",
}
# A service that takes everything from a file of variables.
VARIABLES = {
    "/etc/systemd/system/mesos-agent.service": "[Service]\nEnvironmentFile=-/etc/default/mesos-agent\n"
    "ExecStart=/usr/sbin/mesos-agent\n",
    "/etc/default/mesos-agent": 'MESOS_MASTER="zk://z1:2181/mesos"\nMESOS_PORT=5051',  # no end of line
}
# A service with its flags on the command line.
SERVICE = {
    "/etc/systemd/system/mesos-agent.service": "[Service]\nEnvironment=MESOS_HOSTNAME=h1\n"
    "ExecStart=/usr/sbin/mesos-agent --master=10.0.0.1:5050 \\\n  --work_dir=/var/lib/mesos --no-switch_user\n",
}
# No service at all: an init system of another kind, or an image.
DIRECTORY = {"/etc/mesos-slave/work_dir": "/var/lib/mesos\n", "/etc/mesos-agent/ip": "10.0.0.1\n"}
DEFAULTS = {"/etc/default/mesos-slave": "MESOS_PORT=5051\n"}
SHAPES = {
    "packages": PACKAGES,
    "variables": VARIABLES,
    "service": SERVICE,
    "directory": DIRECTORY,
    "defaults": DEFAULTS,
}


def host(root, files):
    for path, text in files.items():
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return Tree(root, "mesos install")


def asked(version=(1, 11), **more):
    given = {
        "network": "ocicat",
        "plugin_name": "ocicat" if version >= (1, 0) else "ocicat-netmodules",
        "plugin": PLUGIN,
        "cni_version": "0.2.0",
        "library": "/usr/lib64/mesos/libmesos_network_isolator.so",
        "socket_link": "ocicat.sock",
    }
    return plan.Asked(version=Version(*version), **{**given, **more})


def install(tree, version=(1, 11), **more):
    return record.install(tree, record.load(tree), plan.planned(tree, asked(version, **more)).items)


def uninstall(tree):
    return record.uninstall(tree, record.load(tree))


def settings(tree):
    return {name: one.value for name, one in places.settings(tree, places.unit(tree)).items()}


def contents(root):
    """Every file and link: text, mode."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = f"/{path.relative_to(root)}"
        if path.is_symlink():
            found[name] = ("->", str(path.readlink()))
        else:
            found[name] = ("directory" if path.is_dir() else path.read_bytes(), path.stat().st_mode)
    return found


def found(tree, version=(1, 11), running=None):
    """What is wrong, by word."""
    return findings.findings(facts.look(tree, Version(*version), NAMES, running), NAMES)


def words(tree, version=(1, 11), running=None):
    return [one.about for one in found(tree, version, running)]
