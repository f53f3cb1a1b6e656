"""What an operator's Mesos packages put on a host: programs, services that read files of variables, a ZooKeeper's address.

The programs are the real Mesos 1.11.0 (its library, from PyPI), told by MESOS_... variables as Mesos's own programs are.
"""

import sys

PROGRAM = """#!{python}
import os, sys
if "--version" in sys.argv:
    print("mesos 1.11.0")
    sys.exit(0)
given = {{name[6:].lower(): value for name, value in os.environ.items() if name.startswith("MESOS_")}}
options = ["--ip", given.pop("ip"), "--work-dir", given.pop("work_dir"), "--hostname", given.pop("hostname")]
options += {options}
flags = [word for item in given.items() for word in ("--flag", "=".join(item))]
module = "ocicat.lab.mesos.{kind}"
for name in given:
    os.environ.pop("MESOS_" + name.upper())
os.execv(sys.executable, [sys.executable, "-m", module, *options, *flags])
"""
MASTER_OPTIONS = """(["--zk", given.pop("zk"), "--quorum", given.pop("quorum")] if "zk" in given else [])"""
AGENT_OPTIONS = """["--master", given.pop("master"), "--ask", "127.0.0.1:5050", "--runtime-dir", "/run/mesos",
    "--launcher-dir", "/var/lib/mesos/helpers", "--cgroups-root", "mesos",
    "--cni-plugins-dir", given.pop("network_cni_plugins_dir", ""), "--cni-config-dir", given.pop("network_cni_config_dir", "")]"""
UNIT = """[Unit]
Description=Mesos {kind}
After=network-online.target

[Service]
EnvironmentFile=/etc/default/mesos-{kind}
ExecStart=/usr/sbin/mesos-{kind}
KillMode=process
Restart=on-failure
RestartSec=1

[Install]
WantedBy=multi-user.target
"""
MASTER = "MESOS_IP={host.address}\nMESOS_HOSTNAME={host.name}\nMESOS_WORK_DIR=/var/lib/mesos/master\n"
AGENT = "MESOS_IP={host.address}\nMESOS_HOSTNAME={host.name}\nMESOS_WORK_DIR=/var/lib/mesos/agent\n"


def files(host, *, masters, quorum=0):
    """{path: text} for a host. `masters`: IP:PORT of the one master, or zk://... of several, `quorum` of which agree."""
    zk = f"MESOS_ZK={masters}\nMESOS_QUORUM={quorum}\n" if masters.startswith("zk://") else ""
    told = {"master": MASTER.format(host=host) + zk, "agent": AGENT.format(host=host) + f"MESOS_MASTER={masters}\n"}
    found = {}
    for kind, options in (("master", MASTER_OPTIONS), ("agent", AGENT_OPTIONS)):
        found[f"/usr/sbin/mesos-{kind}"] = PROGRAM.format(python=sys.executable, kind=kind, options=options)
        found[f"/usr/lib/systemd/system/mesos-{kind}.service"] = UNIT.format(kind=kind)
        found[f"/etc/default/mesos-{kind}"] = told[kind]
    return found
