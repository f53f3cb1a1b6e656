"""A packet's way through the chains that are wanted, by the rules of nftables: what a test can ask without a kernel.

Understands what rules of policy are made of; anything else is an error.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field

from ocicat.model.net import Addr, Cidr

_FAMILY = {"ip": 4, "ip6": 6, "ipv4": 4, "ipv6": 6}
_NUMBER = {"tcp": 6, "udp": 17, "sctp": 132}
_VERDICTS = ("accept", "drop", "return")


@dataclass(frozen=True)
class Packet:
    source: Addr
    destination: Addr
    protocol: int
    port: int


@dataclass
class Walk:
    """`verdict`: "" if no rule said one, and "accept" also of a packet that comes back marked. `counted`, `logged`: by which
    counters, and by how many rules that log."""

    verdict: str = ""
    mark: int = 0
    counted: list[str] = field(default_factory=list)
    logged: int = 0


def walk(ledger, chain, packet):
    found = Walk()
    found.verdict = _chain(ledger, chain, packet, found) or ("accept" if found.mark else "")
    return found


def _chain(ledger, name, packet, found):
    """accept, drop; None: it comes back."""
    for rule in ledger.chain(name).rules:
        verdict = _rule(ledger, shlex.split(rule.text), packet, found)
        match verdict:
            case None:
                continue
            case "return":
                return None
            case "jump", target:
                decided = _chain(ledger, target, packet, found)
                if decided:
                    return decided
            case "goto", target:
                return _chain(ledger, target, packet, found)
            case _:
                return verdict
    return None


def _rule(ledger, words, packet, found):
    while words:
        match words:
            case ["meta", "mark", "set", "meta", "mark", "|", bit, *words]:
                found.mark |= int(bit, 16)
            case ["meta", "mark", "&", bit, "!=", "0", *words]:
                if not found.mark & int(bit, 16):
                    return None
            case [("ip" | "ip6" | "tcp" | "udp" | "sctp" | "meta") as kind, name, "vmap", target, *_]:
                value = _value(kind, name, packet)
                element = value is not None and _found(ledger, target, value)
                return ("goto", element.data.chain) if element else None
            case [("ip" | "ip6" | "tcp" | "udp" | "sctp" | "meta") as kind, name, "!=", operand, *words]:
                value = _value(kind, name, packet)
                if value is None or _is(ledger, value, operand):
                    return None
            case [("ip" | "ip6" | "tcp" | "udp" | "sctp" | "meta") as kind, name, operand, *words]:
                value = _value(kind, name, packet)
                if value is None or not _is(ledger, value, operand):
                    return None
            case ["counter", "name", name, *words]:
                found.counted.append(name)
            case ["log", *_]:
                found.logged += 1
                return None
            case [("jump" | "goto") as how, target]:
                return how, target
            case [verdict] if verdict in _VERDICTS:
                return verdict
            case _:
                raise AssertionError(f"not understood: {words}")
    return None


def _value(kind, name, packet):
    match kind, name:
        case (("ip" | "ip6"), ("saddr" | "daddr")):
            address = packet.source if name == "saddr" else packet.destination
            return address if address.family == _FAMILY[kind] else None
        case (("tcp" | "udp" | "sctp"), "dport"):
            return packet.port if packet.protocol == _NUMBER[kind] else None
        case "meta", "l4proto":
            return packet.protocol
        case "meta", "nfproto":
            return packet.source.family
    raise AssertionError(f"not understood: {kind} {name}")


def _is(ledger, value, operand):
    if operand.startswith("@"):
        return _found(ledger, operand, value) is not None
    if isinstance(value, Addr):
        return value in Cidr.parse(operand) if "/" in operand else value == Addr.parse(operand)
    first, _, last = operand.partition("-")
    return _number(first) <= value <= _number(last or first)


def _number(text):
    return _FAMILY.get(text) or _NUMBER.get(text) or int(text)


def _found(ledger, operand, value):
    elements = ledger.elements[operand.removeprefix("@")]
    for key in elements.all_wanted():
        each = elements.wanted(key)
        if each.key <= _packed(value, each.key) <= (each.key_end or each.key):
            return each
    return None


def _packed(value, like):
    return value.pack() if isinstance(value, Addr) else value.to_bytes(len(like), "big")
