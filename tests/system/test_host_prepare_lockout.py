"""Nobody is locked out by `ocicat host prepare`: a real ssh session lives on, and without a confirmation all goes back,
also when the session has died; killed with SIGKILL before any of its steps, it is completed or undone."""

import json
import os
import pty
import subprocess
import sys

import aside_packages
import pytest
from bare_host import bare_hosts, wait_for
from prepare_bed import NFT

pytestmark = [pytest.mark.system, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

# Whoever is connected already stays so; nobody gets in anew.
CLOSED = NFT.replace("\t\ttcp dport 22 accept\n", "")
KEY = "/srv/key"
OPTIONS = (
    "StrictHostKeyChecking=no",
    "UserKnownHostsFile=/dev/null",
    "LogLevel=ERROR",
    "ConnectTimeout=30",
    "BatchMode=yes",
    "ServerAliveInterval=15",
)
SSH = f"ssh -i {KEY} {' '.join(f'-o {option}' for option in OPTIONS)}"

# Plans once; then carries it out in children, the n-th of which dies before its n-th step.
KILLED = """
import json, os, signal, subprocess, sys
from pathlib import Path
from ocicat.changes.files import Tree
from ocicat.host import prepare, roles
from ocicat.host.changing import kernel, reloads, texts
from ocicat.host.changing.find import finder
from ocicat.host.firewall import live
from ocicat.host.preparing import everything

left = -1

def step(function):
    def counted(*arguments, **more):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return function(*arguments, **more)
    return counted

Tree.put = step(Tree.put)
for kind in (live.NftRules, kernel.Sysctl, texts.RuleLines, texts.Switched):
    kind.write = step(kind.write)
reloads.run = step(reloads.run)

tree = Tree(Path("/"), prepare.OWNER)
asked = roles.Asked(roles=("agent",), peers=roles.parse_peers([sys.argv[1]], ("agent",)))
plan = everything.plan(tree, asked, everything.Options()).planned
assert plan.items and plan.wishes

def state():
    rules = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
    forward = Path("/proc/sys/net/ipv4/ip_forward").read_text()
    files = sorted(str(path) for place in ("/etc", "/var/lib") for path in Path(place).rglob("*ocicat*"))
    return [rules, forward, files, Path("/etc/hosts").read_text(), Path("/etc/nftables.conf").read_text()]

def child(number, work):
    global left
    pid = os.fork()
    if pid == 0:
        left = number
        work(tree, finder(tree))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def apply(tree, find):
    prepare.apply(tree, find, plan)

before = state()
child(-1, apply)
prepared = state()
child(-1, prepare.undo)
wrong, steps = [], 0
while child(steps, apply) == -signal.SIGKILL:
    if steps % 2 and (child(-1, apply) or state() != prepared):
        wrong.append(["completed", steps])
    if child(-1, prepare.undo) or state() != before:
        wrong.append(["undone", steps])
    steps += 1
backward = 0
while child(backward, prepare.undo) == -signal.SIGKILL:
    backward += 1
if state() != before:
    wrong.append(["undone after being killed while undoing", backward])
print(json.dumps({"steps": steps, "backward": backward, "wrong": wrong, "changed": before != prepared}))
"""


@pytest.fixture(scope="module")
def bed():
    """From h2 root may come to h1 by ssh."""
    with bare_hosts("h1", "h2", systemd=True, known=False, binds=(str(aside_packages.fetch()),)) as bed:
        host, peer = bed["h1"], bed["h2"]
        aside_packages.unpack(host)
        peer.run(f"ssh-keygen -q -t ed25519 -N '' -f {KEY}")
        host.run("umask 77; mkdir -p ~root/.ssh; cat >~root/.ssh/authorized_keys", given=peer.read(f"{KEY}.pub"))
        host.run("ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key; systemctl enable --now ssh")
        yield bed


@pytest.fixture
def host(bed):
    """h1, whose firewall knows its connections, and lets ssh in."""
    host = bed["h1"]
    host.write("/etc/nftables.conf", NFT, 0o755)
    host.run("nft -f /etc/nftables.conf")
    yield host
    host.run("ocicat host undo", check=False)
    host.run("nft flush ruleset")


def close(host):
    host.write("/etc/nftables.conf", CLOSED, 0o755)
    host.run("systemctl enable nftables; nft -f /etc/nftables.conf")
    host.mark()
    return host.run("nft list ruleset").out


class Session:
    """A shell on h1, over ssh from h2."""

    def __init__(self, host):
        line = host.bed["h2"].enter("sh", "-c", f"exec {SSH} root@{host.address} bash 2>&1")
        self.client = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.says("echo here") == "here\n"

    def says(self, command):
        """All that it prints, up to its end."""
        self.client.stdin.write(f"{command} 2>&1; echo; echo the end\n")
        self.client.stdin.flush()
        said = ""
        while not said.endswith("\nthe end\n"):
            line = self.client.stdout.readline()
            assert line, f"the session ended: {said}"
            said += line
        return said.removesuffix("\nthe end\n")

    def die(self):
        self.client.kill()
        self.client.communicate()


def test_the_session_stays_and_is_the_way_in_again(host):
    session = Session(host)
    try:
        rules = close(host)
        peer = host.bed["h2"]
        said = session.says(f"ocicat host prepare --role agent --peer h2={peer.address}")
        assert f"the ssh session from {peer.address} at port 22 stays open" in said
        assert "ocicat host confirm` within 60 s" in said
        assert session.says("echo still here") == "still here\n"
        confirmed = peer.run(f"{SSH} root@{host.address} ocicat host confirm", check=False)
        assert (confirmed.status, confirmed.err) == (0, "ocicat: confirmed\n")
        assert f"ip saddr {peer.address} tcp dport {{ 22, 5051 }} accept" in host.run("nft list ruleset").out
        assert "nothing waits" in host.run("ocicat host confirm", check=False).err
        host.run("ocicat host undo")
        assert (host.changed(), host.run("nft list ruleset").out) == ({}, rules)
    finally:
        session.die()


def test_a_session_that_dies_unconfirmed_takes_everything_back(host):
    session = Session(host)
    rules = close(host)
    forward = host.sysctls()["ipv4/ip_forward"]
    said = session.says(f"ocicat host prepare --role agent --peer h2={host.bed['h2'].address} --confirm 20")
    session.die()
    assert "within 20 s" in said
    assert "5051" in host.run("nft list ruleset").out
    wait_for(lambda: "5051" not in host.run("nft list ruleset").out, "the rules to go")
    wait_for(lambda: not host.changed(), "the files to go")
    assert host.run("nft list ruleset").out == rules
    assert host.sysctls()["ipv4/ip_forward"] == forward
    assert "nothing to change" in host.run("ocicat host undo").err


@pytest.mark.parametrize("pressed", [True, False])
def test_on_a_terminal_enter_confirms(host, pressed):
    """Somebody at the console, who asks for it himself: no session is seen."""
    close(host)
    peer = host.bed["h2"]
    mine, its = pty.openpty()
    line = host.enter(
        "ocicat",
        "host",
        "prepare",
        "--role",
        "agent",
        "--peer",
        f"h2={peer.address}",
        "--confirm",
        "60" if pressed else "5",
    )
    with subprocess.Popen(line, stdin=its, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as program:
        said = ""
        while "press Enter" not in said:
            said += program.stderr.readline()
        if pressed:
            os.write(mine, b"\n")
        said += program.stderr.read()
    os.close(mine)
    os.close(its)
    assert (program.returncode, "ocicat: confirmed\n" in said) == ((0, True) if pressed else (1, False))
    assert bool(host.changed()) is pressed
    assert ("taken back" in said.partition("press Enter")[2].partition("\n")[2]) is not pressed


def test_killed_before_any_step_it_is_completed_or_undone(host):
    close(host)
    host.write("/srv/killed.py", KILLED)
    host.mark()
    found = json.loads(host.run([sys.executable, "/srv/killed.py", f"h2={host.bed['h2'].address}"]).out)
    assert found["wrong"] == []
    assert found["changed"]
    assert found["steps"] >= 10
    assert found["backward"] >= 5
    assert host.changed() == {}
