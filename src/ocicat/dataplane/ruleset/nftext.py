"""Chains, rules and set declarations as text for one `nft -f -`, which is one transaction.

Invariants: 1. The text depends on its objects alone: the same objects give the same bytes. 2. Everything named is declared first,
so the order of chains among themselves does not matter. 3. A chain's rules are replaced as a whole. 4. No anonymous sets (they make
loading eight times slower), and no elements of interval sets. 5. Text from outside is quoted or made of checked characters. Pure.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence

from ocicat.dataplane.ownership import TABLE
from ocicat.dataplane.ruleset.objects import Chain, Counter, SetChange, SetSpec, comment_text
from ocicat.netlink import inet
from ocicat.netlink.nftset import GOTO, IFINDEX_BYTES, IFNAME_BYTES, Element, Verdict

_TABLE = f"inet {TABLE}"
_FIELD_BYTES = {
    "ifname": IFNAME_BYTES,
    "iface_index": IFINDEX_BYTES,
    "ipv4_addr": 4,
    "ipv6_addr": 16,
    "inet_proto": 1,
    "inet_service": 2,
}
_COLLECT_S = 600  # the kernel walks the whole set each time
_REGISTER_BYTES = 4  # each field of a concatenation fills whole ones
_PLAIN_NAME = re.compile(rb"[A-Za-z0-9._-]+\0+")


def transaction(
    sets: Iterable[SetSpec],
    chains: Sequence[Chain],
    changes: Iterable[SetChange] = (),
    *,
    counters: Iterable[Counter] = (),
    declared: Sequence[Chain] = (),
    moved: Sequence[str] = (),
    rebuild: bool = False,
) -> str:
    """Declares `sets`, `counters` and `chains` where they are not there yet, and gives the chains their rules, in place of any they
    have. A counter that is there goes on counting.

    `changes`: of elements that are `sayable`, and ranges to add. `declared`: chains that keep the rules they have, if any.
    First removed, in the same transaction: base chains that are `moved`; for a `rebuild`, the table with all that is in it.
    """
    parts = [table_removal()] if rebuild else [removal(moved, ())]
    declarations = (
        map(_declared_set, sets),
        map(_declared_counter, counters),
        map(_declared_chain, [*chains, *declared]),
    )
    parts.append(_table([block for blocks in declarations for block in blocks]))
    parts += [line for change in changes for line in _changed(change)]
    parts.append(emptied(chain.name for chain in chains))
    parts.append(_table([_block(f"chain {chain.name}", map(str, chain.rules)) for chain in chains if chain.rules]))
    return "".join(parts)


def sayable(spec: SetSpec, element: Element) -> bool:
    """Can this element be written here at no great cost? Not ranges, for which nft reads the whole set first; nor names and
    verdicts that we should never give."""
    named = not spec.key.startswith("ifname") or _PLAIN_NAME.fullmatch(element.key[:IFNAME_BYTES]) is not None
    leads = isinstance(element.data, Verdict) and element.data.code == GOTO
    return named and not spec.interval and (leads, isinstance(element.data, bytes)) == (spec.verdicts, bool(spec.data))


def table_removal() -> str:
    """Of the table with all that is in it, if it is there."""
    return f"table {_TABLE}\ndelete table {_TABLE}\n"


def emptied(chains: Iterable[str]) -> str:
    """Their rules go."""
    return "".join(f"flush chain {_TABLE} {name}\n" for name in chains)


def removal(chains: Sequence[str], sets: Sequence[SetSpec], counters: Sequence[str] = ()) -> str:
    """Rules first, so that no chain is in use by another one that goes too, nor a set or a counter by a chain; chains after the
    maps that lead to them."""
    lines = [f"delete {spec.kind} {_TABLE} {spec.name}\n" for spec in sets]
    lines += [f"delete chain {_TABLE} {name}\n" for name in chains]
    lines += [f"delete counter {_TABLE} {name}\n" for name in counters]
    return emptied(chains) + "".join(lines)


def _changed(change: SetChange) -> list[str]:
    said = _ranges if change.spec.interval else _elements
    return [
        f"{verb} element {_TABLE} {change.spec.name} {{ {', '.join(said(change.spec, elements))} }}\n"
        for verb, elements in (("delete", change.delete), ("add", change.add))
        if elements
    ]


def _elements(spec: SetSpec, elements: Iterable[Element]) -> Iterator[str]:
    for element in elements:
        yield _fields(spec.key, element.key) + _data(spec, element)


def _data(spec: SetSpec, element: Element) -> str:
    if isinstance(element.data, Verdict):
        return f" : goto {element.data.chain}"
    return f" : {_fields(spec.data, element.data)}" if element.data is not None else ""


def _fields(kind: str, value: bytes) -> str:
    """A key or data of that type, as nft writes it."""
    said = []
    for field in kind.split(" . "):
        size = _FIELD_BYTES[field]
        said.append(_said(field, value[:size]))
        value = value[-(-size // _REGISTER_BYTES) * _REGISTER_BYTES :]
    return " . ".join(said)


def _said(field: str, raw: bytes) -> str:
    if field == "ifname":
        return f'"{raw.rstrip(bytes(1)).decode()}"'
    if field == "iface_index":
        return _padded(int.from_bytes(raw, sys.byteorder))
    return inet.text(raw) if field in ("ipv4_addr", "ipv6_addr") else str(int.from_bytes(raw, "big"))


def _padded(index: int) -> str:
    """Longer than any name: nft looks for an interface called "7" before it takes 7 for a number."""
    return f'"{index:0{IFNAME_BYTES}}"'


def _ranges(spec: SetSpec, elements: Iterable[Element]) -> Iterator[str]:
    for element in elements:
        yield f"{_said(spec.key, element.key)}-{_said(spec.key, element.key_end)}{_data(spec, element)}"


def _table(blocks: Sequence[str]) -> str:
    return f"table {_TABLE} {{\n{''.join(blocks)}}}\n"


def _block(head: str, lines: Iterable[str]) -> str:
    body = "".join(f"\t\t{line}\n" for line in lines)
    return f"\t{head} {{\n{body}\t}}\n"


def _declared_set(spec: SetSpec) -> str:
    data = "verdict" if spec.verdicts else spec.data
    kind = " : ".join(filter(None, (spec.key, data)))
    timed = ["flags timeout", f"timeout {spec.timeout_s}s", f"gc-interval {_COLLECT_S}s"] if spec.timeout_s else []
    flags = ["flags interval"] if spec.interval else timed
    return _block(f"{spec.kind} {spec.name}", [f"type {kind}", *flags])


def _declared_counter(counter: Counter) -> str:
    return _block(
        f"counter {counter.name}",
        [f'comment "{comment_text(counter.comment)}"', f"packets {counter.packets} bytes {counter.bytes}"],
    )


def _declared_chain(chain: Chain) -> str:
    lines = [f'comment "{comment_text(chain.comment)}"'] if chain.comment else []
    if chain.hook:
        lines.append(f"type {chain.kind} hook {chain.hook} priority {chain.priority}; policy accept;")
    return _block(f"chain {chain.name}", lines)
