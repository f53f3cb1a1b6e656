"""The deb on a minimal Debian: what it brings, what the agent and the plugin in it do, and its whole life up to the last file."""

import gzip
import json
import os
import re
import shlex
import signal
from contextlib import contextmanager
from pathlib import Path

import debian_root
import pytest
from bare_host import bare_hosts, child_of, wait_for
from packages_bed import ROOT, built

from ocicat import __version__
from ocicat.cli.main import COMMANDS

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(debian_root.missing()), reason=debian_root.missing()),
]

NEXT = "99.0"
OWN = ("/var/lib/dpkg", "/var/log", "/var/cache")  # of dpkg and its triggers
PLUGIN = "/opt/ocicat/plugins/ocicat"
CONFIG = "/etc/ocicat/ocicat.toml"
POOL = "10.65.0.0/24"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A Debian with what the package depends on, and little else."""
    folder = tmp_path_factory.mktemp("root")
    debian_root.unpack(folder)
    return folder


@pytest.fixture(scope="module")
def host(root):
    """Where the package has been installed, and nothing been done with it."""
    with installed(root) as host:
        yield host


@contextmanager
def installed(root):
    deb = built().deb
    with bare_hosts("h1", root=root, ocicat=False, binds=(deb.parent,)) as bed:
        bed["h1"].said = bed["h1"].run(["dpkg", "-i", str(deb)])
        yield bed["h1"]


def files_of(host):
    return set(host.run("dpkg -L ocicat").out.split())


def test_what_it_needs_is_an_interpreter_and_nft(host):
    assert host.run("dpkg-query -W -f '${Depends}' ocicat").out == "python3.11, nftables"
    assert host.run("ocicat --version").out == f"ocicat, version {__version__}\n"


def test_nothing_is_on_the_host_but_what_is_in_the_package(host):
    assert set(host.changed(ignore=OWN)) - files_of(host) == set()
    assert host.run("dpkg --verify ocicat").out == ""


def test_it_brings_no_tool_that_only_builders_need(host):
    names = {Path(path).name for path in files_of(host)}
    assert names & {"pip", "pip3", "uv", "activate", "gcc", "cc", "direct_url.json"} == set()
    assert not [name for name in names if name.endswith((".pyx", ".o", ".a"))]


def test_nothing_in_it_tells_where_it_was_made(host):
    files = [path for path in host.path("/opt/ocicat").rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(files) > 1000
    traces = (str(ROOT).encode(), b"ocicat-build-", f"{built().directory.parent}/".encode())
    assert [str(path) for path in files if any(trace in path.read_bytes() for trace in traces)] == []


def test_every_module_is_compiled_already(host):
    modules = {path for path in files_of(host) if path.endswith(".py")}
    compiled = {
        re.sub(r"__pycache__/(.*)\.cpython-\d+\.pyc$", r"\1.py", path)
        for path in files_of(host)
        if path.endswith(".pyc")
    }
    assert len(modules) > 300
    assert modules - compiled == set()
    host.mark()
    host.run("ocicat get pools --help")
    assert host.changed(ignore=()) == {}  # valid as they are: the interpreter writes none anew


def test_installing_starts_nothing_and_says_what_to_do(host):
    assert CONFIG in host.said.out
    assert "systemctl enable --now ocicat-agent" in host.said.out
    assert ours(host) == []
    assert not host.path("/run/ocicat").exists()


def ours(host):
    """The command lines of all that runs from the package."""
    lines = host.run("for each in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$each; echo; done", check=False).out
    return [line for line in lines.splitlines() if "/opt/ocicat/" in line]


def test_the_configuration_is_the_operators(host):
    assert host.run("dpkg-query -W -f '${Conffiles}' ocicat").out.split()[0] == CONFIG
    assert host.run(f"stat -c %a {CONFIG}").out == "640\n"


def manual(host, name):
    return gzip.decompress(host.path(f"/usr/share/man/man{name[-1]}/{name}.gz").read_bytes()).decode()


def test_every_command_has_a_manual_page(host):
    for name in COMMANDS:
        page = manual(host, f"ocicat-{name}.1")
        assert page.startswith(f'.TH "OCICAT-{name.upper()}" 1 ')
        assert ".SH SYNOPSIS" in page
    assert ".SH EXAMPLES\n.nf\n  ocicat agent\n  ocicat agent \\-\\-host" in manual(host, "ocicat-agent.1")
    assert "Variable: OCICAT_STORE." in manual(host, "ocicat-get.1")
    assert all(f"ocicat\\-{name}(1)" in manual(host, "ocicat.1") for name in COMMANDS)


def test_the_settings_have_one_too(host):
    page = manual(host, "ocicat.toml.5").replace("\\-", "-").replace("\\&", "")
    shipped = host.read(CONFIG).replace("\\", "\\e").splitlines()
    assert len(shipped) > 50
    assert [line for line in shipped if line not in page.splitlines()] == []


@pytest.mark.parametrize(("typed", "offered"), [("ocicat ag", {"agent"}), ("ocicat agent --mt", {"--mtu"})])
def test_bash_completes(host, typed, offered):
    words = " ".join(map(shlex.quote, typed.split()))
    script = f"""source /usr/share/bash-completion/completions/ocicat
