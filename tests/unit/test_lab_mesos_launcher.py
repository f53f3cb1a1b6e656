"""The helper programs an agent starts: complete, without the checkout, without an environment."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ocicat.lab.mesos import launcher


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    made = tmp_path_factory.mktemp("libexec")
    for _ in range(2):  # the second time over the first
        launcher.write(made, Path("/no/such/library.so"))
    return made


def run(program, *arguments, **environment):
    done = subprocess.run([program, *arguments], env=environment, cwd="/", capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def test_the_containerizer_starts_and_names_what_it_misses(directory):
    status, err = run(directory / "mesos-containerizer", "launch")
    assert status == 1
    assert err.startswith("mesos-containerizer: /no/such/library.so: No such file")


def test_the_executor_starts_and_says_who_should_have_started_it(directory, tmp_path):
    status, _ = run(directory / "mesos-executor", "--launcher_dir=/x", MESOS_SANDBOX=str(tmp_path))
    assert status == 1
    assert "not the environment of a Mesos executor: 'MESOS_FRAMEWORK_ID'" in (tmp_path / "stderr").read_text()


def test_the_executor_refuses_what_it_does_not_do(directory, tmp_path):
    status, _ = run(directory / "mesos-executor", "--rootfs=/x", MESOS_SANDBOX=str(tmp_path))
    assert status == 1
    assert "--rootfs=/x: not supported" in (tmp_path / "stderr").read_text()


def test_every_user_can_read_it_and_nothing_temporary_stays(directory):
    files = [path for path in directory.rglob("*") if path.is_file()]
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in files)
    assert not [path.name for path in files if path.name.startswith(".")]
    assert len([path for path in files if path.suffix == ".pyc"]) == len(launcher.MODULES)
