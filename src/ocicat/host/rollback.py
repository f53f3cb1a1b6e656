"""`python -m ocicat.host.rollback ROOT`: goes back when nobody has confirmed in time. Its end is that of the run.

It says that it waits, and is told on its standard input until when; without that it ends, and nothing has been changed.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from ocicat.changes.files import Tree
from ocicat.host import prepare, watching
from ocicat.host.changing.find import finder

_LOOK_S = 0.2


def main(root: str) -> None:
    os.chdir("/")
    sys.stdout.buffer.write(watching.READY)
    sys.stdout.buffer.flush()
    told = sys.stdin.read()
    if told:
        _wait(Tree(Path(root), prepare.OWNER), float(told))


def _wait(tree: Tree, until_s: float) -> None:
    while (left_s := until_s - time.monotonic()) > 0:
        found = prepare.journal(tree)
        if not found or found.until_s != until_s:
            return
        time.sleep(min(left_s, _LOOK_S))
    prepare.roll_back(tree, finder(tree), until_s)


if __name__ == "__main__":
    main(*sys.argv[1:])
