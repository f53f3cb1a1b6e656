"""A member waits for a majority, says who is missing, and within a bound; it goes on waiting when nobody waits for it any more."""

import shutil
import subprocess
import sys
import time

import pytest
from services_bed import Bed, wait_for

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


def test_two_ways_to_wait_are_one_too_many(bed):
    assert "give one of them" in bed.hosts[0].refused("services", "up", "etcd", "--wait", "1", "--no-wait")
