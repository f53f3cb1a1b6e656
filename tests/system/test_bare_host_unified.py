"""Bare hosts where the machine has control groups of version 2 alone, as Debian starts, or with only the freezer beside them."""

import os

import bare_host
import pytest

pytestmark = [pytest.mark.system, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def seen(line):
    """As if the machine had no more hierarchies than those of these lines."""
    original = "kinds=$(cut -d: -f2 /proc/self/cgroup)"
    assert original in bare_host.FIRST_PROCESS
    return bare_host.FIRST_PROCESS.replace(original, f"kinds=$(grep -E '{line}' /proc/self/cgroup | cut -d: -f2)")


@pytest.mark.parametrize(("line", "mounted"), [("::", ""), ("::|:freezer:", "freezer")], ids=["alone", "freezer"])
def test_systemd_takes_what_there_is(line, mounted, monkeypatch):
    monkeypatch.setattr(bare_host, "FIRST_PROCESS", seen(line))
    with bare_host.bare_hosts("h1", systemd=True, ocicat=False) as bed:
        host = bed["h1"]
        assert host.run("stat -f -c %T /sys/fs/cgroup").out == "cgroup2fs\n"
        kinds = host.run("findmnt --noheadings --output TARGET --types cgroup", check=False).out.split()
        assert kinds == ([f"/sys/fs/cgroup/{mounted}"] if mounted else [])
        host.run("systemd-run --wait --quiet true")
