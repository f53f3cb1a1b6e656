"""Sets of addresses (ipset) of another network system: taken out, and put back with all that was in them.

The value is what `ipset restore` reads; "" when there are none. They go after the rules that look in them, and come back before.
None is emptied before it goes; `ipset restore` is no transaction, so what went before one that cannot go comes back.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from ocicat.errors import Refused
from ocicat.host.firewall import ipsets
from ocicat.host.firewall.programs import output, present

PROGRAM = "ipset"
_WAIT_S = 5.0  # nftables lets go of what a rule used some time after the rule has gone
_LOOK_S = 0.05


class Sets:
    """Those whose names begin with `prefix`."""

    own = False

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def read(self) -> str | None:
        """Where the program has gone, none can be seen; to put them back is what fails then."""
        return "\n".join(ipsets.of(output([PROGRAM, "save"]), self._prefix)) if present(PROGRAM) else ""

    def write(self, value: str | None) -> None:
        """Refused: one is in use. Then all are as they were."""
        if value:
            _restore(ipsets.filling(value))
            return
        before = self.read() or ""
        _wait_unused(before)
        try:
            _restore([f"destroy {name}" for name in ipsets.names(before)])
        except Refused:
            _restore(ipsets.filling(before))
            raise


def _restore(lines: Iterable[str]) -> None:
    """What is there already is no error."""
    if text := "".join(f"{line}\n" for line in lines):
        output([PROGRAM, "-exist", "restore"], text)


def _wait_unused(saved: str) -> None:
    going, members = ipsets.names(saved), [member for _, member in ipsets.memberships(saved)]
    end_s = time.monotonic() + _WAIT_S
    while going:
        held = [name for name in ipsets.used_by_others(output([PROGRAM, "list", "-terse"]), members) if name in going]
        if not held:
            return
        if time.monotonic() >= end_s:
            raise Refused(
                f"ipset {', '.join(held)}: in use by a rule, or by a list of sets",
                hint="`iptables-save` and `ipset save` tell by which: take that out first",
            )
        time.sleep(_LOOK_S)
