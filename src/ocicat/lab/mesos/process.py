"""What the master's and the agent's programs have in common: how they begin, how they say they are ready, how they end.

Promises: the program stays in the foreground; SIGTERM and SIGINT end it at once, by the signal; an error that has a name is one
line on standard error and its exit code.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from ocicat.errors import OcicatError, Refused
from ocicat.lab.mesos import library, ready
from ocicat.lab.mesos.native import Mesos
from ocicat.lab.mesos.options import Options


def library_of(options: Options) -> Path:
    """The library to run: the one given, else the one in the default cache (made when it is not there)."""
    if options.library:
        return Path(options.library)
    return library.ensure(library.default_cache(), _say)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def start(options: Options, so: Path, actor: str) -> Mesos:
    """Load the library and start libprocess with the Mesos flags of these options."""
    _make_places(options)
    os.environ.update(options.environment())
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no KeyboardInterrupt: the main thread waits inside C++
    mesos = Mesos(str(so))
    mesos.initialize(actor)
    return mesos


def _make_places(options: Options) -> None:
    try:
        Path(options.work_dir).mkdir(parents=True, exist_ok=True)
        if options.ready_file:
            Path(options.ready_file).parent.mkdir(parents=True, exist_ok=True)
            Path(options.ready_file).unlink(missing_ok=True)
    except OSError as error:
        raise Refused(f"{error.filename}: {error.strerror}", hint="choose a place that can be written") from error


def announce_when(serves: Callable[[], bool], options: Options, text: str) -> None:
    """Say in the background when `serves` first holds; the program may end before that."""

    def watch() -> None:
        while not serves():
            ready.pause()
        sys.stdout.write(ready.announce(options.ready_file, text))
        sys.stdout.flush()

    threading.Thread(target=watch, daemon=True, name="ready").start()


def run(main: Callable[[list[str]], None]) -> None:
    """Run a program's main function to its end. Static destructors of C++ are skipped: actors still run."""
    try:
        main(sys.argv[1:])
    except OcicatError as error:
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        os._exit(error.exit_code)
    os._exit(0)
