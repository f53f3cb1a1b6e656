"""How an agent has ended, for people. Pure."""

from __future__ import annotations

from ocicat.errors import Misconfigured


def ended(status: int) -> str:
    """`status`: that of its process."""
    if status == Misconfigured.exit_code:
        return f"its settings cannot be used (status {status}): see `ocicat config check` and `ocicat node logs`"
    return f"it ended with status {status}"
