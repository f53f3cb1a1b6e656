"""`python -m ocicat.supervise.daemon DIRECTORY NAME`: keeps the one process of `DIRECTORY/NAME.job` running, until SIGTERM.

Promises: what is known about it is in the state file before anything else happens; it is stopped before this ends.
Must not: end because the process does.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import sys
from pathlib import Path

from ocicat.clock import SystemClock
from ocicat.errors import OcicatError
from ocicat.supervise import detached, proc
from ocicat.supervise.detached import Job, Sight
from ocicat.supervise.keeper import Keeper, ProcessSpec, Run

log = logging.getLogger(__name__)


async def supervise(directory: Path, job: Job) -> None:
    """Until SIGTERM or SIGINT."""
    me = proc.myself()

    def note(run: Run) -> None:
        try:
            detached.save(directory, Sight(job, me, run))
        except OSError as error:  # a full disk must not end the supervision
            log.error("the state cannot be saved: %s", error)

    spec = ProcessSpec(job.name, "", detached.command(job), job.log, final=job.final)
    keeper = Keeper(spec, note, SystemClock(), grace_s=job.grace_s)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await keeper.start()
    await stop.wait()
    await keeper.stop()


def main(directory: Path, name: str) -> None:
    """Supervise, and hold the lock meanwhile."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    job = detached.job_of(directory, name)
    held = detached.claim(directory, name)
    try:
        _allow(job.open_files)
        asyncio.run(supervise(directory, job))
    finally:
        os.close(held)


def _allow(open_files: int) -> None:
    """The process inherits it. Where there cannot be as many, as many as there can."""
    if not open_files:
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, max(open_files, most)))
    except (OSError, ValueError):  # not even root may, in a container for example
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(open_files, most), most))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), sys.argv[2])
    except OcicatError as error:
        sys.exit(f"supervisor: {error}")