COMP_WORDS=({words}); COMP_CWORD={len(typed.split()) - 1}; COMPREPLY=()
_ocicat_completion ocicat; printf '%s\\n' "${{COMPREPLY[@]}}\""""
    assert set(host.run(script).out.split()) == offered


def test_the_other_shells_have_theirs(host):
    assert host.read("/usr/share/zsh/vendor-completions/_ocicat").startswith("#compdef ocicat")
    assert "complete --no-files --command ocicat" in host.read("/usr/share/fish/vendor_completions.d/ocicat.fish")


def test_the_licence_and_what_else_is_in_it(host):
    assert "Apache License" in host.read("/usr/share/doc/ocicat/copyright")
    contained = dict(line.split() for line in host.read("/usr/share/doc/ocicat/contains.txt").splitlines())
    assert contained["ocicat"] == __version__
    assert {"click", "grpcio", "kazoo", "msgspec", "protobuf", "pyyaml"} <= contained.keys()


def test_the_plugin_for_old_mesos_runs_with_the_interpreter_of_the_package(host):
    assert host.read("/opt/ocicat/plugins/ocicat-netmodules").startswith("#!/usr/bin/python3.11 ")
    refused = host.run("head -c 1100000 /dev/zero | /opt/ocicat/plugins/ocicat-netmodules", check=False)
    assert json.loads(refused.out) == {"error": "the request is larger than 1 MiB"}


def test_the_environment_may_be_moved(host):
    host.run("cp -a /opt/ocicat/venv /tmp/moved")
    assert host.run("/tmp/moved/bin/ocicat --version").out == f"ocicat, version {__version__}\n"
    assert host.run("/tmp/moved/bin/python -c 'import ocicat; print(ocicat.__file__)'").out.startswith("/tmp/moved/")


# --- its life ---------------------------------------------------------------------------------------------------


class Agent:
    """Of the package, in the foreground of nothing."""

    def __init__(self, host):
        self.log = host.path("/var/log/agent.log")
        self.log.write_text("")
        self.process = host.spawn("ocicat agent", log="/var/log/agent.log")
        wait_for(lambda: self.process.poll() is not None or "ready: host" in self.log.read_text(), "the agent")
        assert self.process.poll() is None, self.log.read_text()

    def stop(self):
        os.kill(child_of(self.process.pid), signal.SIGTERM)  # what was spawned only waits for it
        assert self.process.wait(30) == 0, self.log.read_text()


def configure(host):
    """As an operator would: a comment sign less, and a value."""
    host.write(CONFIG, f'[host]\nname = "{host.name}"\naddress = "{host.address}/24"\n', mode=0o640)


def add(host, name):
    """A container, by the packaged plugin: its address."""
    host.run(f"ip netns add {name}")
    asked = {"name": "net1", "type": "ocicat", "cniVersion": "0.2.0"}
    environment = {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": name,
        "CNI_NETNS": f"/run/netns/{name}",
        "CNI_IFNAME": "eth0",
    }
    found = host.run([PLUGIN], given=json.dumps(asked), **environment)
    return json.loads(found.out)["ip4"]["ip"].partition("/")[0]


