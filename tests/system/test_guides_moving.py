"""The page on moving: its commands, as they are written, on hosts of the shapes that Calico 2, DC/OS and net-modules leave."""

import json
import os
from pathlib import Path

import mesos_package
import packages_bed
import pytest
from bare_host import HOME, bare_hosts
from doc_runner import play

from ocicat.lab.lab import silent
from ocicat.lab.mesos import library

LONG = pytest.mark.skipif("OCICAT_LONG" not in os.environ, reason="it takes minutes: make test-long")
pytestmark = [pytest.mark.system, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guide-moving.md"
ADDRESS, MASTER = "10.0.0.11", "10.0.0.11:5050"
SETTINGS = f'[host]\nname = "h1"\naddress = "{ADDRESS}/24"\n[mesos]\nmaster = "{MASTER}"\n'
DIRECTORIES = "MESOS_NETWORK_CNI_PLUGINS_DIR={}\nMESOS_NETWORK_CNI_CONFIG_DIR={}\n"
PLUGIN = "#!/bin/sh\nexit 1\n"
PLUGINS, NETWORKS = "/var/lib/mesos/cni/plugins", "/var/lib/mesos/cni/config"
CALICO = {
    "name": "calico",
    "type": "calico",
    "ipam": {"type": "calico-ipam"},
    "etcd_endpoints": "http://10.0.0.11:2379",
}
LEFT_BY_CALICO = """
ip link add cali1a2b3c type veth peer name other; ip link set cali1a2b3c up; ip route add 192.168.5.1 dev cali1a2b3c proto 80
iptables-legacy -N cali-FORWARD; iptables-legacy -A FORWARD -j cali-FORWARD; iptables-legacy -A cali-FORWARD -i cali+ -j ACCEPT
iptables-legacy -A INPUT -s 192.0.2.1 -j DROP
"""


def host(shaped):
    """One, of this shape, with our package installed and set up, and a Mesos master."""
    library.ensure(library.default_cache(), silent)
    package = packages_bed.built().deb

    def given(host):
        return {f"{HOME}/{package.name}": package} | shaped(mesos_package.files(host, masters=MASTER))

    return bare_hosts("h1", systemd=True, subnet="10.0.0", domain="example.com", ocicat=False, given=given)


def begin(h1, *services):
    h1.run(f"apt-get install -y {HOME}/ocicat_*.deb")
    h1.write("/etc/ocicat/ocicat.toml", SETTINGS, mode=0o640)
    if services:
        h1.run(f"systemctl enable --now {' '.join(services)}")


def test_from_calico_2():
    def shaped(files):
        files["/etc/default/mesos-agent"] += DIRECTORIES.format(PLUGINS, NETWORKS)
        return files | {f"{PLUGINS}/calico": PLUGIN, f"{NETWORKS}/calico.conf": json.dumps(CALICO)}

    with host(shaped) as bed:
        h1 = bed["h1"]
        begin(h1, "mesos-master", "mesos-agent")
        h1.run(LEFT_BY_CALICO)
        refused = h1.run("ocicat mesos install --network calico", check=False)
        assert (refused.status, h1.run(f"ls {PLUGINS} {NETWORKS} | grep -c ocicat", check=False).out) == (1, "0\n")
        play(bed, PAGE, section="From Calico 2 on Mesos")
        rules = h1.rules()
        assert "cali" not in rules
        assert "-A INPUT -s 192.0.2.1/32 -j DROP" in rules  # the operator's own
        assert json.loads(h1.read(f"{NETWORKS}/calico.conf"))["type"] == "ocicat"
        assert "webserver" in h1.run("ocicat get globalnetworkpolicies").out
        h1.run("ocicat host undo")
        assert "-A cali-FORWARD -i cali+ -j ACCEPT" in h1.rules()


@LONG
def test_from_the_overlay_of_dcos():
    """The real Mesos, started by a service and with directories as those of DC/OS are."""
    plugins, networks, variables = (
        f"/opt/mesosphere/{path}" for path in ("active/cni", "etc/dcos/network/cni", "etc/mesos-slave-common")
    )
    overlay = {"name": "dcos", "type": "mesos-cni-port-mapper", "delegate": {"type": "bridge", "bridge": "m-dcos"}}

    def shaped(files):
        unit = files.pop("/usr/lib/systemd/system/mesos-agent.service")
        program = "/opt/mesosphere/bin/mesos-agent"
        unit = unit.replace("/usr/sbin/mesos-agent", program).replace("/etc/default/mesos-agent", variables)
        files[program] = files.pop("/usr/sbin/mesos-agent")
        files[variables] = files.pop("/etc/default/mesos-agent") + DIRECTORIES.format(plugins, networks)
        files["/usr/lib/systemd/system/dcos-mesos-slave.service"] = unit
        return files | {f"{plugins}/mesos-cni-port-mapper": PLUGIN, f"{networks}/dcos.conf": json.dumps(overlay)}

    with host(shaped) as bed:
        h1 = bed["h1"]
        begin(h1, "mesos-master", "dcos-mesos-slave")
        h1.run("ocicat store init --pool default=10.65.0.0/16")
        play(bed, PAGE, section="From the overlay of DC/OS")
        assert json.loads(h1.read(f"{networks}/dcos.conf")) == overlay


@LONG
def test_from_the_network_isolator_module():
    """Mesos 0.28 itself there is none for today's systems: its program only says its version."""
    modules = {"libraries": [{"file": "/opt/net-modules/libmesos_network_isolator.so", "modules": []}]}
    flags = "MESOS_MASTER=10.0.0.11:5050\nMESOS_HOSTNAME=h1\nMESOS_MODULES=/calico/modules.json\n"

    def shaped(files):
        unit = files["/usr/lib/systemd/system/mesos-agent.service"].replace("mesos-agent", "mesos-slave")
        return {
            "/usr/sbin/mesos-slave": "#!/bin/sh\necho mesos 0.28.2\n",
            "/usr/lib/systemd/system/mesos-slave.service": unit,
            "/etc/default/mesos-slave": flags,
            "/calico/modules.json": json.dumps(modules),
            "/opt/net-modules/libmesos_network_isolator.so": "",
        }

    with host(shaped) as bed:
        h1 = bed["h1"]
        begin(h1)
        h1.run("ocicat store init --pool default=10.65.0.0/16")
        play(bed, PAGE, section="From the network isolator module")
        written = json.loads(h1.read("/etc/ocicat/modules.json"))
        assert written["libraries"][0]["file"] == "/opt/net-modules/libmesos_network_isolator.so"
        assert "MESOS_MODULES='file:///etc/ocicat/modules.json'" in h1.read("/etc/default/mesos-slave")
        h1.run("ocicat mesos uninstall")
        assert h1.read("/etc/default/mesos-slave") == flags.replace("MESOS_MODULES=/calico/modules.json\n", "")
