"""The one base class of values that cross a process, a thread or the store: an immutable record.

Everything else takes `Struct`, `field`, `replace` and what tells about a record's fields from here, so that the library behind
them is named in two modules only (this one and `codec`).
"""

from __future__ import annotations

from msgspec import NODEFAULT, UNSET, Struct, UnsetType, field
from msgspec.structs import FieldInfo, fields, replace

__all__ = ["NODEFAULT", "UNSET", "FieldInfo", "Struct", "UnsetType", "field", "fields", "replace"]
