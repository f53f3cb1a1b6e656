"""Which addresses an ADD asks for: by Mesos's NetworkInfo, by CNI's words, by labels, or by the network itself. Pure.

1. Whoever names addresses gets exactly these. Whoever names only families gets an address of each; whoever says nothing gets the
   network's families.
2. Mesos writes `IPv4` into an entry that says nothing, and some frameworks send one such entry with every task. One empty entry
   therefore asks for nothing in particular, or nobody could run such a framework on a network with IPv6.
3. The labels are requests under the names that Calico gives annotations of pods. They are not labels of the endpoint.

Errors: CniError (7) that names what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ocicat.cni.config import Label, NetworkConfig, NetworkInfo, WantedAddress
from ocicat.cni.spec import CniError, Code
from ocicat.errors import UserError
from ocicat.model.base import Struct
from ocicat.model.codec import decode_json
from ocicat.model.net import Addr

PREFIX = "cni.projectcalico.org/"
ADDRESSES, POOLS = "ipAddrs", {4: "ipv4pools", 6: "ipv6pools"}
_KNOWN = (ADDRESSES, *POOLS.values())

_EXAMPLE = 'for example ["a", "b"]'
_FAMILIES = {"IPv4": 4, "IPv6": 6}


class Wishes(Struct, frozen=True):
    """`addresses`: these; `families`: one of each entry, besides; `pools`: by family, where not the network's are to serve."""

    addresses: tuple[Addr, ...] = ()
    families: tuple[int, ...] = ()
    pools: dict[int, tuple[str, ...]] = {}

    @property
    def all_families(self) -> tuple[int, ...]:
        """Of each address that is asked for."""
        return (*(each.family for each in self.addresses), *self.families)


def wishes(config: NetworkConfig, info: NetworkInfo, otherwise: Iterable[str]) -> Wishes:
    """`otherwise`: addresses, with or without a prefix length, that are asked for in CNI's own ways."""
    labels = _requests(info.labels.labels)
    entries = () if _says_nothing(info.ip_addresses) else info.ip_addresses
    named = [*(_entry(each) for each in entries if each.ip_address), *map(address, labels.get(ADDRESSES, ()))]
    named += map(address, otherwise)
    families = tuple(_family(each) for each in entries if not each.ip_address)
    return Wishes(
        addresses=tuple(dict.fromkeys(named)),
        families=families if named or families else config.families,
        pools={family: labels[name] for family, name in POOLS.items() if name in labels},
    )


def is_wish(key: str) -> bool:
    """Is it a label that asks for something, or tries to?"""
    return key.startswith(PREFIX)


def address(text: str) -> Addr:
    """A prefix length behind it says nothing: containers have their address alone."""
    try:
        return Addr.parse(text.partition("/")[0])
    except UserError as error:
        raise _invalid(f"an address in the request: {error.message}") from error


def _says_nothing(entries: tuple[WantedAddress, ...]) -> bool:
    return entries == (WantedAddress(),)


def _entry(entry: WantedAddress) -> Addr:
    """IPv4 may be what Mesos put there of itself; IPv6 was said."""
    found = address(entry.ip_address)
    if _family(entry) == 6 and found.family == 4:
        raise _invalid(f"NetworkInfo.ip_addresses: {entry.ip_address} is not of protocol IPv6")
    return found


def _family(entry: WantedAddress) -> int:
    if entry.protocol not in _FAMILIES:
        hint = f"it must be one of {', '.join(_FAMILIES)}"
        raise _invalid(f"NetworkInfo.ip_addresses: protocol {entry.protocol!r}", hint)
    return _FAMILIES[entry.protocol]


def _requests(labels: Iterable[Label]) -> dict[str, tuple[str, ...]]:
    """What the labels ask for, by their names without the prefix."""
    return {name: _listed(name, text) for name, text in _wishes(labels)}


def _wishes(labels: Iterable[Label]) -> Iterator[tuple[str, str]]:
    for label in labels:
        if not is_wish(label.key):
            continue
        name = label.key.removeprefix(PREFIX)
        if name not in _KNOWN:
            raise _invalid(f"label {label.key}: there is no such request", f"there are {', '.join(_KNOWN)}")
        yield name, label.value


def _listed(name: str, text: str) -> tuple[str, ...]:
    """A list in JSON, as annotations have it; or words with commas between them."""
    try:
        listed = decode_json(tuple[str, ...], text.encode()) if text.lstrip().startswith("[") else text.split(",")
    except UserError as error:
        raise _invalid(f"label {PREFIX}{name}: {text!r} is not a list", _EXAMPLE) from error
    found = tuple(filter(None, map(str.strip, listed)))
    if not found:
        raise _invalid(f"label {PREFIX}{name}: names nothing", _EXAMPLE)
    return found


def _invalid(fault: str, hint: str = "") -> CniError:
    return CniError(Code.INVALID_CONFIGURATION, fault, hint=hint)
