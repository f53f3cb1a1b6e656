"""A member waits for a majority, says who is missing, and within a bound; it goes on waiting when nobody waits for it any more."""

import os
import shutil
import socket
import subprocess
import sys
import time

import pytest
from services_bed import Bed, wait_for

from ocicat.netlink import namespace

LONG = pytest.mark.skipif("OCICAT_LONG" not in os.environ, reason="it takes minutes: make test-long")
pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(not shutil.which("etcd"), reason="etcd-server is not installed"),
]

UNDEMANDED = """
from ocicat.cli.services_options import Patience, await_all
from ocicat.services import setup
await_all([setup.load("etcd")], Patience(1.0), print)
"""


@pytest.fixture
def bed(tmp_path):
    bed = Bed(3)
    try:
        yield bed
    finally:
        bed.close()


def begin(host, log, *arguments):
    """A command of ours that goes on while the test does."""
    with log.open("wb") as output:
        line = [*host.enter(), sys.executable, "-m", "ocicat", "services", *arguments]
        return subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=output, stderr=output)


def test_the_first_waits_for_the_second_and_names_who_is_missing(bed, tmp_path):
    one, two, three = bed.hosts
    up = ("up", "etcd", "--members", bed.members)
    log = tmp_path / "log"
    first = begin(one, log, *up)
    short = "etcd h1 runs, and waits for a majority of its members: run the same command on h2, h3 (1 of 3 run, 2 are needed)"
    wait_for(lambda: short in log.read_text(), "the first to say who is missing")
    assert first.poll() is None
    two.do("services", *up)
    assert first.wait(60) == 0
    assert "etcd h1 serves" in log.read_text()
    assert log.read_text().splitlines()[-1].startswith("etcd://10.0.0.1:2379,")
    three.do("services", *up)
    one.do("services", "health", "--wait", "60")

    for host in (two, three):
        host.do("services", "stop", "etcd", "--force")
    one.do("services", "stop", "etcd", "--force")
    began = time.monotonic()
    late = one.ocicat("services", "start", "etcd", "--wait", "3")
    assert late.status == 4
    assert "no majority within 3 s" in late.err
    assert "run the same command on h2, h3" in late.err
    assert time.monotonic() - began > 3
    assert one.status("etcd")["state"] == "running"
    assert one.ocicat("services", "health", "--wait", "1").status == 1
    assert one.run(sys.executable, "-c", UNDEMANDED).status == 0
    two.do("services", "start", "etcd", "--wait", "60")
    assert "serves" in one.do("services", "start", "etcd", "--wait", "60").err


@LONG
def test_a_majority_that_comes_at_the_end_has_time_to_elect_a_leader(bed, tmp_path):
    one, two, _ = bed.hosts
    log = tmp_path / "log"
    first = begin(one, log, "up", "etcd", "--members", bed.members, "--wait", "12")
    wait_for(lambda: "(1 of 3 run, 2 are needed)" in log.read_text(), "the first to say who is missing")
    with namespace.inside(two.fd):
        mute = socket.create_server((two.address, 2380))  # it is there, and never votes
    began = time.monotonic()
    with mute:
        assert first.wait(90) == 1
    assert "etcd does not serve within 12 s, nor 15 s after a majority came: " in log.read_text()
    assert time.monotonic() - began > 15


def test_who_breaks_it_off_is_told_what_is_still_open(bed, tmp_path):
    one, log = bed.hosts[0], tmp_path / "log"
    first = begin(one, log, "up", "etcd", "--members", bed.members, "--auth")
    wait_for(lambda: "(1 of 3 run, 2 are needed)" in log.read_text(), "the first to say who is missing")
    one.run("kill", "-INT", one.run("pgrep", "--oldest", "-f", "ocicat services up").out.strip())
    assert first.wait(60) != 0
    assert "etcd h1: --auth is not in force yet, unless it was before" in log.read_text()
    assert one.status("etcd")["state"] == "running"


def test_one_that_crashes_leaves_the_other_neither_open_nor_unsaid(bed):
    one = bed.hosts[0]
    (one.root / "opt/crash").write_text("#!/bin/sh\nexit 3\n")
    (one.root / "opt/crash").chmod(0o755)
    one.refused("services", "up", "zookeeper", "--program", "/opt/crash", "--user", "etcd", "--auth")
    done = one.ocicat("services", "up", "zookeeper", "etcd", "--auth")  # what was not said again stays
    assert done.status == 1, done
    assert "zookeeper does not stay up: ended with status 3" in done.err
    assert "zookeeper h1: --auth is not in force yet" in done.err
    assert "etcd h1: users and passwords are asked for from now on" in done.err
    assert "etcd h1: --auth" not in done.err
    assert "etcd://127.0.0.1:2379?user=ocicat" in done.out
    stranger = one.run("sh", "-c", "ETCDCTL_API=3 etcdctl put /calico/x y")
    assert stranger.status != 0
    assert "user name is empty" in stranger.err


def test_two_ways_to_wait_are_one_too_many(bed):
    assert "give one of them" in bed.hosts[0].refused("services", "up", "etcd", "--wait", "1", "--no-wait")
