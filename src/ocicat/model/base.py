"""The one base class of values that cross a process, a thread or the store: an immutable record.

Everything else takes `Struct` and `field` from here, so that the library behind them is named in two modules only
(this one and `codec`).
"""

from __future__ import annotations

from msgspec import Struct, field

__all__ = ["Struct", "field"]
