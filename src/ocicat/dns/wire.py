"""DNS messages as bytes: queries read, answers written, and answers read. PURE.

1. No input raises anything but `Malformed`, and none takes time or memory out of proportion to its size (65,535 bytes at most).
2. A name is what the wire has: labels with their lengths, to the empty label, uncompressed. In lower case (`key`) it is compared;
   that touches no length, since those are below "A". It may hold any bytes, dots too: text is made at the edges only.
3. An answer fits its limit: what does not fit is left out, and if that is not only additional, the answer says so (TC).
4. The question is repeated as it was asked, upper and lower case as well: resolvers check that.

Sources: RFC 1035, 2782 (SRV: its target is not compressed), 3596 (AAAA), 6891 (EDNS0), 8020.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum

from ocicat.model.base import Struct

MAX_MESSAGE = 65535
PLAIN_LIMIT = 512  # bytes of an answer by UDP, for who says nothing of himself
EDNS_LIMIT = 1232  # no answer by UDP is longer, so that none is fragmented
IN, ANY_CLASS = 1, 255
ROOT = b"\0"

_HEADER = struct.Struct("!6H")
_FIXED = struct.Struct("!HHIH")  # type, class, TTL, length of the data
_QR, _AA, _TC, _RD, _RA = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080
_POINTER, _POINTER_SIZE = 0xC0, 2
_MAX_NAME = 255
_MAX_HOPS = 127  # pointers in one name: as many as it can have labels
_MOST_BESIDE = 3  # records that come with a question: an OPT, a signature, what IXFR has already
_MAX_OFFSET = 0x4000  # what a pointer can say


class Type(IntEnum):
    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    PTR = 12
    TXT = 16
    AAAA = 28
    SRV = 33
    OPT = 41
    IXFR = 251
    AXFR = 252
    ANY = 255


class Rcode(IntEnum):
    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    BADVERS = 16


class Malformed(Exception):
    """Not a message that can be understood. `id`: whom to tell so; None: nobody, it is no query at all."""

    def __init__(self, text: str, id: int | None = None) -> None:  # noqa: A002 (the field's name)
        super().__init__(text)
        self.id = id


class Question(Struct, frozen=True):
    name: bytes
    type: int
    cls: int = IN

    @property
    def key(self) -> bytes:
        return self.name.lower()


class Edns(Struct, frozen=True):
    """What who asks can take: `size` bytes by UDP, and version 0 is all there is."""

    size: int = EDNS_LIMIT
    version: int = 0


class Query(Struct, frozen=True):
    """`recursion`: he wants other servers asked too."""

    id: int
    question: Question
    opcode: int = 0
    recursion: bool = True
    edns: Edns | None = None

    @property
    def udp_limit(self) -> int:
        return min(max(self.edns.size, PLAIN_LIMIT), EDNS_LIMIT) if self.edns else PLAIN_LIMIT


class Record(Struct, frozen=True):
    """`data` as the wire has it, names in it uncompressed."""

    name: bytes
    type: int
    data: bytes
    ttl: int


class Message(Struct, frozen=True):
    """An answer that was read. Of records of the question's class; OPT is left out."""

    id: int
    rcode: int
    question: Question | None
    authoritative: bool
    truncated: bool
    answers: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()


# --- reading -----------------------------------------------------------------------------------------------------


def parse_query(data: bytes) -> Query:
    """Malformed with an id: answer FORMERR; without one: say nothing (too short, or an answer, which must never be answered)."""
    if len(data) < _HEADER.size:
        raise Malformed("shorter than a header")
    id_, flags, questions, *counts = _HEADER.unpack_from(data)
    if flags & _QR:
        raise Malformed("an answer where a query should be")
    opcode, beside = flags >> 11 & 15, sum(counts)
    try:
        if questions != 1:
            raise Malformed(f"{questions} questions")
        question, at = _question(data, _HEADER.size)
        if question.name != data[_HEADER.size : at - 4]:
            raise Malformed("a compressed question")
        if beside > _MOST_BESIDE and opcode == 0:
            raise Malformed(f"{beside} records with a question")
        edns = _edns(_records(data, at, beside)) if beside <= _MOST_BESIDE else None  # an UPDATE: answered NOTIMP
    except Malformed as error:
        raise Malformed(str(error), id_) from error
    return Query(id_, question, opcode, bool(flags & _RD), edns)


