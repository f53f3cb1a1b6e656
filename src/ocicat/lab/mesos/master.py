"""`python -m ocicat.lab.mesos.master`: a Mesos master in the foreground.

Promises: the real master, alone (its own leader), its registry in memory: what it knows is gone with the process.
"""

from __future__ import annotations

from ocicat.lab.mesos import ready
from ocicat.lab.mesos.options import MASTER_ACTOR, MasterOptions, parse
from ocicat.lab.mesos.process import announce_when, library_of, run, start


def main(arguments: list[str]) -> None:
    """Run a master until it ends or a signal ends the process."""
    options = parse(MasterOptions, arguments)
    mesos = start(options, library_of(options), MASTER_ACTOR)
    mesos.launch(options.work_dir, agents=0)
    address = f"{options.ip}:{options.port}"
    announce_when(lambda: ready.master_serves(address), options, f"master {address}")
    mesos.wait(f"{MASTER_ACTOR}@{address}")


if __name__ == "__main__":
    run(main)
