"""What every resource has beside its specification, and what code may rely on that does not care which kind it holds. Pure."""

from __future__ import annotations

from typing import Annotated, Protocol

from ocicat.model.base import Struct
from ocicat.model.v3.fields import Form, Labels, Matches, MaxLength, Range, Time, one_of

API_VERSION = "projectcalico.org/v3"


class OwnerReference(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool = False
    block_owner_deletion: bool = False


class Metadata(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    name: Annotated[str, Form("name")]
    namespace: Annotated[str, Form("label")] = ""
    uid: str = ""
    resource_version: str = ""  # the revision that was read; the datastore itself holds it, so it is not written there
    generation: int = 0
    creation_timestamp: str | None = None
    labels: Labels = {}
    annotations: Annotated[dict[str, str], Form("annotations")] = {}
    owner_references: tuple[OwnerReference, ...] = ()
    finalizers: tuple[str, ...] = ()


class Condition(Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """One thing that a controller says about an object, as Kubernetes writes it."""

    type: Annotated[
        str, MaxLength(316), Matches(r"([a-z0-9.-]+/)?([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]", "NAME or DOMAIN/NAME")
    ]
    status: Annotated[str, one_of("True", "False", "Unknown")]
    reason: Annotated[str, MaxLength(1024), Matches(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?", "one word")]
    message: Annotated[str, MaxLength(32768)] = ""
    last_transition_time: Time | None = None
    observed_generation: Annotated[int, Range(0, 2**63 - 1)] = 0


class Resource(Protocol):
    """Any kind."""

    @property
    def kind(self) -> str: ...
    @property
    def api_version(self) -> str: ...
    @property
    def metadata(self) -> Metadata: ...
    @property
    def spec(self) -> Struct: ...