def parse_answer(data: bytes) -> Message:
    """What a server said."""
    if len(data) < _HEADER.size:
        raise Malformed("shorter than a header")
    id_, flags, questions, *counts = _HEADER.unpack_from(data)
    if not flags & _QR or questions > 1:
        raise Malformed("a query where an answer should be")
    question, at = _question(data, _HEADER.size) if questions else (None, _HEADER.size)
    records = [_plain(data, *one) for one in _records(data, at, sum(counts))]
    first, second = counts[0], counts[0] + counts[1]
    parts = (records[:first], records[first:second], records[second:])
    edns = [record for record in records if record.type == Type.OPT]
    rcode = flags & 15 | (edns[0].ttl >> 24 << 4 if edns else 0)
    told = (tuple(one for one in part if one.type != Type.OPT) for part in parts)
    return Message(id_, rcode, question, bool(flags & _AA), bool(flags & _TC), *told)


_Raw = tuple[bytes, int, int, int, int, int]  # name, type, class, TTL, begin and end of the data


def _question(data: bytes, at: int) -> tuple[Question, int]:
    name, at = read_name(data, at)
    if at + 4 > len(data):
        raise Malformed("the question is cut")
    return Question(name, *struct.unpack_from("!HH", data, at)), at + 4


def _records(data: bytes, at: int, count: int) -> Iterator[_Raw]:
    for _ in range(count):
        name, at = read_name(data, at)
        begin = at + _FIXED.size
        if begin > len(data):
            raise Malformed("a record is cut")
        type_, cls, ttl, length = _FIXED.unpack_from(data, at)
        at = begin + length
        if at > len(data):
            raise Malformed("a record's data is cut")
        yield name, type_, cls, ttl, begin, at


def _edns(records: Iterator[_Raw]) -> Edns | None:
    found = [one for one in records if one[1] == Type.OPT]
    if len(found) > 1 or any(name != ROOT for name, *_ in found):
        raise Malformed("more than one OPT, or one of a name")
    return Edns(found[0][2], found[0][3] >> 16 & 255) if found else None


def read_name(data: bytes, at: int) -> tuple[bytes, int]:
    """The name there, uncompressed, and where the bytes after it begin. A pointer must lead back, so there is no way round;
    and there are few of them, so that many names which end in one long way cost little.
    """
    labels: list[bytes] = []
    size, end, lowest, hops = 1, 0, at, 0
    while True:
        if at >= len(data):
            raise Malformed("a name is cut")
        length = data[at]
        if length >= _POINTER:
            if at + 1 >= len(data):
                raise Malformed("a pointer is cut")
            end = end or at + 2
            at = (length & 63) << 8 | data[at + 1]
            hops += 1
            if at >= lowest or hops > _MAX_HOPS:
                raise Malformed("a pointer that does not lead back, or too many")
            lowest = at
            continue
        if length > 63:
            raise Malformed("a label of an unknown kind")
        if length == 0:
            return b"".join(labels) + ROOT, end or at + 1
        size += length + 1
        if size > _MAX_NAME or at + 1 + length > len(data):
            raise Malformed("a name of more than 255 bytes, or cut")
        labels.append(data[at : at + 1 + length])
        at += 1 + length


def _plain(data: bytes, name: bytes, type_: int, _cls: int, ttl: int, begin: int, end: int) -> Record:
    """With the names in its data uncompressed, where the type may have compressed ones."""
    if type_ in (Type.NS, Type.CNAME, Type.PTR):
        return Record(name, type_, read_name(data, begin)[0], ttl)
    if type_ == Type.SOA:
        server, at = read_name(data, begin)
        mailbox, at = read_name(data, at)
        return Record(name, type_, server + mailbox + data[at:end], ttl)
    if type_ == Type.SRV and end - begin > 6:
        return Record(name, type_, data[begin : begin + 6] + read_name(data, begin + 6)[0], ttl)
    return Record(name, type_, data[begin:end], ttl)


