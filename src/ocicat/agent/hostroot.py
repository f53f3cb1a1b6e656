"""Where an agent in a container finds what the host calls by a path: below `host_root`, which is /proc/1/root there.

Not by mounts of the host's folders: Mesos makes the folder of its containers' namespaces a mount that shares nothing with what was
there before, so a container that was started earlier than Mesos's agent would see none of them. Through the host's first process it
sees what the host sees.

1. A link leads where it leads on the host: `/var/run` is one, to the absolute `/run`, which the kernel would look for in the
   container.
2. `/proc` is the agent's own: it must see the host's processes by their numbers anyway.
"""

from __future__ import annotations

import os

_LINKS = 40  # as many as the kernel follows in one path


def on_host(root: str, path: str) -> str:
    """The path as this agent must open it; "" is none. What cannot be read is left for whoever opens it to complain of."""
    root = root.rstrip("/")
    if not root or not path or path.startswith("/proc/"):
        return path
    done: list[str] = []
    ahead, links = _parts(path), 0
    while ahead:
        part = ahead.pop()
        if part == "..":
            del done[-1:]
            continue
        leads = _link("/".join([root, *done, part])) if links < _LINKS else ""
        if not leads:
            done.append(part)
            continue
        links += 1
        ahead += _parts(leads)
        if leads.startswith("/"):
            done.clear()
    return "/".join([root, *done])


def _parts(path: str) -> list[str]:
    """The last one first."""
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]


def _link(path: str) -> str:
    """Where it leads; "" where it is no link, or is not there."""
    try:
        return os.readlink(path)  # noqa: PTH115  a Path would drop a trailing slash, and costs more
    except OSError:
        return ""
