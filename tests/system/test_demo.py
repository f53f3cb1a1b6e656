"""The demo ends when it is told to, however it was started and however impatient somebody is, and leaves nothing."""

import os
import signal
import subprocess
import sys

import pytest

from ocicat.lab import requirements, sweep
from ocicat.lab.sweep import Traces

pytestmark = [pytest.mark.system, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
NAME = "t-demo"
BOUND_S = 240


@pytest.fixture
def directory():
    found = requirements.default_directory(NAME)
    sweep.sweep(NAME, found)
    yield found
    sweep.sweep(NAME, found)


def test_told_to_end_in_the_background_of_a_script_it_takes_its_lab_down_whatever_else_comes(directory):
    line = ["sh", "-c", f"{sys.executable} -P -m ocicat.lab.demo --name {NAME} & wait $!"]  # with SIGINT ignored
    said = []
    with subprocess.Popen(
        line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, process_group=0
    ) as script:
        for each in script.stderr:
            said.append(each)
            if "launching" in each:
                assert sweep.traces(NAME, directory) != Traces()
                os.killpg(script.pid, signal.SIGTERM)
            if "taking the lab down" in each:
                os.killpg(script.pid, signal.SIGINT)
    assert "interrupted" in said[-1], "".join(said)
    assert sweep.traces(NAME, directory) == Traces()
