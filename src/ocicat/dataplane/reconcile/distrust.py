"""Chains of ours whose rules may be others than their comments say.

Rules are known by the digests in their comments, and reading back looks at nothing else. `nft replace rule` can keep the comment;
and a rule that leads to a chain still leads there when that chain has another name. Neither is done in silence: what the watchman
hears makes a chain distrusted. After reading back it is shown as one that differs, and so the next pass makes it anew.
Of what is done while nobody listens, before a start of ours, only a rename is found: when what is unused cannot be removed.

Invariants: 1. A chain is distrusted until it was loaded, or is gone. 2. One without rules never is: there is nothing to replace.
Pure.
"""

from __future__ import annotations

from collections.abc import Collection

from ocicat.dataplane.ownership import TABLE
from ocicat.dataplane.reconcile.ledger import Ledger
from ocicat.dataplane.ruleset.objects import Shape
from ocicat.model.base import replace

INET_TABLE, NETDEV_TABLE = f"inet {TABLE}", f"netdev {TABLE}"
_NOBODYS = ("",)  # a digest is never empty


class Distrust:
    """Of chains by table and name, and of all that a table has."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._chains: set[tuple[str, str]] = set()
        self._tables: set[str] = set()
        self._swept: set[tuple[str, str]] = set()  # of those tables, what was there when they were shown

    def heard(self, chains: Collection[tuple[str, str]], tables: Collection[str]) -> None:
        self._chains |= {*chains}
        self._tables |= {*tables}

    def show_chains(self) -> None:
        """After reading back: those of which it was heard differ from what is wanted."""
        self._chains = {each for each in sorted(self._chains) if self._show(each)}

    def show_tables(self) -> None:
        """Likewise all that is in the tables. These are no drift: of most of them nothing was changed."""
        for table in self._tables:
            kind = self._ledger.chains if table == INET_TABLE else self._ledger.guards
            self._swept |= {(table, name) for name in kind.all_there()}
        self._tables.clear()
        self._swept = {each for each in sorted(self._swept) if self._show(each)}

    def loaded(self, table: str, name: str) -> None:
        self._chains.discard((table, name))
        self._swept.discard((table, name))

    def _show(self, place: tuple[str, str]) -> bool:
        """Is there such a chain, with rules?"""
        table, name = place
        if table == INET_TABLE:
            shape = self._ledger.chains.there(name)
            if shape is None or not shape.marks:
                return False
            self._ledger.chains.now_there(name, Shape(shape.hook, _NOBODYS))
            return True
        guard = self._ledger.guards.there(name)
        if guard is None:
            return False
        self._ledger.guards.now_there(name, replace(guard, intact=False))
        return True
