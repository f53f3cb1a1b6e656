"""What is unmounted and in which order; the rest of the cleanup needs a real agent (tests/system)."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocicat.errors import Refused
from ocicat.lab.mesos.cleanup import cleanup, mounts_below

MOUNTS = """\
20 1 8:1 / / rw - ext4 /dev/sda rw
30 20 8:1 /w /x/w rw shared:1 - ext4 /dev/sda rw
31 20 0:4 net:[1] /x/w/run/cni/a/ns rw - nsfs nsfs rw
32 20 0:4 net:[2] /x/w/run/cni/b\\040c/ns rw - nsfs nsfs rw
33 20 8:1 /w /x/w/run rw - ext4 /dev/sda rw
34 20 8:1 /w /x/wide rw - ext4 /dev/sda rw
35 20 8:1 /w /x/w/run rw - tmpfs tmpfs rw
"""


def test_mounts_go_the_deepest_first_and_nobody_elses():
    assert mounts_below(MOUNTS, Path("/x/w")) == [
        Path("/x/w/run/cni/b c/ns"),
        Path("/x/w/run/cni/a/ns"),
        Path("/x/w/run"),
        Path("/x/w/run"),
        Path("/x/w"),
    ]


def test_what_is_not_mounted_is_nothing_to_do():
    assert mounts_below(MOUNTS, Path("/x/none")) == []


@pytest.mark.parametrize("root", ["", "/", "..", "*", "a/b", ".hidden"])
def test_a_root_that_is_no_plain_name_is_refused(root, tmp_path):
    with pytest.raises(Refused, match="cgroup"):
        cleanup(root, tmp_path, tmp_path)


def test_a_root_that_does_not_exist_is_nothing_to_do(tmp_path):
    cleaned = cleanup("oct-no-such-root", tmp_path, tmp_path)
    assert (cleaned.killed, cleaned.unmounted, cleaned.cgroups) == (0, 0, 0)
