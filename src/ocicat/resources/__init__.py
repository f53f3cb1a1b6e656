"""The v3 resources of a datastore: read, listed, and changed in one transaction under all rules, whoever else writes."""

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
    Replace,
    deletion,
    placed,
)
from ocicat.resources.client import Listing, Seen, get, listing, watch
from ocicat.resources.stored import Stored
from ocicat.resources.write import Author, commit, commit_each, validate_only

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
    "Replace",
    "Seen",
    "Stored",
    "commit",
    "commit_each",
    "deletion",
    "get",
    "listing",
    "placed",
    "validate_only",
    "watch",
]
