"""The v3 resources of a datastore: read, listed, and changed in one transaction under all rules, whoever else writes."""

from typing import TYPE_CHECKING

from ocicat.resources.change import (
    Apply,
    Change,
    Create,
    Delete,
    Fault,
    Label,
    Outcome,
    Patch,
    PatchStyle,
    Rejected,
    Rejection,
    Remark,
    Replace,
    deletion,
    placed,
)
from ocicat.resources.client import Listing, Seen, get, listing, watch
from ocicat.resources.stored import Stored

if TYPE_CHECKING:
    from ocicat.resources.write import Author, commit, commit_each, remarks_only, validate_only
else:

    def __getattr__(name: str) -> object:
        """Who only reads does not load what writing takes: it is most of this package."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from ocicat.resources import write

        return getattr(write, name)


__all__ = [
    "Apply",
    "Author",
    "Change",
    "Create",
    "Delete",
    "Fault",
    "Label",
    "Listing",
    "Outcome",
    "Patch",
    "PatchStyle",
    "Rejected",
    "Rejection",
    "Remark",
    "Replace",
    "Seen",
    "Stored",
    "commit",
    "commit_each",
    "deletion",
    "get",
    "listing",
    "placed",
    "remarks_only",
    "validate_only",
    "watch",
]
