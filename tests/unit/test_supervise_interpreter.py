"""A module that this interpreter runs is ours, whatever lies in the directory it is started from."""

import subprocess
import sys

from ocicat.lab.processes import processes
from ocicat.lab.spec import LabSpec
from ocicat.settings.arguments import is_agent
from ocicat.supervise.interpreter import module_line


def test_a_file_of_the_callers_directory_is_not_taken_for_a_module(tmp_path):
    for name in ("ocicat", "enum", "json"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('somebody else')")
    done = subprocess.run(module_line("ocicat.errors"), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_so_is_every_process_of_a_lab_started():
    spec = LabSpec(directory="/run/ocicat/lab", masters=2)
    ours = module_line("")[:-1]
    lines = {process.name: process.argv for process in processes(spec, "/mesos.so")}
    assert all(sys.executable in line for line in lines.values())
    other = [name for name, line in lines.items() if list(line[line.index(sys.executable) :][: len(ours)]) != ours]
    assert other == []
    assert is_agent(lines["agent-h1"])
