"""`mesos-containerizer`: what the agent runs to start a container (`launch`) and to finish its network (`network-cni-setup`).

Promises: does what the library's own subcommands do, with the caller's arguments and environment, and ends with their status.
Must not: import more than `native` needs: this program's start is part of every container's start.
"""

from __future__ import annotations

import sys

from ocicat.errors import OcicatError
from ocicat.lab.mesos.native import Mesos

_SIGPIPE = 13  # importing `signal` (with `enum`) for this would slow every container


def main(library: str, arguments: list[str]) -> int:
    """Run the subcommand with the library at `library`; the exit status."""
    try:
        mesos = Mesos(library)
        mesos.default_signal(_SIGPIPE)  # Python ignores it, and what is ignored stays so in the container
        return mesos.subcommand(arguments)
    except OcicatError as error:
        sys.stderr.write(f"mesos-containerizer: {error}\n")
        return error.exit_code
