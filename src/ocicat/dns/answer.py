"""What a query is answered: from the zone, for what it has; nothing, where another server must be asked. PURE.

1. For the zone, and for the reverse names that it has, the answer is authoritative; "no such name" and "nothing of that type" say
   how long they hold (RFC 2308).
2. To who may not see a record it is not there: a name at which and below which all are hidden is answered as one that there is
   not; a reverse name too: it is not ours then.
3. While it is not known what the cluster has, or who may see what, the answer is SERVFAIL: resolvers then ask their next server,
   and nobody hears that a name does not exist which does. So it is where that takes too long to find out.
4. Several records of a name come in another order each time.
5. A name of one label has no address: resolvers try it last, after every domain of theirs, and it is asked of nobody else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ocicat.dns import names
from ocicat.dns.records import LABEL, Naming, start_of_authority
from ocicat.dns.wire import ANY_CLASS, IN, Answer, Query, Question, Rcode, Record, Type, suffixes
from ocicat.dns.zone import Entry, TooLong, Visible, Zone, everything

_QUERY = 0  # the one kind of request (opcode) that is answered
_TRANSFERS = (Type.AXFR, Type.IXFR)
_REVERSE = (names.wire("in-addr.arpa"), names.wire("ip6.arpa"))
_ADDRESSES = (Type.A, Type.AAAA)
_MOST_PAIRS = 8  # labels K=V in one name


@dataclass(slots=True)
class Book:
    """`complete`: the zone has all that the cluster has. `serial` grows with every change; `ttl` in seconds."""

    naming: Naming
    ttl: int
    zone: Zone = field(default_factory=Zone)
    serial: int = 0
    complete: bool = False
    _turn: int = 0
    _own: bytes = field(init=False)  # the zone's name
    _labels: bytes = field(init=False)  # below which the names by labels lie

    def __post_init__(self) -> None:
        self._own = names.wire(self.naming.zone).lower()
        self._labels = names.wire(f"{LABEL}.{self.naming.zone}").lower()

    def answer(self, query: Query, visible: Visible | None = everything) -> Answer | None:
        """None: it is not ours to know. `visible` None: promise 3."""
        question = query.question
        refused = _refused(query)
        if refused is not None:
            return Answer(refused)
        try:
            if not self._is_ours(question.key, visible):
                return Answer(Rcode.NXDOMAIN) if _is_bare(question) else None
            if visible is None or not self.complete:
                return Answer(Rcode.SERVFAIL)
            self._turn += 1
            return self._found(question, visible) or self._nothing(question, visible)
        except TooLong:
            return Answer(Rcode.SERVFAIL)

    def _is_ours(self, key: bytes, visible: Visible | None) -> bool:
        if _lies_in(key, self._own):
            return True
        reverse = any(_lies_in(key, end) for end in _REVERSE)
        return reverse and (visible is None or bool(self.zone.types(key, visible)))

    # --- what there is -------------------------------------------------------------------------------------------

    def _found(self, question: Question, visible: Visible) -> Answer | None:
        type_ = question.type
        if type_ == Type.ANY:  # one kind is enough (RFC 8482)
            type_ = next(iter(self.zone.types(question.key, visible)), Type.ANY)
        entries = self._entries(question.key, type_, visible)
        if not entries:
            return None
        answers = tuple(Record(question.name, one.type, one.data, self.ttl) for one in self._turned(entries))
        return Answer(Rcode.NOERROR, answers, (), tuple(self._targets(entries, visible)), authoritative=True)

    def _entries(self, key: bytes, type_: int, visible: Visible) -> list[Entry]:
        if type_ == Type.SOA and key == self._own:
            return [Entry(key, Type.SOA, self._start())]
        if found := self.zone.find(key, type_, visible):
            return found
        pairs = self._pairs(key)
        return self.zone.find_common(pairs, type_, visible) if pairs else []

    def _turned(self, entries: list[Entry]) -> list[Entry]:
        first = self._turn % len(entries)
        return entries[first:] + entries[:first]

    def _targets(self, entries: Iterable[Entry], visible: Visible) -> Iterable[Record]:
        """The addresses of services' hosts."""
        hosts = dict.fromkeys(one.data[6:] for one in entries if one.type == Type.SRV)
        for host in hosts:
            for type_ in _ADDRESSES:
                for one in self.zone.find(host, type_, visible):
                    yield Record(one.name, one.type, one.data, self.ttl)

    def _pairs(self, key: bytes) -> list[bytes]:
        """For `_http._tcp.web.app.prod.env.label.Z` the names `_http._tcp.web.app.label.Z` and `_http._tcp.prod.env.label.Z`."""
        end = self._labels
        if not _lies_in(key, end):
            return []
        parts = [name[: name[0] + 1] for name in suffixes(key) if len(name) > len(end)]
        service = b"".join(part for part in parts[:2] if part[1:2] == b"_")
        pairs = key[len(service) : -len(end)]
        values = [name[: name[0] + 1] for name in suffixes(pairs + b"\0")]
        if len(values) % 2 or not 4 <= len(values) <= 2 * _MOST_PAIRS:
            return []
        return [service + value + key_ + end for value, key_ in zip(values[::2], values[1::2], strict=True)]

    # --- what there is not ---------------------------------------------------------------------------------------

    def _nothing(self, question: Question, visible: Visible) -> Answer:
        rcode = Rcode.NOERROR if self._exists(question.key, visible) else Rcode.NXDOMAIN
        if not _lies_in(question.key, self._own):
            return Answer(rcode, authoritative=True)
        start = Record(self._own, Type.SOA, self._start(), self.ttl)
        return Answer(rcode, (), (start,), authoritative=True)

    def _exists(self, key: bytes, visible: Visible) -> bool:
        if key == self._own or self.zone.exists(key, visible):
            return True
        pairs = self._pairs(key)
        types = (*_ADDRESSES, Type.SRV)
        return bool(pairs) and any(self.zone.find_common(pairs, type_, visible) for type_ in types)

    def _start(self) -> bytes:
        return start_of_authority(self.naming, self.serial, self.ttl)


def _lies_in(name: bytes, domain: bytes) -> bool:
    """A name may end as the domain does in the middle of a label."""
    return name.endswith(domain) and any(len(each) == len(domain) for each in suffixes(name))


def _is_bare(question: Question) -> bool:
    """Promise 5."""
    return question.type in _ADDRESSES and len(list(suffixes(question.key))) == 1


def _refused(query: Query) -> Rcode | None:
    if query.opcode != _QUERY:
        return Rcode.NOTIMP
    if query.edns and query.edns.version:
        return Rcode.BADVERS
    if query.question.cls not in (IN, ANY_CLASS) or query.question.type in _TRANSFERS:
        return Rcode.REFUSED
    return None
