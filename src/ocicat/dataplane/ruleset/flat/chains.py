"""Runs of rules that are looked up, as chains and maps.

    fi-<run>      jumps to  bi-<digest>  to look the peer up, in  fh4-<run> (single addresses) and fn4-<digest> (nets), likewise 6;
                  and goes to the block for all others, also with a packet that comes back
    bi-<digest>   a block: rules, or a look-up of protocol or port in  fl-<digest>; then another block, or back, or the tier ends

(`fo-`, `bo-` for egress.) Only the map of single addresses changes in place, one element for a peer that moves. Other maps, and all
blocks, are named by their content: a change makes new ones, and old ones go when nothing leads to them. A return in a block that
was looked up comes back; behind each jump, what egress rules have allowed returns further. Where it must be one from the tier's
chain, because there are Pass rules or the run does not end with a drop, the chain of the run looks the peer up itself, and no block
comes back.

Invariants: 1. What a block says does not change. 2. Which rules stand where is for `flat` to say. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from weakref import WeakValueDictionary

from ocicat.dataplane.ruleset.book import Book
from ocicat.dataplane.ruleset.flat.blocks import Back, Block, ByPort, ByProtocol, End, Goto, Jump, Line, Step
from ocicat.dataplane.ruleset.flat.compiled import Compiled, Make
from ocicat.dataplane.ruleset.identity import Direction
from ocicat.dataplane.ruleset.lists import Built, Part, Piece
from ocicat.dataplane.ruleset.objects import Chain, IntervalSet, Rule, SetSpec, digest
from ocicat.dataplane.ruleset.ruled import Ruled
from ocicat.dataplane.ruleset.rules import range_element
from ocicat.model.net import WIDTH
from ocicat.netlink.nftset import Element, goto, key_protocol

FAMILIES = (4, 6)
_FIELD = {
    (4, "ingress"): "ip saddr",
    (4, "egress"): "ip daddr",
    (6, "ingress"): "ip6 saddr",
    (6, "egress"): "ip6 daddr",
}
_PORTS_OF = {6: "tcp", 17: "udp", 132: "sctp"}
_PORT_BYTES = 2


class Maker:
    """Makes blocks, each once, and remembers them as long as somebody else does."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._by_content: WeakValueDictionary[object, Piece] = WeakValueDictionary()
        self._by_name: WeakValueDictionary[str, Piece] = WeakValueDictionary()

    def of(self, rules: Mapping[int, Ruled], direction: Direction, family: int, end: Part, owner: str) -> Make[Piece]:
        """Of these rules, by their numbers. `end`: what stands where no rule decides. `owner`: whose words these are."""

        def make(block: Block[Piece]) -> Piece:
            key = (direction, family, end.rules, block)
            piece = self._by_content.get(key)
            if piece is None:
                part = _joined(self._part(step, rules, direction, family, end) for step in block)
                piece = self._by_content[key] = self._named(part, direction, owner, _leads_to(block))
            return piece

        return make

    def way_in(
        self, found: Mapping[int, Compiled[Piece]], direction: Direction, hosts: Mapping[int, str], owner: str
    ) -> tuple[Part, tuple[Piece, ...]]:
        """What the chain of a run says, and the block that it jumps to. `hosts`: the names of the maps of single addresses, by
        family, where there are any."""
        peers, others = _look_up(found, direction, hosts), _others(found)
        if not peers.rules or not all(each.returns for each in found.values()):
            return _joined((peers, others)), ()
        looking = self._named(peers, direction, owner)
        return _joined((self._jump(looking, direction), others)), (looking,)

    def _named(self, part: Part, direction: Direction, owner: str, uses: tuple[Piece, ...] = ()) -> Piece:
        """By its content."""
        said = (text for rule in part.rules for text in (rule.text, rule.note))
        name = f"{'bi' if direction == 'ingress' else 'bo'}-{digest(*said)}"
        piece = self._by_name.get(name)
        if piece is None:
            chain = Chain(name, part.rules, authored=True)
            piece = self._by_name[name] = Piece(Built(chain, uses, part.sets), owner)
        return piece

    def _jump(self, piece: Piece, direction: Direction) -> Part:
        return Part((Rule(f"jump {piece.name}"), *self._book.behind(direction, "normal")))

    def _part(
        self, step: Step[Piece], rules: Mapping[int, Ruled], direction: Direction, family: int, end: Part
    ) -> Part:
        match step:
            case Line(number, asks):
                rendered = rules[number].line(self._book, family, asks)
                return Part(rendered.rules, rendered.sets)
            case ByProtocol(table):
                return by_protocol(table)
            case ByPort(protocol, table):
                return by_port(protocol, table)
            case Goto(piece):
                return Part((Rule(f"goto {piece.name}"),))
            case Jump(piece):
                return self._jump(piece, direction)
            case Back():
                return Part()
            case End():
                return Part(end.rules)


