"""The address manager's records in the form of resources: IPAMConfiguration, BlockAffinity, IPAMBlock, IPAMHandle. Pure.

The datastore keeps them under `keys.IPAM`, without metadata and partly with other field names. Only the configuration can be
written through here: the others are true only together, and the address manager alone knows how.
Source of the two forms: projectcalico/calico libcalico-go/lib/backend/{model,k8s/resources}.
"""

from __future__ import annotations

from collections.abc import Mapping

from ocicat.errors import Bug, UserError
from ocicat.model import keys
from ocicat.model.codec import encode_json
from ocicat.model.net import Cidr
from ocicat.model.v3.document import Json
from ocicat.model.v3.kinds import Kind
from ocicat.model.v3.metadata import API_VERSION

PREFIXES = {
    "BlockAffinity": keys.AFFINITIES,
    "IPAMBlock": keys.BLOCKS,
    "IPAMConfiguration": keys.IPAM_CONFIG,
    "IPAMHandle": keys.HANDLES,
}
WRITABLE = "IPAMConfiguration"
_DEFAULT = "default"

# Field of the resource -> field in the datastore, where they differ.
_CONFIG_FIELDS = {"strictAffinity": "strict_affinity", "autoAllocateBlocks": "auto_allocate_blocks"}
_CONFIG_NAMES = {stored: shown for shown, stored in _CONFIG_FIELDS.items()}


def name(kind: Kind, key: str) -> str | None:
    """What the object at `key` is called; None if there is none of the kind."""
    match kind.name:
        case "IPAMConfiguration":
            return _DEFAULT if key == keys.IPAM_CONFIG else None
        case "IPAMHandle":
            handle = key.removeprefix(keys.HANDLES)
            return handle if handle and "/" not in handle else None
        case "IPAMBlock":
            cidr = _block(key)
            return _cidr_name(cidr) if cidr else None
        case _:
            affinity = _affinity(key)
            return f"{affinity[0]}-{_cidr_name(affinity[1])}" if affinity else None


def lookup_keys(kind: Kind, name: str) -> tuple[str, ...]:
    """Where the object of that name lies; nothing if the name does not tell: in that of an affinity anything may be the host."""
    match kind.name:
        case "IPAMConfiguration":
            return (keys.IPAM_CONFIG,) if name == _DEFAULT else ()
        case "IPAMHandle":
            return (keys.handle(name),)
        case "IPAMBlock":
            cidr = _named_cidr(name)
            return (keys.block(cidr),) if cidr else ()
        case _:
            return ()


def resource_form(kind: Kind, key: str, stored: Json) -> Json:
    spec = dict(stored)
    match kind.name:
        case "IPAMConfiguration":
            # Who writes the object without a word about it means "no", as Go's zero value does.
            shown = {_CONFIG_NAMES.get(field, field): one for field, one in stored.items()}
            spec = {"autoAllocateBlocks": False} | shown
        case "IPAMHandle":
            spec["handleID"] = keys.name_of(key)
        case "BlockAffinity":
            affinity = _affinity(key)
            if affinity is None:
                raise Bug(f"{key}: is read as an affinity")
            spec |= {"node": affinity[0], "cidr": str(affinity[1])}
    return {"apiVersion": API_VERSION, "kind": kind.name, "metadata": {}, "spec": spec}


def value(kind: Kind, raw: Mapping[str, object]) -> bytes:
    """The IPAM configuration as it is stored. Fields that we have no word for stay."""
    if kind.name != WRITABLE:
        raise Bug(f"{kind.name}: is not written as a resource")
    spec = raw.get("spec")
    fields = spec.items() if isinstance(spec, dict) else ()
    return encode_json({_CONFIG_FIELDS.get(field, field): one for field, one in fields if one is not None})


def _cidr_name(cidr: Cidr) -> str:
    return str(cidr).translate(str.maketrans(".:/", "---"))


def _named_cidr(name: str) -> Cidr | None:
    address, _, length = name.rpartition("-")
    separator = "." if len(parts := address.split("-")) == 4 and all(part.isdigit() for part in parts) else ":"
    try:
        return Cidr.parse(f"{address.replace('-', separator)}/{length}")
    except UserError:
        return None


def _block(key: str) -> Cidr | None:
    try:
        return keys.block_cidr(key)
    except UserError:
        return None


def _affinity(key: str) -> tuple[str, Cidr] | None:
    try:
        return keys.affinity_parts(key)
    except UserError:
        return None
