"""Run inside a machine of `machine_bed`, whose time of day it sets: the clock goes wrong, is found wrong, is put right.

The peer is a network namespace with a server that keeps the right time by the clock since the boot, which nobody can set. Prints
what it sees, a line for each, and ends with status 1 at the first that is not so.
"""

import json
import os
import re
import subprocess
import sys
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from ocicat.netlink import namespace

OCICAT = Path(sys.executable).with_name("ocicat")
PEER = ("--role", "agent", "--peer", "h2=172.31.9.12")
HOSTS = "127.0.0.1 localhost\n172.31.9.11 machine.cluster.example machine\n172.31.9.12 h2.cluster.example h2\n"
LINKS = """
ip netns add h2; ip link add eth0 type veth peer name eth0 netns h2
ip addr add 172.31.9.11/24 dev eth0; ip link set eth0 up; ip route add default via 172.31.9.12
ip -n h2 addr add 172.31.9.12/24 dev eth0; ip -n h2 link set eth0 up; ip -n h2 link set lo up
"""
NEAR_S = 3.0  # a Date says whole seconds, and an emulated processor is slow


def main():
    if not Path("/etc/machine/serve.py").exists():
        return "this sets the clock, and is for a machine of machine_bed only"
    Path("/etc/hosts").write_text(HOSTS)
    subprocess.run(["bash", "-ec", LINKS], check=True)
    start_server()
    shows("the clock is right: nothing is found", skew() is None)
    for wrong_s in (-5000.0, 40.0):
        time.clock_settime(time.CLOCK_REALTIME, time.time() + wrong_s)
        found = skew()
        shows(f"{wrong_s:+.0f} s: found: {found}", tells(found, wrong_s))
        said = ocicat("prepare", *PEER)
        shows("prepare says how to have it put there, and leaves it", "give --set-clock" in said and is_off(wrong_s))
        said = ocicat("prepare", *PEER, "--set-clock")
        way = "forward" if wrong_s < 0 else "back"
        shows(f"prepare --set-clock: {line_of(said, 'the clock is put')}", f"the clock is put {way} by" in said)
        shows("and does not say that nothing changed", "nothing to change" not in said)
        shows(f"the clock is right again: {off_s():+.1f} s", is_off(0.0))
        shows("nothing is found", skew() is None)
    said = ocicat("undo")
    shows(f"undo leaves the clock where it is: {off_s():+.1f} s", is_off(0.0))
    return None


def start_server():
    """In the peer's network; the sockets of a server stay where they were made."""
    with namespace.inside(namespace_of("h2")):
        server = ThreadingHTTPServer(("", 5051), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def namespace_of(name):
    return os.open(f"/run/netns/{name}", os.O_RDONLY)


BOOT_AT = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response_only(200)
        self.send_header("Date", formatdate(true_time(), usegmt=True))
        self.send_header("Content-Length", "0")
        self.end_headers()


def true_time():
    return BOOT_AT + time.clock_gettime(time.CLOCK_BOOTTIME)


def off_s():
    return time.time() - true_time()


def is_off(seconds):
    return abs(off_s() - seconds) < NEAR_S


def skew():
    """What the check says of the clock; None when nothing."""
    found = json.loads(ocicat("check", "-o", "json", *PEER, out_only=True) or "[]")
    return next((one["problem"] for one in found if one["about"] == "clock"), None)


def ocicat(*words, out_only=False):
    done = subprocess.run(
        [OCICAT, "host", *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    return done.stdout if out_only else done.stdout + done.stderr


def tells(problem, wrong_s):
    said = re.search(r"clock is ([\d.]+) s (behind|ahead of)", problem or "")
    way = "behind" if wrong_s < 0 else "ahead of"
    return said and abs(float(said[1]) - abs(wrong_s)) < NEAR_S and said[2] == way


def line_of(said, piece):
    return next((line for line in said.splitlines() if piece in line), said[-300:])


def shows(what, so):
    print(what if so else f"NOT SO: {what}", flush=True)
    if not so:
        sys.exit(1)


if __name__ == "__main__":
    sys.exit(main())
