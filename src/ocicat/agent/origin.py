"""What the agent makes in the datastore has a uid and says since when it is there: Calico's tools change nothing that has not."""

from __future__ import annotations

from ocicat.clock import Clock
from ocicat.model.base import replace
from ocicat.model.v3.metadata import Metadata
from ocicat.resources import Author


def stamped(metadata: Metadata, clock: Clock) -> Metadata:
    """Of a new object, as every other tool stores it."""
    origin = Author(clock).origin()
    return replace(metadata, uid=origin.uid, creation_timestamp=origin.created)
