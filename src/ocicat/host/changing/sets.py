"""Sets of addresses (ipset) of another network system: taken out, and put back with all that was in them.

The value is what `ipset restore` reads; "" when there are none. They go after the rules that look in them, and come back before.
"""

from __future__ import annotations

from ocicat.host.firewall.programs import output

PROGRAM = "ipset"


class Sets:
    """Those whose names begin with `prefix`."""

    own = False

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def read(self) -> str | None:
        return "\n".join(_mine(output([PROGRAM, "save"]), self._prefix))

    def write(self, value: str | None) -> None:
        present = [line.split()[1] for line in (self.read() or "").splitlines() if line.startswith("create ")]
        # A set may be a member of another one: none can be destroyed before all are empty.
        gone = [f"{word} {name}" for word in ("flush", "destroy") for name in present]
        if text := "\n".join((*gone, *(value or "").splitlines())):
            output([PROGRAM, "restore"], f"{text}\n")


def _mine(saved: str, prefix: str) -> list[str]:
    """Elements in order: the kernel's is another after each restart of it."""
    lines = [line for line in saved.splitlines() if line.split(" ")[1].startswith(prefix)]
    made = [line for line in lines if line.startswith("create ")]
    return [*made, *sorted(line for line in lines if not line.startswith("create "))]
