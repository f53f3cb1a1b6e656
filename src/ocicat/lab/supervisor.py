"""`python -m ocicat.lab.supervisor DIRECTORY`: starts a lab's processes, keeps them running, and stops them.

Promises: processes start in the order of the list and stop in the reverse order, on SIGTERM; what is known about them is in
`state.json` before anything else happens.
Must not: end because a process does; do anything but processes (`up` makes and `down` removes the rest).

It runs inside the fabric's namespace, which it does not need for itself: whoever cleans up finds every process of the lab, this one
too, by the namespaces they are in.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from ocicat.clock import Clock, SystemClock
from ocicat.errors import OcicatError
from ocicat.lab import state
from ocicat.lab.control import Answer, Request
from ocicat.lab.state import SUPERVISOR, State
from ocicat.model.base import replace
from ocicat.model.codec import decode_json, encode_json
from ocicat.obs import logs
from ocicat.supervise import proc
from ocicat.supervise.keeper import Keeper, Run

log = logging.getLogger(__name__)


class Supervisor:
    """Of the lab described by `known`; the one writer of its state from now on."""

    def __init__(self, known: State, clock: Clock) -> None:
        self._state = replace(known, supervisor=Run(SUPERVISOR, identity=proc.myself(), since=clock.now()))
        self._keepers = {spec.name: Keeper(spec, self._note, clock) for spec in known.processes}
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Until SIGTERM or SIGINT."""
        state.save(self._state)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        for keeper in self._keepers.values():
            await keeper.start()
        server = await asyncio.start_unix_server(self._serve, self._state.spec.control_socket)
        async with server:
            await self._stop.wait()
        for keeper in reversed(self._keepers.values()):
            await keeper.stop()
        log.info("stopped")

    def _note(self, run: Run) -> None:
        others = {known.name: known for known in self._state.runs}
        self._state = replace(self._state, runs=tuple({**others, run.name: run}.values()))
        try:
            state.save(self._state)
        except OSError as error:  # a full disk must not end the supervision
            log.error("the state cannot be saved: %s", error)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answer = await self._answer(await reader.readline())
            writer.write(encode_json(answer) + b"\n")
            await writer.drain()
        except ConnectionError:
            log.info("somebody asked, and did not wait for the answer")
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> Answer:
        try:
            request = decode_json(Request, line, what="request")
        except OcicatError as error:
            return Answer(error=str(error))
        keeper = self._keepers.get(request.process)
        if keeper is None:
            return Answer(error=f"the lab has no process {request.process}")
        log.info("asked to %s %s%s", request.action, request.process, " by SIGKILL" if request.kill else "")
        match request.action:
            case "start":
                await keeper.start()
            case "stop":
                await keeper.stop()
            case "restart":
                await keeper.restart(kill=request.kill)
        return Answer()


def main(directory: Path) -> None:
    """Supervise the lab in that directory until told to stop."""
    logs.set_up()
    os.umask(0o022)  # containers run as any user, and read what is written here

    async def supervise() -> None:
        await Supervisor(state.load(directory), SystemClock()).run()

    asyncio.run(supervise())


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except OcicatError as error:
        sys.exit(f"supervisor: {error}")