def by_protocol(table: Iterable[tuple[int, Piece]]) -> Part:
    elements = [Element(key_protocol(number), goto(piece.name)) for number, piece in table]
    return _looked_up("meta l4proto", "fl", SetSpec("", "inet_proto", verdicts=True), elements)


def by_port(protocol: int, table: Iterable[tuple[int, int, Piece]]) -> Part:
    elements = [_range(first, last, _PORT_BYTES, piece) for first, last, piece in table]
    spec = SetSpec("", "inet_service", interval=True, verdicts=True)
    return _looked_up(f"{_PORTS_OF[protocol]} dport", "fl", spec, elements)


def _look_up(found: Mapping[int, Compiled[Piece]], direction: Direction, hosts: Mapping[int, str]) -> Part:
    parts: list[Part] = []
    for family in FAMILIES:
        field = _FIELD[family, direction]
        if family in hosts:
            parts.append(Part((Rule(f"{field} vmap @{hosts[family]}"),)))
        if found[family].stretches:
            parts.append(_by_net(field, family, found[family]))
    return _joined(parts)


def _others(found: Mapping[int, Compiled[Piece]]) -> Part:
    four, six = found[4].otherwise, found[6].otherwise
    of_four = [] if four is six else [Rule(f"meta nfproto ipv4 goto {four.name}")]
    return Part((*of_four, Rule(f"goto {six.name}")))


def host_key(host: int, family: int) -> bytes:
    return host.to_bytes(WIDTH[family] // 8, "big")


def hosts_spec(run: str, family: int) -> SetSpec:
    """The map of single addresses; `run`: the name of the run's chain."""
    return SetSpec(f"fh{family}-{run}", f"ipv{family}_addr", verdicts=True)


def _joined(parts: Iterable[Part]) -> Part:
    given = [*parts]
    return Part(
        tuple(rule for part in given for rule in part.rules), tuple(each for part in given for each in part.sets)
    )


def _by_net(field: str, family: int, compiled: Compiled[Piece]) -> Part:
    size_bytes = WIDTH[family] // 8
    elements = [_range(first, last, size_bytes, piece) for first, last, piece in compiled.stretches]
    return _looked_up(field, f"fn{family}", SetSpec("", f"ipv{family}_addr", interval=True, verdicts=True), elements)


def _range(first: int, last: int, size_bytes: int, piece: Piece) -> Element:
    return range_element(first, last, size_bytes, goto(piece.name))


def _looked_up(field: str, kind: str, spec: SetSpec, elements: list[Element]) -> Part:
    """In a map named by its content."""
    said = (f"{each.key.hex()}-{each.key_end.hex()} {each.data!r}" for each in elements)
    named = SetSpec(f"{kind}-{digest(spec.key, *said)}", spec.key, interval=spec.interval, verdicts=True)
    return Part((Rule(f"{field} vmap @{named.name}"),), (IntervalSet(named, tuple(elements)),))


def _leads_to(block: Block[Piece]) -> tuple[Piece, ...]:
    found: dict[Piece, None] = {}
    for step in block:
        match step:
            case ByProtocol(table):
                found.update((piece, None) for _, piece in table)
            case ByPort(_, table):
                found.update((piece, None) for *_, piece in table)
            case Goto(piece) | Jump(piece):
                found[piece] = None
    return tuple(found)
