"""Kernel objects as records: what the managers ask for, what the text is made of, what reading back is compared with.

Every rule carries a digest of itself in its comment. The kernel's listing is therefore compared digest by digest, and never as
text, which nft words as it likes: a rule that was changed, added or lost by another hand is seen, whatever nft's version.

Invariants: 1. The same content gives the same name and the same digest, on every host and after every restart.
2. Names are letters, digits, `-` and `_`, at most 44 of them. Pure.
"""

from __future__ import annotations

from hashlib import sha256

from ocicat.model.base import Struct
from ocicat.netlink.nftset import Element

_MARK_DIGITS = 10
_NAME_DIGITS = 20  # 80 bits: names of profiles may be chosen to collide
_COMMENT_BYTES = 127


def digest(*parts: str) -> str:
    """20 hexadecimal digits for that sequence of texts."""
    return sha256("\0".join(parts).encode()).hexdigest()[:_NAME_DIGITS]


def comment_text(text: str) -> str:
    """`text` as nft takes it in a comment: printable ASCII, no quotes, 127 characters."""
    plain = "".join(char if " " <= char <= "~" and char not in '"\\' else "?" for char in text)
    return plain[:_COMMENT_BYTES]


class Rule(Struct, frozen=True):
    """One statement, with its verdict; `note` is for whoever reads the ruleset."""

    text: str
    note: str = ""

    @property
    def mark(self) -> str:
        """The digest that its comment begins with."""
        return digest(self.text, self.note)[:_MARK_DIGITS]

    def __str__(self) -> str:
        return f'{self.text} comment "{comment_text(f"{self.mark} {self.note}".rstrip())}"'


class Shape(Struct, frozen=True):
    """What must be equal for a chain in the kernel to be the one that is wanted. `hook` is empty but for base chains, of which it
    says type, hook, priority and, as the last word, policy ("filter forward filter - 1 accept")."""

    hook: str
    marks: tuple[str, ...]


class Chain(Struct, frozen=True):
    """A chain and all of its rules. A base chain has a `hook` ("forward"), a `priority` as nft lists it ("filter - 1"),
    a type (`kind`: "filter" or "nat"), and policy accept.

    `authored`: its rules say what an operator wrote, so nft may refuse them; all others are our own words.
    """

    name: str
    rules: tuple[Rule, ...]
    comment: str = ""
    hook: str = ""
    priority: str = ""
    authored: bool = False
    kind: str = "filter"

    @property
    def is_idle(self) -> bool:
        """A base chain that does nothing, and costs every packet. One that translates does: its being there is what translates."""
        return bool(self.hook) and self.kind == "filter" and not self.rules

    @property
    def shape(self) -> Shape:
        hook = f"{self.kind} {self.hook} {self.priority} accept" if self.hook else ""
        return Shape(hook, tuple(rule.mark for rule in self.rules))


class SetSpec(Struct, frozen=True):
    """A set, a verdict map, or a map. `key` is nft's type ("ipv4_addr", "ifname . ipv4_addr"), `data` that of what it leads to,
    unless these are verdicts; `interval`: its elements are ranges.

    A range is one Element from `key` to `key_end`, both included. It comes and goes as a whole: the kernel holds beginning and end
    apart, and takes half a range for an overlap. `timeout_s`: elements end by themselves after so long, and are not compared.
    """

    name: str
    key: str
    interval: bool = False
    verdicts: bool = False
    data: str = ""
    timeout_s: int = 0

    @property
    def kind(self) -> str:
        """nft's word for it."""
        return "map" if self.verdicts or self.data else "set"


class SetChange(Struct, frozen=True):
    """Of the elements of one set: deletions come first, so that a key may get other data."""

    spec: SetSpec
    delete: tuple[Element, ...]
    add: tuple[Element, ...]


class Counter(Struct, frozen=True):
    """What it has counted, or begins with. Its comment says whose packets they are; the name is made of it."""

    name: str
    comment: str
    packets: int = 0
    bytes: int = 0


class IntervalSet(Struct, frozen=True):
    """A set named by its content, so that rules with the same nets or ports share one, and it never changes."""

    spec: SetSpec
    elements: tuple[Element, ...]
