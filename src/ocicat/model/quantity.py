"""Quantities as Kubernetes writes them: "10M", "1.5Gi", "2e3". Pure.

Promise: a quantity above 0 is what apimachinery's `resource.ParseQuantity` and `Value()` make of it: rounded up to a whole number.
Beyond 63 bits, where theirs overflow, it is the greatest of these.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Context, Decimal

from ocicat.errors import UserError

_FORM = re.compile(
    r"(?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(?P<suffix>[KMGTPE]i|[numkMGTPE]|[eE](?P<exponent>[+-]?[0-9]{1,3}))?"
)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {f"{letter}i": 1 << 10 * power for power, letter in enumerate("KMGTPE", 1)}
_MOST = (1 << 63) - 1
_EXACT = Context(prec=400)


def parse_quantity(text: str) -> int:
    """UserError that quotes the text."""
    found = _FORM.fullmatch(text)
    if not found:
        raise UserError(f"{text!r} is not a quantity", hint="a number with a suffix or without: 1000, 10M, 1.5Gi, 2e3")
    number, suffix = Decimal(found["number"]), found["suffix"] or ""
    if suffix in _BINARY:
        value = _EXACT.multiply(number, Decimal(_BINARY[suffix]))
    else:
        value = _EXACT.scaleb(number, int(found["exponent"]) if found["exponent"] else _DECIMAL[suffix])
    return min(int(value.to_integral_value(ROUND_CEILING)), _MOST)
