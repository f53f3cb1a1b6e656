"""`python -m ocicat.host.rollback ROOT UNTIL_S`: goes back when nobody has confirmed until then. Its end is that of the run."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from ocicat.changes.files import Tree
from ocicat.host import prepare
from ocicat.host.changing.find import finder

_LOOK_S = 0.2


def main(root: str, until: str) -> None:
    tree, until_s = Tree(Path(root), prepare.OWNER), float(until)
    while (left_s := until_s - time.monotonic()) > 0:
        found = prepare.journal(tree)
        if not found or found.until_s != until_s:
            return
        time.sleep(min(left_s, _LOOK_S))
    prepare.roll_back(tree, finder(tree), until_s)


if __name__ == "__main__":
    main(*sys.argv[1:])
