"""A systemd unit of the distribution's: whether it runs, and starts at boot."""

from __future__ import annotations

from ocicat.host.firewall.programs import attempt, output

RUNS = "enabled, active"


class Unit:
    """The value is what systemctl says of both, in two words; None where there is no such unit."""

    own = False

    def __init__(self, name: str) -> None:
        self._name = name

    def read(self) -> str | None:
        found = self._shown()
        if found.get("LoadState") != "loaded":
            return None
        return f"{found.get('UnitFileState', '')}, {found.get('ActiveState', '')}"

    def write(self, value: str | None) -> None:
        """Only what differs: `systemctl enable` makes further links even where it is enabled."""
        now = self.read()
        if value is None or now is None:
            return
        old, new = now.split(", "), value.split(", ")
        if old[0] != new[0]:
            output(["systemctl", "enable" if new[0] == "enabled" else "disable", self._name])
        if old[1] != new[1]:
            output(["systemctl", "start" if new[1] == "active" else "stop", self._name])

    def _shown(self) -> dict[str, str]:
        shown = attempt(["systemctl", "show", "--property=LoadState,UnitFileState,ActiveState", self._name])
        return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
