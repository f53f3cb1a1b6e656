"""What has changed in a bare host's file system: its upper directory, read from outside, against what the host was made from."""

import hashlib
import os
import stat
from pathlib import Path

GONE = ("gone",)


class Files:
    """`up`: the upper directory. `before`: the lower ones, as one."""

    def __init__(self, up, before):
        self.up, self.before = up, before
        self.marked = {}

    def mark(self):
        self.marked = self._now()

    def changed(self, ignore):
        """{path: how}, against the last `mark`."""
        now = self._now()
        kept = [
            path
            for path in self.marked.keys() | now.keys()
            if not any(f"{path}/".startswith(top + "/") for top in ignore)
        ]
        states = {
            path: [found.get(path) or self._as_given(path) for found in (self.marked, now)] for path in sorted(kept)
        }
        return {path: difference(*pair) for path, pair in states.items() if pair[0] != pair[1]}

    def _now(self):
        """{path: state} of all that is in the upper directory, and of what a directory there hides."""
        found = {}
        for folder, folders, files in os.walk(self.up):
            for path in (Path(folder, name) for name in (*folders, *files)):
                found["/" + str(path.relative_to(self.up))] = state_of(path)
            if opaque(folder):
                found |= self._hidden(Path(folder).relative_to(self.up))
        return found

    def _hidden(self, folder):
        """What was there, and is not any more, below a directory that was removed and made again."""
        below = [Path(top, name) for top, *both in os.walk(self.before / folder) for names in both for name in names]
        paths = [path.relative_to(self.before) for path in below]
        return {f"/{path}": GONE for path in paths if not os.path.lexists(self.up / path)}

    def _as_given(self, path):
        return state_of(self.before / path.lstrip("/"))


def state_of(path):
    """All that counts of a file: kind, mode, owner, content."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return GONE
    kind, owner = stat.S_IFMT(found.st_mode), (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)
    if kind == stat.S_IFCHR and found.st_rdev == 0:  # how an overlay says that a file is removed
        return GONE
    if kind == stat.S_IFLNK:
        return (kind, path.readlink())
    if kind == stat.S_IFREG:
        return (kind, *owner, hashlib.sha256(path.read_bytes()).hexdigest())
    return (kind, *owner)


def opaque(folder):
    try:
        return os.getxattr(folder, "trusted.overlay.opaque") == b"y"
    except OSError:
        return False


def difference(before, now):
    if GONE in (before, now):
        return "added" if before == GONE else "removed"
    if before[0] != now[0]:
        return "another kind"
    return "content" if before[1:4] == now[1:4] or before[0] == stat.S_IFLNK else "mode or owner"