def reaches(host, name, address):
    line = f"ip netns exec {name} python3 -c 'import socket; socket.create_connection((\"{address}\", 80), 10)'"
    return host.run(line, check=False).status == 0


@contextmanager
def listening(host, name):
    """That container, at port 80."""
    process = host.spawn(f"ip netns exec {name} python3 -m http.server 80")
    try:
        yield
    finally:
        process.kill()
        process.wait()


def test_from_the_first_installation_to_the_last_file(root):
    old, new = built().deb, built(NEXT).deb
    with bare_hosts("h1", root=root, ocicat=False, binds=(old.parent, new.parent)) as bed:
        host = bed["h1"]
        host.run(["dpkg", "-i", str(old)])
        configure(host)
        host.run(f"ocicat store init && ocicat pool add tasks {POOL}")
        agent = Agent(host)
        assert ours(host)
        one, two = add(host, "c1"), add(host, "c2")
        assert one != two
        with listening(host, "c2"):
            wait_for(lambda: reaches(host, "c1", two), "the first container to reach the second")
            upgrade(host, agent, new)
            assert reaches(host, "c1", two)
            agent = Agent(host)  # of the new version, on what the old one left
            assert reaches(host, "c1", two)
            assert host.run("ip netns exec c1 ip -4 -o address show eth0").out.split()[3].startswith(one)
            agent.stop()
            host.run("dpkg -r ocicat")
            assert reaches(host, "c1", two)  # containers that run keep their network, and their policy
        assert set(host.run("nft list tables").out.splitlines()) == {"table inet ocicat", "table netdev ocicat"}
        assert files_left(host) <= {CONFIG, *(f"/var/lib/ocicat/store.db{end}" for end in ("", "-wal", "-shm"))}
        host.run("dpkg -P ocicat")
        assert host.changed(ignore=OWN) == {}
        assert not host.path("/run/ocicat").exists()


def upgrade(host, agent, new):
    said = host.run(["dpkg", "-i", str(new)])
    assert "the agent is not started" not in said.out  # said once, when it was new
    assert host.run("ocicat --version").out == f"ocicat, version {NEXT}\n"
    assert f'name = "{host.name}"' in host.read(CONFIG)
    agent.stop()


def files_left(host):
    return {path for path in host.changed(ignore=OWN) if not host.path(path).is_dir()}


def test_purging_keeps_the_records_of_what_was_changed_on_the_host(root):
    with installed(root) as host:
        host.write("/var/lib/ocicat/mesos-install.json", "{}")
        host.write("/var/lib/ocicat/store.db", "")
        host.write("/etc/ocicat/ca/ca.key", "secret")
        removed = host.run("dpkg -P ocicat")
        assert "ocicat mesos uninstall" in removed.err
        assert files_left(host) == {"/var/lib/ocicat/mesos-install.json", "/etc/ocicat/ca/ca.key"}
        assert "kept /var/lib/ocicat" in removed.err


STATE = {"/var/lib/ocicat/store.db", "/run/ocicat/agent.sock", "/run/ocicat/agent.sock.lock"}


def test_what_an_agent_still_needs_is_not_purged_and_one_that_native_keeps_ends_with_the_package(root):
    with installed(root) as host:
        configure(host)
        host.run(f"ocicat store init && ocicat pool add tasks {POOL}")
        agent = Agent(host)  # the package knows nothing of it, as of one in a container
        purged = host.run("dpkg -P ocicat")
        assert "an agent still runs on this host" in purged.err
        assert agent.process.poll() is None
        assert {path for path in STATE if host.path(path).exists()} == STATE
        agent.stop()

        host.run(["dpkg", "-i", str(built().deb)])
        configure(host)
        host.run("ocicat node start --with native")
        assert len(ours(host)) == 2  # its supervisor, and the agent
        removed = host.run("dpkg -r ocicat")
        assert "stop the agent and its supervisor" in removed.err
        assert ours(host) == []
        assert host.path("/var/lib/ocicat/store.db").exists()
        host.run("dpkg -P ocicat")
        assert host.changed(ignore=OWN) == {}
        assert not host.path("/run/ocicat").exists()
        assert not host.path("/var/log/ocicat").exists()
