"""`make test-kernels`: what stands on the kernel, run on Debian's own kernels, in machines that QEMU makes.

    python tests/kernels/every_kernel.py [--kernel 6.1] [--limit-s 3600] [-- what pytest is to run]

For each kernel: fetched by apt, booted, the tests run inside as root, the runner's closing line printed; all it said is in
`.venv/.made/kernels/NAME.log`. Status 1 when anything failed; 77 when no machine can be had here, with the reason: not passed.
Without KVM the processor is emulated, 20 to 50 times slower: then `EMULATED` is run, and bounds of tests may be too short.
"""

import argparse
import re
import sys
import time

from debian_kernel import FOLDER, PACKAGES, NoKernel, fetch, kernel
from machine_bed import CHECKOUT, CommandFailed, MachineDied, machine, missing, without_kvm

SKIPPED = 77
# Everything that asks the kernel; what is about programs that stand beside it (engines, services) is the same on each.
WHOLE = (
    *("tests/netns", "tests/agreement/test_agreement_kernel.py"),
    *(f"--ignore-glob=tests/netns/test_{part}*" for part in ("services", "docker", "lab_")),
)
EMULATED = (
    "tests/netns/test_netlink_kernel.py",
    "tests/netns/test_netlink_namespace.py",
    "tests/netns/test_dataplane_guards_kernel.py",
    "tests/netns/test_dataplane_policy.py",
)
PROBE = "import sys; from ocicat.host.probes.run import look; sys.exit(str(look(()).missing or '') or None)"


def main():
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--kernel", action="append", choices=sorted(PACKAGES), help="only this one; may be repeated")
    options.add_argument("--limit-s", type=float, default=3600.0, help="for the tests on each kernel")
    options.add_argument("--demo", action="store_true", help="the demo with the real Mesos, too")
    options.add_argument("tests", nargs="*", help="what pytest is to run inside")
    chosen = options.parse_args()
    if why := missing(emulated=True):
        print(f"skipped: no machine can be had here: {why}")
        return SKIPPED
    tests = chosen.tests or (EMULATED if without_kvm() else WHOLE)
    demo = chosen.demo or not without_kvm()
    passed = [passes(name, tests, chosen.limit_s, demo) for name in chosen.kernel or PACKAGES]
    return int(not all(passed))


def passes(name, tests, limit_s, demo):
    """Whether all did on that kernel. Says so."""
    began = time.monotonic()
    FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        fetch(name)
        with (FOLDER / f"{name}.log").open("w") as log, machine(kernel(name)) as vm:
            how = f"emulated: {why}" if (why := without_kvm()) else "KVM"
            say(vm.kernel.release, f"up after {vm.boot_s:.0f} s, {how}")
            at = f"cd {CHECKOUT} && .venv/bin/python"
            good = told(vm, log, "what the dataplane takes", f"{at} -c {PROBE!r}", limit_s)
            good &= told(vm, log, "clock", f"{at} tests/kernels/clock_inside.py", limit_s)
            run = f"{at} -m pytest -q -p no:cacheprovider --basetemp=/tmp/tests {' '.join(tests)}"
            good &= told(vm, log, "tests", run, limit_s)
            if demo:
                good &= told(vm, log, "demo", f"{at} -m ocicat.lab.demo", limit_s)
            say(vm.kernel.release, f"{'passed' if good else 'FAILED'} after {time.monotonic() - began:.0f} s")
            return good
    except (NoKernel, MachineDied) as error:
        say(name, f"FAILED: {error}")
        return False


def told(vm, log, what, command, limit_s):
    try:
        done = vm.run(command, check=False, timeout_s=limit_s, log=log)
    except CommandFailed as error:
        say(vm.kernel.release, f"{what}: not done within {limit_s:.0f} s: {str(error)[-200:]}")
        return False
    lines = [line for line in (done.out + done.err).splitlines() if line.strip()]
    for line in lines:
        if re.match(r"(FAILED|ERROR) ", line):
            print("   ", line, flush=True)
    say(vm.kernel.release, f"{what}: {lines[-1] if lines else 'nothing missing' if done.status == 0 else '?'}")
    return done.status == 0


def say(kernel_name, words):
    print(f"kernel {kernel_name}: {words}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
