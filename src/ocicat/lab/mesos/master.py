"""`python -m ocicat.lab.mesos.master`: a Mesos master in the foreground.

Promises: the real master. Alone it is its own leader, its registry in memory: what it knows is gone with the process. With a
ZooKeeper it stands for election, and ends when it loses the lead, as Mesos's masters do; ready when it leads or knows who does.
"""

from __future__ import annotations

from ocicat.lab.mesos import ready
from ocicat.lab.mesos.election import SESSION_S, elect
from ocicat.lab.mesos.options import MASTER_ACTOR, MasterOptions, ensemble_of, parse
from ocicat.lab.mesos.process import announce_when, library_of, run, start


def main(arguments: list[str]) -> None:
    """Run a master until it ends or a signal ends the process."""
    options = parse(MasterOptions, arguments)
    mesos = start(options, library_of(options), MASTER_ACTOR)
    if options.zk:
        elect(mesos, ensemble_of("--zk", options.zk), SESSION_S, options.quorum)
    mesos.launch(options.work_dir, agents=0)
    address = f"{options.ip}:{options.port}"
    announce_when(lambda: ready.master_serves(address), options, f"master {address}")
    mesos.wait(f"{MASTER_ACTOR}@{address}")


if __name__ == "__main__":
    run(main)
