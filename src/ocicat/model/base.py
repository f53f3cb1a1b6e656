"""The one base class of values that cross a process, a thread or the store: an immutable record.

Everything else takes `Struct`, `field` and `replace` from here, so that the library behind them is named in two modules only
(this one and `codec`).
"""

from __future__ import annotations

from msgspec import Struct, field
from msgspec.structs import replace

__all__ = ["Struct", "field", "replace"]
