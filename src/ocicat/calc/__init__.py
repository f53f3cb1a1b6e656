"""The calculation graph: from what the datastore holds to what this host's kernel should hold. Pure and synchronous.

`Graph` is all that the rest of the program needs.

The contract of every node in here:
1. It handles addition, change, deletion and *missing references*, in any order: existence is read off the value (None: gone), never
   off the kind of event.
2. Its output depends on the present state only, never on the way there.
3. It costs what the change touches, not what the cluster holds.
4. It knows its downstream neighbours only by the functions it was given; no locks, no tasks, no clock.
"""

from __future__ import annotations

from ocicat.calc.graph import Graph

__all__ = ["Graph"]