# --- writing -----------------------------------------------------------------------------------------------------


def encode_query(query: Query) -> bytes:
    flags = query.opcode << 11 | (_RD if query.recursion else 0)
    head = _HEADER.pack(query.id, flags, 1, 0, 0, 1 if query.edns else 0)
    return head + _asked(query.question) + (_opt(query.edns.size, query.edns.version << 16) if query.edns else b"")


def refusal(id_: int, rcode: Rcode) -> bytes:
    """For what could not be read: no more than a header."""
    return _HEADER.pack(id_, _QR | rcode, 0, 0, 0, 0)


class Answer(Struct, frozen=True):
    """What to say to a query. `by_tcp`: nothing here, come by TCP."""

    rcode: Rcode = Rcode.NOERROR
    answers: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()
    authoritative: bool = False
    by_tcp: bool = False


def encode_answer(query: Query, said: Answer, limit: int, *, recursion_available: bool = False) -> bytes:
    """In `limit` bytes at most (promise 3), which must be 512 at least; 0: no records, only that there are some."""
    opt = _opt(EDNS_LIMIT, said.rcode >> 4 << 24) if query.edns else b""
    writer = _Writer(_asked(query.question), limit - len(opt))
    answers = writer.add(said.answers)
    complete = answers == len(said.answers)
    authority = writer.add(said.authority) if complete else 0
    complete = complete and authority == len(said.authority)
    additional = writer.add(said.additional) if complete else 0
    flags = _QR | query.opcode << 11 | said.rcode & 15
    flags |= (_AA if said.authoritative else 0) | (0 if complete and not said.by_tcp else _TC)
    flags |= (_RD if query.recursion else 0) | (_RA if recursion_available else 0)
    head = _HEADER.pack(query.id, flags, 1, answers, authority, additional + bool(opt))
    return head + bytes(writer.body) + opt


class _Writer:
    """Question and records, with names that were written before as pointers to them."""

    def __init__(self, question: bytes, limit: int) -> None:
        self.body = bytearray(question)
        self._limit = limit - _HEADER.size
        self._places: dict[bytes, int] = {}
        self._remember(question[:-4], _HEADER.size)

    def add(self, records: Iterable[Record]) -> int:
        """How many of them found room; none after the first that did not."""
        count, body, last, name = 0, self.body, b"", b""
        for record in records:
            if record.name != last:  # most answers are of one name
                last, name = record.name, self._compressed(record.name)
            if len(body) + len(name) + _FIXED.size + len(record.data) > self._limit:
                break
            if len(name) > _POINTER_SIZE:
                self._remember(last, len(body) + _HEADER.size)
                last = b""
            body += name + _FIXED.pack(record.type, IN, record.ttl, len(record.data)) + record.data
            count += 1
        return count

    def _compressed(self, name: bytes) -> bytes:
        for at in _label_starts(name):
            place = self._places.get(name[at:].lower())
            if place is not None:
                return name[:at] + struct.pack("!H", _POINTER << 8 | place)
        return name

    def _remember(self, name: bytes, place: int) -> None:
        for at in _label_starts(name):
            if place + at >= _MAX_OFFSET or self._places.setdefault(name[at:].lower(), place + at) != place + at:
                return  # the rest of it was written before, where the pointer leads


def _label_starts(name: bytes) -> Iterator[int]:
    at = 0
    while name[at]:
        yield at
        at += name[at] + 1


def suffixes(name: bytes) -> Iterator[bytes]:
    """The name itself, then without its first label, and so on; not the root."""
    return (name[at:] for at in _label_starts(name))


def _asked(question: Question) -> bytes:
    return question.name + struct.pack("!HH", question.type, question.cls)


def _opt(size: int, told: int) -> bytes:
    """`told`: the upper bits of the code, then the version."""
    return ROOT + _FIXED.pack(Type.OPT, size, told, 0)
