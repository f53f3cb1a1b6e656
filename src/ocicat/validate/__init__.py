"""Is a resource right, and if not, what is wrong with it, in lines that a person can act on. Pure.

`validate` looks at one object alone, `validate_part` at a part of one, `validate_update` at what became of it, `conflicts` and
`reasons_to_keep` at the others that the datastore holds. All give every problem, not just the first, and none of them raises for
anything that was decoded. What one field may hold is stated in `ocicat.model.v3`; rules across fields stand here, one module for
each area.
"""

from ocicat.validate.core import validate, validate_part, validate_update
from ocicat.validate.problem import Problem
from ocicat.validate.world import World, conflicts, reasons_to_keep

__all__ = ["Problem", "World", "conflicts", "reasons_to_keep", "validate", "validate_part", "validate_update"]
