"""A machine with Debian 12's own kernel: what the dataplane takes is there, and two workloads are kept apart by policy.

The rest of the tests run on it by `make test-kernels`. Here only where KVM makes a machine quick; else it is said why not.
"""

from pathlib import Path

import pytest
from debian_kernel import NoKernel, kernel
from every_kernel import PROBE
from machine_bed import CHECKOUT, CommandFailed, MachineDied, _in_order, machine, missing

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def vm():
    if why := missing():
        pytest.skip(why)
    try:
        found = kernel("6.1")
    except NoKernel as error:
        pytest.skip(str(error))
    with machine(found) as vm:
        yield vm


def test_it_has_the_kernel_that_it_is_given(vm):
    assert vm.run("uname -r").out.strip() == vm.kernel.release


def test_nothing_that_the_dataplane_takes_is_missing(vm):
    vm.run(f"cd {CHECKOUT} && .venv/bin/python -c {PROBE!r}")


def test_policy_is_kept(vm):
    case = "tests/netns/test_dataplane_policy.py"
    vm.run(f"cd {CHECKOUT} && .venv/bin/python -m pytest -q -p no:cacheprovider --basetemp=/tmp/quick {case}")


def test_a_command_that_fails_or_never_ends_is_told(vm):
    assert vm.run("echo out; echo err >&2; exit 3", check=False).status == 3
    with pytest.raises(CommandFailed, match="status late"):
        vm.run("sleep 1000", timeout_s=1)
    assert vm.run(["cat"], given="after it, the next one").out == "after it, the next one"


def test_it_cannot_write_what_is_this_machines(vm):
    """It sees the file, and what it writes there is its own."""
    vm.run(f"echo changed > {CHECKOUT}/CONTRIBUTING.md")
    assert "changed\n" not in Path(CHECKOUT, "CONTRIBUTING.md").read_text()[:10]


def test_one_that_ends_is_told(vm):
    with machine(vm.kernel) as other, pytest.raises(MachineDied, match="it ended"):
        other.run("echo b > /proc/sysrq-trigger; sleep 60")


def test_modules_are_loaded_after_those_that_they_need(tmp_path):
    (tmp_path / "modules.dep").write_text("a/top.ko: a/mid-dle.ko a/low.ko\na/mid-dle.ko: a/low.ko\na/low.ko:\n")
    assert _in_order(tmp_path, ("mid_dle", "top", "built_in")) == ["a/low.ko", "a/mid-dle.ko", "a/top.ko"]


def test_without_kvm_it_is_said_why(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda program, path=None: f"/usr/bin/{program}")
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert "kvm" in missing()
    assert missing(emulated=True) == ""
    monkeypatch.setattr("shutil.which", lambda program, path=None: None)
    assert missing(emulated=True) == "qemu-system-x86_64 is not installed (Debian: qemu-system-x86)"
