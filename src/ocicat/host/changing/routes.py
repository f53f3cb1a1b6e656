"""Routes of one protocol in the main table, that another program has left: taken out, and put back."""

from __future__ import annotations

from ocicat.host.firewall.programs import output


class Routes:
    """The value is what `ip` lists of them."""

    own = False

    def __init__(self, family: str, protocol: str) -> None:
        self._ip = ["ip", f"-{family}", "route"]
        self._protocol = protocol

    def read(self) -> str | None:
        listed = output([*self._ip, "show", "table", "main", "proto", self._protocol])
        return "\n".join(line.strip() for line in listed.splitlines())

    def write(self, value: str | None) -> None:
        if not value:
            output([*self._ip, "flush", "table", "main", "proto", self._protocol])
            return
        for line in value.splitlines():
            output([*self._ip, "replace", *line.split(), "proto", self._protocol])
